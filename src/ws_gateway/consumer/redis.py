"""Events from Redis Streams, by a consumer group.

What was brought stays in the group's list of pending entries until it is acknowledged. A consumer that starts
takes over its own ones first; what a dead consumer left behind is claimed by the others after a while, which
is why whoever is alive keeps its own entries fresh, those that wait here included.

Partitions (`ws.inbox.room:1`) are streams of their own, found by their names.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ws_gateway.brokers.redis.link import RedisLink, Script
from ws_gateway.domain.messages import Entry
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IInbox

__all__ = ["RedisInbox", "Streams"]

_log = Logger()

_COUNT = 100
_BLOCK_SECONDS = 5.0
_DISCOVER_SECONDS = 10.0
_PAUSE_SECONDS = 1.0
# Longer than any consumer waits before it claims: set on what a consumer that stops leaves behind.
_ABANDONED_MS = 24 * 3600 * 1000

_GIVE_UP = Script(
    """
redis.call('XADD', KEYS[2], '*', 'reason', ARGV[3], 'raw', ARGV[4], 'stream', KEYS[1], 'entry', ARGV[2])
return redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
"""
)

# A consumer's name goes only if nothing is pending under it: that would be lost with the name.
_SIGN_OFF = Script(
    """
local pending = redis.call('XPENDING', KEYS[1], ARGV[1], '-', '+', 1, ARGV[2])
if #pending == 0 then return redis.call('XGROUP', 'DELCONSUMER', KEYS[1], ARGV[1], ARGV[2]) end
return -1
"""
)

Position = tuple[str, bytes]


@frozen
class Streams:
    """Which streams are read.

    :ivar named: read always.
    :ivar partitioned: streams whose partitions (`<name>.<partition>`) are looked for, too.
    :ivar dead_letters: where entries go that the application could not use.
    """

    named: tuple[str, ...]
    partitioned: tuple[str, ...] = ()
    dead_letters: str = "ws.dlq"


@implementer(IInbox)
class RedisInbox(Service):
    """See the module.

    :param reading: a link of its own, because reading blocks it.
    :param writing: for acknowledgements.
    :param group: shared by all consumers of an application; made where it is missing.
    :param consumer: the name of this one, different from all that live.
    :param from_start: whether a new group begins with what is there already.
    :param claim_after: seconds after which entries of a silent consumer are claimed.
    """

    name = "redis"

    def __init__(
        self,
        reading: RedisLink,
        writing: RedisLink,
        clock: IReactorTime,
        group: str,
        consumer: str,
        streams: Streams,
        from_start: bool = True,
        claim_after: float = 60.0,
    ) -> None:
        self._reading = reading
        self._writing = writing
        self._clock = clock
        self._group = group
        self._consumer = consumer
        self._streams = streams
        self._origin = "0" if from_start else "$"
        self._claim_ms = int(claim_after * 1000)
        self._known: dict[str, None] = {}
        self._buffer: deque[Entry] = deque()
        # Everything brought and not acknowledged: in the buffer, in hand, or done with an acknowledgement
        # that has not arrived.
        self._held: set[Position] = set()
        self._done: set[Position] = set()
        self._takers: deque[Deferred[Entry]] = deque()
        self._room: Deferred[None] | None = None
        self._up: Deferred[None] | None = None
        self._life: Deferred[None] = succeed(None)
        self._upkeep = LoopingCall(self._keep_up)
        self._upkeep.clock = clock
        self._discovered_at = 0.0
        self._last_trouble = ""
        reading.subscribe(self._link_is_up)
        writing.subscribe(self._acknowledge_again)

    # For whoever consumes.

    def next(self) -> Deferred[Entry]:
        """See IInbox."""
        if self._buffer:
            entry = self._buffer.popleft()
            if len(self._buffer) < _COUNT:
                self._has_room()
            return succeed(entry)
        taker: Deferred[Entry] = Deferred(self._takers.remove)
        self._takers.append(taker)
        self._has_room()
        return taker

    def acknowledge(self, entry: Entry) -> Deferred[None]:
        """See IInbox. Where the broker is away it is told when it comes back, so nothing comes twice."""
        position = (entry.source, entry.position)
        self._done.add(position)
        return self._writing.run("XACK", entry.source, self._group, entry.position).addCallback(
            lambda _: self._forget(position)
        )

    def give_up(self, entry: Entry, reason: str) -> Deferred[None]:
        """See IInbox."""
        position = (entry.source, entry.position)
        arguments = (self._group, entry.position, reason, entry.body)
        keys = (entry.source, self._streams.dead_letters)
        return self._writing.run_script(_GIVE_UP, keys, arguments).addCallback(
            lambda _: self._forget(position)
        )

    # The life of it.

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._reading.startService()
        self._writing.startService()
        self._life = Deferred.fromCoroutine(self._live())
        self._life.addErrback(self._not_our_plan)

    def stopService(self) -> Deferred[None]:
        """Read nothing more, and leave what is unfinished to the others at once.

        :returns Deferred[None]: when the connections are gone.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        if self._upkeep.running:
            self._upkeep.stop()
        life, self._life = self._life, succeed(None)
        life.cancel()
        return Deferred.fromCoroutine(self._leave(life))

    async def _leave(self, life: Deferred[None]) -> None:
        await life
        await self._reading.stopService()
        try:
            for stream in self._known:
                ids = [position for name, position in self._held - self._done if name == stream]
                if ids:
                    await self._claim_words(stream, ids, "IDLE", _ABANDONED_MS)
                await self._writing.run_script(_SIGN_OFF, [stream], [self._group, self._consumer])
        except (BrokerDown, BrokerRefused) as error:
            _log.debug("could not sign off: {detail}", detail=str(error))
        await self._writing.stopService()

    async def _live(self) -> None:
        while True:
            try:
                await self._wait_for_link()
                await self._discover()
                await self._take_over_own()
                if not self._upkeep.running:
                    self._upkeep.start(self._claim_ms / 3000).addErrback(self._not_our_plan)
                self._last_trouble = ""
                while True:
                    await self._wait_for_room()
                    if self._clock.seconds() - self._discovered_at > _DISCOVER_SECONDS:
                        await self._discover()
                    self._take(await self._read_new())
            except BrokerDown:
                pass  # the link says why, and when it is back
            except BrokerRefused as error:
                if error.code == "NOGROUP":
                    self._known.clear()  # a stream was deleted, or the database flushed: begin it again
                else:
                    self._say(str(error))
                await deferLater(self._clock, _PAUSE_SECONDS)

    def _say(self, trouble: str) -> None:
        if trouble != self._last_trouble:
            self._last_trouble = trouble
            _log.error("Redis refuses to be read: {detail}; trying again", detail=trouble)

    async def _wait_for_link(self) -> None:
        while not self._reading.is_up:
            self._up = Deferred()
            await self._up

    def _link_is_up(self) -> None:
        up, self._up = self._up, None
        if up is not None and not up.called:
            up.callback(None)

    async def _wait_for_room(self) -> None:
        while len(self._buffer) >= _COUNT:
            self._room = Deferred()
            await self._room

    def _has_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.called:
            room.callback(None)

    async def _discover(self) -> None:
        """Find the partitions, and see that every stream has the group."""
        found = dict.fromkeys(self._streams.named)
        for base in self._streams.partitioned:
            cursor: Any = b"0"
            while True:
                pattern = f"{_escaped(base)}.*"
                cursor, names = await self._reading.run(
                    *("SCAN", cursor, "MATCH", pattern, "COUNT", 1000, "TYPE", "stream")
                )
                found.update(dict.fromkeys(sorted(name.decode() for name in names)))
                if cursor == b"0":
                    break
        for stream in found:
            if stream not in self._known:
                await self._make_group(stream)
        self._known = found
        self._discovered_at = self._clock.seconds()

    async def _make_group(self, stream: str) -> None:
        try:
            await self._reading.run("XGROUP", "CREATE", stream, self._group, self._origin, "MKSTREAM")
        except BrokerRefused as error:
            if error.code != "BUSYGROUP":
                raise

    async def _take_over_own(self) -> None:
        """What was brought to this name before, and is not here: before a restart, or with a lost answer."""
        for stream in self._known:
            after: bytes = b"0"
            while True:
                answer = await self._reading.run(
                    *("XREADGROUP", "GROUP", self._group, self._consumer, "COUNT", _COUNT),
                    *("STREAMS", stream, after),
                )
                entries = answer[0][1] if answer else []
                if not entries:
                    break
                after = entries[-1][0]
                await self._take_recovered(self._reading, stream, entries)

    async def _take_recovered(self, link: RedisLink, stream: str, entries: Sequence[Any]) -> None:
        """Entries that were brought to somebody before.

        :param link: one that nobody blocks at the moment.
        """
        found = []
        for position, fields in entries:
            if (stream, position) in self._held:
                continue
            if not fields:
                # Trimmed away meanwhile: nothing is left of it but its place in the list.
                await link.run("XACK", stream, self._group, position)
                continue
            pending = await link.run("XPENDING", stream, self._group, position, position, 1)
            found.append(_entry(stream, position, fields, int(pending[0][3]) if pending else 1))
        self._take(found)

    async def _read_new(self) -> list[Entry]:
        names = list(self._known)
        block = int(_BLOCK_SECONDS * 1000)
        answer = await self._reading.run(
            *("XREADGROUP", "GROUP", self._group, self._consumer, "COUNT", _COUNT, "BLOCK", block),
            *("STREAMS", *names),
            *([">"] * len(names)),
            timeout=_BLOCK_SECONDS + 5.0,
        )
        return [
            _entry(stream.decode(), position, fields)
            for stream, entries in answer or []
            for position, fields in entries
        ]

    def _take(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            self._held.add((entry.source, entry.position))
            if self._takers:
                self._takers.popleft().callback(entry)
            else:
                self._buffer.append(entry)

    # Keeping what is ours, and taking what nobody keeps.

    def _keep_up(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._refresh_and_claim()).addErrback(self._not_kept)

    async def _refresh_and_claim(self) -> None:
        if not self._writing.is_up:
            return
        for stream in list(self._known):
            ids = [position for name, position in self._held if name == stream]
            if ids:
                await self._claim_words(stream, ids)
            answer = await self._writing.run(
                *("XAUTOCLAIM", stream, self._group, self._consumer, self._claim_ms, "0-0"),
                *("COUNT", _COUNT),
            )
            # Redis 6.2 shows entries that were trimmed away as nil; 7 leaves them out by itself.
            entries = [entry for entry in answer[1] if entry is not None]
            if entries:
                _log.info("{count} entries of {stream} taken over", count=len(entries), stream=stream)
                await self._take_recovered(self._writing, stream, entries)

    def _claim_words(self, stream: str, ids: Sequence[bytes], *more: str | int) -> Deferred[Any]:
        """Claim what is ours already: only its age changes."""
        return self._writing.run("XCLAIM", stream, self._group, self._consumer, 0, *ids, *more, "JUSTID")

    def _not_kept(self, failure: Failure) -> None:
        if not failure.check(BrokerDown, BrokerRefused):
            _log.failure("keeping entries fresh failed", failure)

    def _acknowledge_again(self) -> None:
        """The link is new: acknowledgements that were under way may not have arrived."""
        for position in tuple(self._done):
            stream, number = position
            told = self._writing.run("XACK", stream, self._group, number)
            told.addCallback(lambda _, position: self._forget(position), position)
            told.addErrback(self._not_kept)

    def _forget(self, position: Position) -> None:
        self._held.discard(position)
        self._done.discard(position)

    def _not_our_plan(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("reading from Redis is over", failure)


def _entry(stream: str, position: bytes, fields: Sequence[bytes], deliveries: int = 1) -> Entry:
    by_name = dict(zip(fields[::2], fields[1::2], strict=False))
    # Without the field there is no event in it, which whoever reads the empty document will say.
    return Entry(stream, position, by_name.get(b"data", b""), deliveries)


def _escaped(name: str) -> str:
    """A name in a pattern of SCAN, meaning itself."""
    return "".join(f"\\{letter}" if letter in "\\*?[]^" else letter for letter in name)
