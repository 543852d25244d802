"""What Redis does for presence: each change is one script, so nobody ever sees half of it.

Keys, all behind one prefix (`presence:`); the first three are the ones that applications read (contract
section 8):

| key | what | ends |
|---|---|---|
| `conn:<id>` | hash of a connection; our own fields are `node` and `client_ip` | with its time to live |
| `user:<user id>` | set of connection ids | not before its last member |
| `subject:<subject>` | set of connection ids | not before its last member |
| `lease:<node>` | there while the node lives | 10 s after the last renewal |
| `node:<node>` | hash: what is told of each of its connections if it dies | a day after the last put |
| `owed:<node>` | hash: the same of connections of dead nodes, while it tells of them | a day after a claim |
| `nodes` | sorted set of nodes that may have connections, all scores 0 | a day after the last renewal |

A node is `<node id>:<run>`. A hash without `node` was written by something else; its time to live decides.

What is told of a connection is one text of lines: when it connected, its address, its subjects, its user; a
debt has two more before them: when it was claimed first, and the node that died. A connection of a dead node
is claimed by moving it from `node:<dead>` to `owed:<claimant>` and out of everything that applications read.
A claim holds for as long as the lease of the claimant; then its debts are claimed as its connections are.

The caller bounds how many connections a call carries: Redis does nothing else meanwhile. What a script finds
is taken in portions of 1,000 arguments, since Lua's `unpack` ends at about 8,000.
"""

from ws_gateway.brokers.redis.scripts import Script

__all__ = ["PAGE", "PAGE_OF_ALL", "PUT", "REMOVE", "RENEW", "SWEEP"]

_COMMON = """
local prefix, node = ARGV[1], ARGV[2]

local function portions(key, command, ids)
  for first = 1, #ids, 1000 do
    redis.call(command, key, unpack(ids, first, math.min(first + 999, #ids)))
  end
end

local leases = {}
local function alive(name)
  if leases[name] == nil then leases[name] = redis.call('EXISTS', prefix .. 'lease:' .. name) == 1 end
  return leases[name]
end

local function outlive(key, ms)
  if redis.call('PTTL', key) < ms then redis.call('PEXPIRE', key, ms) end
end

local function sets_of(user, subjects)
  local sets = {prefix .. 'user:' .. user}
  local fine, names = pcall(cjson.decode, subjects)
  if fine and type(names) == 'table' then
    for _, name in ipairs(names) do sets[#sets + 1] = prefix .. 'subject:' .. tostring(name) end
  end
  return sets
end
"""

PUT = Script(
    _COMMON
    + """
-- ARGV: prefix, node, ms, ms of the index, then of each connection: id, user, subjects, connected, seen,
-- address
local ms, kept = tonumber(ARGV[3]), tonumber(ARGV[4])
local trouble, told, members, order = false, {}, {}, {}
for at = 5, #ARGV, 6 do
  local id, user, subjects = ARGV[at], ARGV[at + 1], ARGV[at + 2]
  local key = prefix .. 'conn:' .. id
  local done = redis.pcall('HSET', key, 'connection_id', id, 'user_id', user, 'subjects', subjects,
    'connected_at', ARGV[at + 3], 'last_seen_at', ARGV[at + 4], 'node', node, 'client_ip', ARGV[at + 5])
  if type(done) == 'table' and done.err then
    trouble = done.err
  else
    redis.call('PEXPIRE', key, ms)
    told[#told + 1] = id
    told[#told + 1] = table.concat({ARGV[at + 3], ARGV[at + 5], subjects, user}, '\\n')
    for _, set in ipairs(sets_of(user, subjects)) do
      local here = members[set]
      if not here then
        members[set], order[#order + 1] = {id}, set
      elseif here[#here] ~= id then
        here[#here + 1] = id
      end
    end
  end
end
if #told > 0 then
  portions(prefix .. 'node:' .. node, 'HSET', told)
  outlive(prefix .. 'node:' .. node, kept)
  redis.call('ZADD', prefix .. 'nodes', 0, node)
  outlive(prefix .. 'nodes', kept)
end

-- A set with others in it: some of them are looked at, more when many turn out to be dead.
local looks = 200
local function clean(set)
  for _ = 1, 5 do
    if looks <= 0 then return end
    local some, dead = redis.call('SRANDMEMBER', set, 8), {}
    looks = looks - #some
    for _, id in ipairs(some) do
      if redis.call('EXISTS', prefix .. 'conn:' .. id) == 0 then dead[#dead + 1] = id end
    end
    if #dead > 0 then redis.call('SREM', set, unpack(dead)) end
    if #dead * 4 < #some then return end
  end
end

for _, set in ipairs(order) do
  local here = members[set]
  local done = redis.pcall('SADD', set, unpack(here))
  if type(done) == 'table' then
    trouble = done.err
  elseif redis.call('SCARD', set) == #here then
    redis.call('PEXPIRE', set, ms)
  else
    outlive(set, ms)
    clean(set)
  end
end
return trouble or ''
"""
)
"""Remember connections. Answers an error if a key is of a wrong type, else nothing; the rest is done
nevertheless."""

REMOVE = Script(
    _COMMON
    + """
-- ARGV: prefix, node, then of each connection: id, user, subjects
for at = 3, #ARGV, 3 do
  local id = ARGV[at]
  local key = prefix .. 'conn:' .. id
  local owner = redis.pcall('HGET', key, 'node')
  redis.call('HDEL', prefix .. 'node:' .. node, id)
  -- One that another run has taken over stays.
  if not owner or owner == node then
    redis.call('DEL', key)
    for _, set in ipairs(sets_of(ARGV[at + 1], ARGV[at + 2])) do redis.pcall('SREM', set, id) end
  end
end
return #ARGV
"""
)
"""Forget connections."""

RENEW = Script(
    _COMMON
    + """
-- ARGV: prefix, node, ms (0 gives it up), ms of the list of nodes
local lease, ms = prefix .. 'lease:' .. node, tonumber(ARGV[3])
local held = redis.call('EXISTS', lease)
if ms <= 0 then
  redis.call('DEL', lease)
  if redis.call('EXISTS', prefix .. 'node:' .. node, prefix .. 'owed:' .. node) == 0 then
    redis.call('ZREM', prefix .. 'nodes', node)
  end
else
  redis.call('SET', lease, node, 'PX', ms)
  redis.call('ZADD', prefix .. 'nodes', 0, node)
  outlive(prefix .. 'nodes', tonumber(ARGV[4]))
end
return held
"""
)
"""Hold the lease. Answers 1 if it was still held."""

_SHOW = """
local entries, dead = {}, {}
local function show(id, owner)
  local found = redis.pcall('HMGET', prefix .. 'conn:' .. id,
    'user_id', 'subjects', 'connected_at', 'last_seen_at', 'client_ip', 'node')
  if found.err or not found[1] or (owner and found[6] ~= owner) then
    dead[#dead + 1] = id
  elseif not found[6] or alive(found[6]) then
    entries[#entries + 1] = {id, found[1], found[2], found[3], found[4], found[5] or ''}
  end
end
"""

PAGE = Script(
    _COMMON
    + _SHOW
    + """
-- ARGV: prefix, nothing, set, cursor, count
local set = prefix .. ARGV[3]
local scanned = redis.call('SSCAN', set, ARGV[4], 'COUNT', ARGV[5])
for _, id in ipairs(scanned[2]) do show(id) end
portions(set, 'SREM', dead)
return {scanned[1], entries}
"""
)
"""A part of a set: the next cursor, and the connections that live."""

PAGE_OF_ALL = Script(
    _COMMON
    + _SHOW
    + """
-- ARGV: prefix, node, cursor (nothing: the node after this one), count
local cursor, count = ARGV[3], tonumber(ARGV[4])
for _ = 1, 20 do
  if cursor == '' then
    local after = node == '' and '-' or '(' .. node
    local found = redis.call('ZRANGEBYLEX', prefix .. 'nodes', after, '+', 'LIMIT', 0, 1)
    node, cursor = found[1] or '', '0'
    if node == '' then break end
  end
  if alive(node) then
    local index = prefix .. 'node:' .. node
    local scanned = redis.call('HSCAN', index, cursor, 'COUNT', math.max(count - #entries, 1))
    for at = 1, #scanned[2], 2 do show(scanned[2][at], node) end
    -- They left during an outage, too many to be remembered: nobody needs to be told of them any more.
    portions(index, 'HDEL', dead)
    dead = {}
    cursor = scanned[1] ~= '0' and scanned[1] or ''
  else
    cursor = ''
  end
  if #entries >= count or cursor ~= '' then break end
end
return {node, cursor, entries}
"""
)
"""A part of all connections, node after node: the node and the cursor to go on from, and the connections. The
empty node is the end."""

SWEEP = Script(
    _COMMON
    + """
-- ARGV: prefix, node, most connections, most sets, ms of now (nothing: the backend is not told), whether to
-- begin with what this node owes (1), ms of what is owed
local most, sets, now, kept = tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5], tonumber(ARGV[7])
local mine = prefix .. 'owed:' .. node
local looked, debts, over = 0, {}, {}

local function owner_of(id)
  local owner = redis.pcall('HGET', prefix .. 'conn:' .. id, 'node')
  return type(owner) == 'string' and owner
end

local function lives(id)
  local owner = owner_of(id)
  return owner and alive(owner)
end

local function owe(id, debt)
  debts[#debts + 1] = id
  debts[#debts + 1] = debt
end

-- Looks at some connections of a hash, and notes which of them are to be taken out of it.
local function each(key, is_over)
  if looked >= most or sets <= 0 then return end
  local found, gone = redis.pcall('HRANDFIELD', key, most - looked, 'WITHVALUES'), {}
  if found.err then  -- it is none of ours, though its name is
    redis.call('DEL', key)
    return
  end
  for at = 1, #found, 2 do
    looked = looked + 1
    if is_over(found[at], found[at + 1]) then gone[#gone + 1] = found[at] end
    if sets <= 0 then break end
  end
  over[#over + 1] = {key, gone}
end

if ARGV[6] == '1' then
  each(mine, function(id, debt)
    if lives(id) then return true end
    owe(id, debt)
  end)
end
local dead = {}
for _, name in ipairs(redis.call('ZRANGEBYLEX', prefix .. 'nodes', '-', '+', 'LIMIT', 0, 1000)) do
  if looked >= most or sets <= 0 then break end
  -- Whoever runs this lives, whatever has become of its lease.
  if name ~= node and not alive(name) then
    dead[#dead + 1] = name
    each(prefix .. 'owed:' .. name, function(id, debt)
      if now ~= '' and not lives(id) then owe(id, debt) end
      return true
    end)
    each(prefix .. 'node:' .. name, function(id, told)
      local owner = owner_of(id)
      -- One that another run has taken over is that one's.
      if owner and owner ~= name then return true end
      if owner then redis.call('DEL', prefix .. 'conn:' .. id) end
      local subjects, user = string.match(told, '^[^\\n]*\\n[^\\n]*\\n([^\\n]*)\\n(.*)$')
      for _, set in ipairs(sets_of(user or '', subjects or '')) do
        redis.pcall('SREM', set, id)
        sets = sets - 1
      end
      if now ~= '' then owe(id, now .. '\\n' .. name .. '\\n' .. told) end
      return true
    end)
  end
end
-- In this order: whatever fails, nothing is taken out before it is noted.
if #debts > 0 then
  portions(mine, 'HSET', debts)
  outlive(mine, kept)
end
for _, one in ipairs(over) do portions(one[1], 'HDEL', one[2]) end
for _, name in ipairs(dead) do
  if redis.call('EXISTS', prefix .. 'owed:' .. name, prefix .. 'node:' .. name) == 0 then
    redis.call('ZREM', prefix .. 'nodes', name)
  end
end
return {looked, debts}
"""
)
"""Forget connections of nodes without a lease, and claim them if the backend is told. Answers how many were
looked at, and what is owed: ids and debts in turns."""
