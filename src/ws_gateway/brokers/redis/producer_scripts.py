"""The scripts of the idempotent writer.

A writer numbers its batches from 1 and keeps the number of the last one that Redis took under a key of its
own, `ws:writer:<run>:<stream>:<epoch>`, which lasts for a day after the last batch. A batch is taken as a
whole if it is exactly the next one, and passed over if Redis has it. Anything else is a gap: one before it
was not taken, or Redis has lost the key; to take it would make the one before look as if it were taken, too.

A fence closes the key and tells its number. From then on no batch of that epoch is taken, however late it
comes out of the buffer of a connection that is long gone; what has a greater number was never taken, and can
be sent again under the next epoch.
"""

from ws_gateway.brokers.redis.scripts import Script

__all__ = ["APPEND", "FENCE", "KEY_SECONDS", "PROBE"]

KEY_SECONDS = 86_400
"""How long Redis remembers a writer that is silent."""

# Only the first XADD can fail: once a script has written, Redis lets it write to its end.
APPEND = Script(
    """\
local stored = redis.call('GET', KEYS[2]) or '0'
if string.sub(stored, 1, 6) == 'closed' then return redis.error_reply('FENCED this epoch is over') end
local number = tonumber(ARGV[1])
if number <= tonumber(stored) then return 0 end
if number ~= stored + 1 then return redis.error_reply('GAP the last batch was ' .. stored) end
for at = 4, #ARGV do
  local added
  if ARGV[3] == '' then
    added = redis.pcall('XADD', KEYS[1], '*', 'data', ARGV[at])
  else
    added = redis.pcall('XADD', KEYS[1], 'MAXLEN', '~', ARGV[3], '*', 'data', ARGV[at])
  end
  if type(added) == 'table' and added.err then return added end
end
redis.call('SET', KEYS[2], ARGV[1], 'EX', ARGV[2])
return 1
"""
)
"""KEYS: stream, writer. ARGV: number, seconds, length or empty, entries. 1: taken, 0: had it."""

FENCE = Script(
    """\
local stored = redis.call('GET', KEYS[1]) or '0'
if string.sub(stored, 1, 6) == 'closed' then return tonumber(string.sub(stored, 8)) end
redis.call('SET', KEYS[1], 'closed ' .. stored, 'EX', ARGV[1])
return tonumber(stored)
"""
)
"""KEYS: writer. ARGV: seconds. The number of the last batch that was taken; the same whenever it is asked."""

PROBE = Script("return 1\n")
"""Whether scripts may be run at all."""
