"""Publications that nobody could use, put aside once for the whole cluster.

Every node finds the same bad entry. A key of its own for each entry (`ws:dead:<stream>:<id>`, an hour long)
says that one of them was quicker. While they cannot be written a bounded number waits.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, islice
from typing import Any

from attrs import frozen
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.brokers.redis.link import RedisLink, Script
from ws_gateway.brokers.redis.protocol import Word
from ws_gateway.brokers.redis.streams import OutboxStreams, words_of_trim
from ws_gateway.brokers.redis.writing import ScriptOrNot
from ws_gateway.domain.retry import Backoff
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IMetrics

__all__ = ["DeadLetters"]

_log = Logger()

_SECONDS = 3600
_MOST = 2000
_MOST_BYTES = 8 * 1024 * 1024
_ENOUGH = 500
_AT_ONCE = 100
_LAST_SECONDS = 2.0
_BACKOFF = Backoff(base=0.5, maximum=10.0)

# A mark is set after its letter: where letters cannot be written, none is taken for written. All or none,
# because only the first XADD may fail.
_BURY = Script("""
local written = 0
for at = 2, #KEYS do
  if redis.call('EXISTS', KEYS[at]) == 0 then
    local reason, raw = ARGV[2 * at - 1], ARGV[2 * at]
    if ARGV[2] == '' then
      redis.call('XADD', KEYS[1], '*', 'reason', reason, 'raw', raw)
    else
      redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[2], '*', 'reason', reason, 'raw', raw)
    end
    redis.call('SET', KEYS[at], '1', 'EX', ARGV[1])
    written = written + 1
  end
end
return written
""")


@frozen
class _Letter:
    mark: str
    reason: str
    raw: bytes


class DeadLetters:
    """Writes them, oldest first.

    :param random: numbers from 0 up to 1.
    :ivar trouble: why they are not written, in one sentence; empty if they are.
    """

    def __init__(
        self,
        link: RedisLink,
        streams: OutboxStreams,
        clock: IReactorTime,
        random: Callable[[], float],
        metrics: IMetrics,
    ) -> None:
        self._link = link
        self._streams = streams
        self._clock = clock
        self._random = random
        self._bury = ScriptOrNot(link, _BURY, "dead letters are written", self._bury_by_steps)
        self._waiting: deque[_Letter] = deque()
        self._bytes = 0
        self._writing: Deferred[None] | None = None
        self._rooms: list[Deferred[None]] = []
        self._lost = metrics.counter(
            "outbox_dead_letters_lost_total",
            "Dead letters that could not be written: too many waited, or the node stopped.",
            {"broker": "redis"},
        )
        self.trouble = ""

    def add(self, entry_id: str, reason: str, raw: bytes) -> None:
        """Put a publication aside. Of too many that wait the oldest is forgotten, and counted."""
        self._waiting.append(_Letter(f"ws:dead:{self._streams.outbox}:{entry_id}", reason, raw))
        self._bytes += len(raw)
        while len(self._waiting) > _MOST or (self._bytes > _MOST_BYTES and len(self._waiting) > 1):
            self._bytes -= len(self._waiting.popleft().raw)
            self._lost.inc()
        if self._writing is None:
            self._writing = Deferred.fromCoroutine(self._write())
            self._writing.addBoth(self._ended)

    def room(self) -> Deferred[None]:
        """Wait until few of them wait, or until it is clear that they cannot be written."""
        if len(self._waiting) <= _ENOUGH or self.trouble:
            return succeed(None)
        room: Deferred[None] = Deferred(self._rooms.remove)
        self._rooms.append(room)
        return room

    def stop(self) -> Deferred[None]:
        """Write what can be written at once, and say how many were left.

        :returns Deferred[None]: when nothing is written any more.
        """
        writing = self._writing
        if writing is None:
            return succeed(None)
        ended: Deferred[None] = Deferred()
        writing.addCallback(self._say_what_is_left).chainDeferred(ended)
        writing.addTimeout(0 if self.trouble else _LAST_SECONDS, self._clock)
        return ended

    def _say_what_is_left(self, _: Any) -> None:
        if self._waiting:
            self._lost.inc(len(self._waiting))
            _log.warn("{count} dead letters could not be written", count=len(self._waiting))
            self._waiting.clear()

    def _ended(self, result: Any) -> None:
        self._writing = None
        if isinstance(result, Failure) and not result.check(CancelledError):
            _log.failure("dead letters are not written", result)

    async def _write(self) -> None:
        failures = 0
        while self._waiting:
            letters = tuple(islice(self._waiting, _AT_ONCE))
            try:
                await self._write_some(letters)
            except (BrokerDown, BrokerRefused) as error:
                self._complain(error)
                self._make_room()
                await deferLater(self._clock, _BACKOFF.delay(failures, self._random()))
                failures += 1
                continue
            failures = 0
            self.trouble = ""
            for letter in letters:
                if self._waiting and self._waiting[0] is letter:
                    self._waiting.popleft()
                    self._bytes -= len(letter.raw)
            if len(self._waiting) <= _ENOUGH:
                self._make_room()

    async def _write_some(self, letters: Sequence[_Letter]) -> None:
        maxlen = self._streams.maxlen
        pairs: Iterable[Word] = chain.from_iterable((letter.reason, letter.raw) for letter in letters)
        keys = (self._streams.dead_letters, *(letter.mark for letter in letters))
        await self._bury.run(keys, (_SECONDS, "" if maxlen is None else maxlen, *pairs))

    def _bury_by_steps(self, keys: Sequence[bytes | str], arguments: Sequence[Word]) -> Deferred[Any]:
        async def bury() -> None:
            trim = words_of_trim(self._streams.maxlen)
            for mark, reason, raw in zip(keys[1:], arguments[2::2], arguments[3::2], strict=True):
                if await self._link.run("SET", mark, "1", "NX", "EX", _SECONDS) is None:
                    continue
                try:
                    await self._link.run("XADD", keys[0], *trim, "*", "reason", reason, "raw", raw)
                except (BrokerDown, BrokerRefused):
                    # Another try, of this node or another, must not take it for written.
                    await self._link.run("DEL", mark)
                    raise

        return Deferred.fromCoroutine(bury())

    def _make_room(self) -> None:
        rooms, self._rooms = self._rooms, []
        for room in rooms:
            room.callback(None)

    def _complain(self, error: BrokerDown | BrokerRefused) -> None:
        trouble = f"dead letters cannot be written to {self._streams.dead_letters}: {error}"
        if trouble != self.trouble:
            _log.warn("{trouble}; trying again", trouble=trouble)
        self.trouble = trouble
