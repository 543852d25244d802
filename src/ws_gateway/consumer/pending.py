"""What a consumer group has brought to one consumer and not heard of since: the list of pending entries.

| | what |
|---|---|
| held | brought to us and not acknowledged: waiting here, in hand, or done and not yet told |
| kept | held entries are claimed again by ourselves, before others may claim them from a silent consumer |
| lost | held entries that another consumer has claimed, because we were frozen or cut off |
| left | what is unfinished when we stop is made so old that others claim it at once |

How often an entry was brought is counted here, not by Redis: that one counts all that were brought with the
one that killed the process, and they would become dead letters together with it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.brokers.redis.link import RedisLink, Script
from ws_gateway.brokers.redis.writing import ScriptOrNot
from ws_gateway.domain.messages import Entry
from ws_gateway.errors import BrokerDown, BrokerRefused

__all__ = ["Pending", "Position", "entry_of"]

_log = Logger()

_AT_ONCE = 100
# Longer than any consumer waits before it claims: set on what a consumer that stops leaves behind.
_ABANDONED_MS = 24 * 3600 * 1000

_GIVE_UP = Script("""
redis.call('XADD', KEYS[2], '*', 'reason', ARGV[3], 'raw', ARGV[4], 'stream', KEYS[1], 'entry', ARGV[2])
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
""")

# Claims what is still ours; returns what another consumer has, or has finished. What is neither pending nor
# in the stream was trimmed away with its place in the list: nobody but us has it.
_KEEP = Script("""
local ours, lost = {}, {}
for at = 3, #ARGV do
  local id = ARGV[at]
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], id, id, 1)
  if #pending > 0 then
    local mine = pending[1][2] == ARGV[2]
    table.insert(mine and ours or lost, id)
  elseif #redis.call('XRANGE', KEYS[1], id, id) > 0 then
    table.insert(lost, id)
  end
end
if #ours > 0 then
  table.insert(ours, 'JUSTID')
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, unpack(ours))
end
return lost
""")

# A consumer's name goes only if nothing is pending under it: that would be lost with the name.
_LEAVE = Script("""
local last = '-'
local left = 0
while true do
  local pending = redis.call('XPENDING', KEYS[1], ARGV[1], last, '+', 500, ARGV[2])
  if #pending == 0 then break end
  local ids = {}
  for _, one in ipairs(pending) do table.insert(ids, one[1]) end
  left = left + #ids
  last = '(' .. ids[#ids]
  table.insert(ids, 'IDLE')
  table.insert(ids, ARGV[3])
  table.insert(ids, 'JUSTID')
  redis.call('XCLAIM', KEYS[1], ARGV[1], ARGV[2], 0, unpack(ids))
end
if left == 0 then redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
return left
""")

Position = tuple[str, bytes]


def entry_of(stream: str, position: bytes, fields: Sequence[bytes], deliveries: int = 1) -> Entry:
    """An entry as Redis shows it."""
    by_name = dict(zip(fields[::2], fields[1::2], strict=False))
    # Without the field there is no event in it, which whoever reads the empty document will say.
    return Entry(stream, position, by_name.get(b"data", b""), deliveries)


class Pending:
    """See the module.

    :param link: one that nobody blocks.
    :param dead_letters: the stream for what the application could not use.
    """

    def __init__(self, link: RedisLink, group: str, consumer: str, dead_letters: str) -> None:
        self._link = link
        self._group = group
        self._consumer = consumer
        self._dead_letters = dead_letters
        self._held: set[Position] = set()
        self._done: set[Position] = set()
        self._give_up = ScriptOrNot(link, _GIVE_UP, "dead letters are written", self._give_up_by_steps)
        self._keep = ScriptOrNot(link, _KEEP, "entries are kept", self._keep_by_steps)

    def hold(self, entry: Entry) -> bool:
        """Note that an entry was brought.

        :returns: whether that is news.
        """
        position = (entry.source, entry.position)
        if position in self._held:
            return False
        self._held.add(position)
        return True

    def is_held(self, entry: Entry) -> bool:
        """Whether an entry is still ours."""
        return (entry.source, entry.position) in self._held

    def acknowledge(self, entries: Sequence[Entry]) -> Deferred[None]:
        """The group is done with them. What does not arrive is said again on the next connection."""
        streams: dict[str, list[bytes]] = {}
        for entry in entries:
            self._done.add((entry.source, entry.position))
            streams.setdefault(entry.source, []).append(entry.position)
        told = [self._tell_done(stream, ids) for stream, ids in streams.items()]
        if len(told) == 1:
            return told[0]
        return gatherResults(told, consumeErrors=True).addCallbacks(lambda _: None, _first_of_them)

    def acknowledge_again(self) -> None:
        """The connection is new: acknowledgements that were under way may not have arrived."""
        streams: dict[str, list[bytes]] = {}
        for stream, position in self._done:
            streams.setdefault(stream, []).append(position)
        for stream, ids in streams.items():
            self._tell_done(stream, ids).addErrback(_note)

    async def give_up(self, entry: Entry, reason: str) -> None:
        """See IInbox."""
        keys = (entry.source, self._dead_letters)
        await self._give_up.run(keys, (self._group, entry.position, reason, entry.body))
        self._forget(entry.source, [entry.position])

    async def count_try(self, entry: Entry) -> None:
        """Note in the list that the application is about to get an entry that was brought before."""
        await self._link.run(
            *("XCLAIM", entry.source, self._group, self._consumer, 0, entry.position),
            *("RETRYCOUNT", entry.deliveries, "JUSTID"),
        )

    async def ours(self, stream: str) -> list[Entry]:
        """What was brought to this name before, and is not held: before a restart, or with a lost answer."""
        found: list[Entry] = []
        after: bytes = b"-"
        while True:
            pending = await self._link.run(
                "XPENDING", stream, self._group, after, "+", _AT_ONCE, self._consumer
            )
            found += await self._fetch(stream, pending)
            if len(pending) < _AT_ONCE:
                return found
            after = b"(" + pending[-1][0]

    async def claim(self, stream: str, idle_ms: int) -> list[Entry]:
        """Take over what silent consumers have held for so long."""
        answer = await self._link.run(
            *("XAUTOCLAIM", stream, self._group, self._consumer, idle_ms, "0-0"),
            *("COUNT", _AT_ONCE, "JUSTID"),
        )
        ids = [position for position in answer[1] if (stream, position) not in self._held]
        if not ids:
            return []
        _log.info("{count} entries of {stream} taken over", count=len(ids), stream=stream)
        pending: list[Any] = []
        for position in ids:
            pending += await self._link.run("XPENDING", stream, self._group, position, position, 1)
        return await self._fetch(stream, pending)

    async def keep(self) -> int:
        """Keep everything that is held.

        :returns: how many entries were lost to others; they are not held any more.
        """
        streams: dict[str, list[bytes]] = {}
        for stream, position in self._held:
            streams.setdefault(stream, []).append(position)
        lost_in_all = 0
        for stream, ids in streams.items():
            for start in range(0, len(ids), _AT_ONCE):
                some = ids[start : start + _AT_ONCE]
                try:
                    lost = await self._keep.run((stream,), (self._group, self._consumer, *some))
                except BrokerRefused as error:
                    if error.code != "NOGROUP":
                        raise
                    continue  # the stream was deleted; what we hold of it is all that is left
                # Done is not lost: it was acknowledged meanwhile.
                lost_in_all += sum((stream, position) not in self._done for position in lost)
                self._forget(stream, lost)
        return lost_in_all

    async def leave(self, streams: Sequence[str]) -> None:
        """Leave what is unfinished to the others, and sign off."""
        for stream in streams:
            await self._link.run_script(_LEAVE, [stream], [self._group, self._consumer, _ABANDONED_MS])

    async def _fetch(self, stream: str, pending: Sequence[Any]) -> list[Entry]:
        """Entries by what the list says of them: id, consumer, idle time, how often they were brought."""
        wanted = {one[0]: int(one[3]) for one in pending if (stream, one[0]) not in self._held}
        if not wanted:
            return []
        answers = await self._link.run_all([("XRANGE", stream, one, one) for one in wanted])
        found = []
        for (position, brought), answer in zip(wanted.items(), answers, strict=True):
            if isinstance(answer, Exception):
                raise answer
            if answer:
                found.append(entry_of(stream, position, answer[0][1], brought + 1))
            else:
                # Trimmed away meanwhile: nothing is left of it but its place in the list.
                await self._link.run("XACK", stream, self._group, position)
        return found

    def _tell_done(self, stream: str, ids: Sequence[bytes]) -> Deferred[None]:
        told = self._link.run("XACK", stream, self._group, *ids)
        return told.addCallback(lambda _: self._forget(stream, ids))

    def _forget(self, stream: str, ids: Sequence[bytes]) -> None:
        for position in ids:
            self._held.discard((stream, position))
            self._done.discard((stream, position))

    async def _steps_of_give_up(self, keys: Sequence[bytes | str], arguments: Sequence[Any]) -> Any:
        group, position, reason, body = arguments
        words = ("reason", reason, "raw", body, "stream", keys[0], "entry", position)
        await self._link.run("XADD", keys[1], "*", *words)
        return await self._link.run("XACK", keys[0], group, position)

    def _give_up_by_steps(self, keys: Sequence[bytes | str], arguments: Sequence[Any]) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._steps_of_give_up(keys, arguments))

    def _keep_by_steps(self, keys: Sequence[bytes | str], arguments: Sequence[Any]) -> Deferred[Any]:
        claimed = self._link.run("XCLAIM", keys[0], *arguments[:2], 0, *arguments[2:], "JUSTID")
        return claimed.addCallback(lambda _: [])


def _first_of_them(failure: Failure) -> Failure:
    """What went wrong, out of what gatherResults() makes of it."""
    failure.trap(FirstError)
    assert isinstance(failure.value, FirstError)
    return failure.value.subFailure


def _note(failure: Failure) -> None:
    if failure.check(BrokerDown):
        return  # the link says so, and there will be another one
    if failure.check(BrokerRefused):
        _log.warn("events were not acknowledged and may come again: {detail}", detail=str(failure.value))
    else:
        _log.failure("acknowledging again failed within us", failure)
