"""Events from Redis Streams, by a consumer group.

What was brought stays in the group's list of pending entries until it is acknowledged (see `pending`). A
consumer that starts takes over its own ones first; what a dead consumer left behind is claimed by the others
after a while, which is why whoever is alive keeps its own entries fresh, those that wait here included.
Nothing is handed out that may be somebody else's by now.

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

from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.consumer.pending import Pending, entry_of
from ws_gateway.domain.messages import Entry
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IInbox

__all__ = ["Membership", "RedisInbox", "Streams"]

_log = Logger()

_BLOCK_SECONDS = 5.0
_PAUSE_SECONDS = 1.0


@frozen
class Streams:
    """Which streams are read.

    :ivar named: read always.
    :ivar partitioned: streams whose partitions (`<name>.<partition>`) are looked for, too.
    :ivar dead_letters: where entries go that the application could not use.
    :ivar discover_seconds: how often partitions are looked for.
    """

    named: tuple[str, ...]
    partitioned: tuple[str, ...] = ()
    dead_letters: str = "ws.dlq"
    discover_seconds: float = 10.0


@frozen
class Membership:
    """Who reads.

    :ivar group: shared by all consumers of an application; made where it is missing.
    :ivar consumer: the name of this one, different from all that live.
    :ivar from_start: whether a new group begins with what is there already.
    :ivar claim_after: seconds after which entries of a silent consumer are claimed.
    :ivar prefetch: how many entries wait here at most, about.
    """

    group: str
    consumer: str
    from_start: bool = True
    claim_after: float = 60.0
    prefetch: int = 100


@implementer(IInbox)
class RedisInbox(Service):
    """See the module.

    :param reading: a link of its own, because reading blocks it.
    :param writing: for everything else.
    """

    name = "redis"

    def __init__(
        self,
        reading: RedisLink,
        writing: RedisLink,
        clock: IReactorTime,
        membership: Membership,
        streams: Streams,
    ) -> None:
        self._reading = reading
        self._writing = writing
        self._clock = clock
        self._me = membership
        self._streams = streams
        self._pending = Pending(writing, membership.group, membership.consumer, streams.dead_letters)
        self._origin = "0" if membership.from_start else "$"
        self._known: dict[str, None] = {}
        self._buffer: deque[Entry] = deque()
        self._takers: deque[tuple[Deferred[list[Entry]], int]] = deque()
        self._serving = False
        self._room: Deferred[None] | None = None
        self._up: Deferred[None] | None = None
        self._life: Deferred[None] = succeed(None)
        self._upkeep = LoopingCall(self._keep_up)
        self._upkeep.clock = clock
        self._kept_at = clock.seconds()
        self._keeping: Deferred[None] | None = None
        self._discovered_at = 0.0
        self._last_trouble = ""
        reading.subscribe(self._link_is_up)
        writing.subscribe(self._can_write)

    # For whoever consumes.

    def next(self, most: int) -> Deferred[list[Entry]]:
        """See IInbox. What was brought to somebody before comes alone: it may be what killed him."""

        def forget(taker: Deferred[list[Entry]]) -> None:
            if (taker, most) in self._takers:
                self._takers.remove((taker, most))

        taker: Deferred[list[Entry]] = Deferred(forget)
        self._takers.append((taker, most))
        self._serve()
        return taker

    def acknowledge(self, entries: Sequence[Entry]) -> Deferred[None]:
        """See IInbox. Where the broker is away it is told when it comes back, so nothing comes twice."""
        return self._pending.acknowledge(entries)

    def give_up(self, entry: Entry, reason: str) -> Deferred[None]:
        """See IInbox."""
        return Deferred.fromCoroutine(self._pending.give_up(entry, reason))

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
            await self._pending.leave(list(self._known))
        except (BrokerDown, BrokerRefused) as error:
            _log.debug("could not sign off: {detail}", detail=str(error))
        await self._writing.stopService()

    async def _live(self) -> None:
        while True:
            try:
                await self._wait_for_link()
                await self._discover()
                for stream in self._known:
                    self._take(await self._pending.ours(stream))
                if not self._upkeep.running:
                    self._upkeep.start(self._me.claim_after / 3).addErrback(self._not_our_plan)
                self._last_trouble = ""
                while True:
                    await self._wait_for_room()
                    if self._clock.seconds() - self._discovered_at >= self._streams.discover_seconds:
                        await self._discover()
                    self._take(await self._read_new())
            except BrokerDown:
                # The links say why, and when they are back. Only the other one may be down.
                await deferLater(self._clock, _PAUSE_SECONDS / 10)
            except BrokerRefused as error:
                if error.code == "NOGROUP":
                    self._known.clear()  # a stream was deleted, or the database flushed: begin it again
                else:
                    self._say(str(error))
                await deferLater(self._clock, _PAUSE_SECONDS)
            except Exception as error:
                if isinstance(error, CancelledError):
                    raise
                _log.failure("reading from Redis failed within us; trying again")
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
        while len(self._buffer) >= self._me.prefetch:
            self._room = Deferred()
            await self._room

    # Reading.

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
                found.update(dict.fromkeys(sorted(name.decode() for name in names if name.isascii())))
                if cursor == b"0":
                    break
        for stream in found:
            if stream not in self._known:
                await self._make_group(stream)
        if found.keys() - self._known.keys():
            _log.info("reading {streams}", streams=", ".join(found.keys() - self._known.keys()))
        self._known = found
        self._discovered_at = self._clock.seconds()
        # What is found later, or begun again, has nothing in it that was there before us.
        self._origin = "0"

    async def _make_group(self, stream: str) -> None:
        try:
            await self._reading.run("XGROUP", "CREATE", stream, self._me.group, self._origin, "MKSTREAM")
        except BrokerRefused as error:
            if error.code != "BUSYGROUP":
                raise

    async def _read_new(self) -> list[Entry]:
        names = list(self._known)
        block = _BLOCK_SECONDS
        if self._streams.partitioned:
            block = min(block, self._streams.discover_seconds)
        me = self._me
        answer = await self._reading.run(
            *("XREADGROUP", "GROUP", me.group, me.consumer, "COUNT", me.prefetch),
            *("BLOCK", max(1, int(block * 1000)), "STREAMS"),
            *names,
            *([">"] * len(names)),
            timeout=block + 5.0,
        )
        return [
            entry_of(stream.decode(), position, fields)
            for stream, entries in answer or []
            for position, fields in entries
        ]

    # Handing out.

    def _take(self, entries: Sequence[Entry]) -> None:
        self._buffer.extend(entry for entry in entries if self._pending.hold(entry))
        self._serve()

    def _serve(self) -> None:
        if self._serving or not self._takers or not self._buffer:
            return
        if self._clock.seconds() - self._kept_at > self._me.claim_after:
            self._keep_now()  # others may have claimed what waits here
            return
        if self._buffer[0].deliveries > 1:
            self._serving = True
            serving: Deferred[None] = Deferred.fromCoroutine(self._hand_out_again(self._buffer.popleft()))
            serving.addErrback(self._not_our_plan)
            return
        taker, most = self._takers.popleft()
        entries: list[Entry] = []
        while self._buffer and len(entries) < most and self._buffer[0].deliveries == 1:
            entries.append(self._buffer.popleft())
        self._has_room()
        taker.callback(entries)

    async def _hand_out_again(self, entry: Entry) -> None:
        try:
            await self._pending.count_try(entry)
        except (BrokerDown, BrokerRefused) as error:
            _log.debug("a try could not be counted: {detail}", detail=str(error))
        self._serving = False
        if not self._pending.is_held(entry):
            self._serve()
        elif self._takers:
            self._has_room()
            self._takers.popleft()[0].callback([entry])
        else:
            self._buffer.appendleft(entry)

    def _has_room(self) -> None:
        if self._room is not None and len(self._buffer) < self._me.prefetch:
            room, self._room = self._room, None
            if not room.called:
                room.callback(None)

    # Keeping what is ours, and taking what nobody keeps.

    def _can_write(self) -> None:
        self._pending.acknowledge_again()
        self._keep_now()

    def _keep_now(self) -> None:
        if self._keeping is not None or not self._writing.is_up:
            return
        keeping = self._keeping = Deferred.fromCoroutine(self._keep())
        keeping.addErrback(self._not_kept)
        if keeping.called:
            self._keeping = None

    async def _keep(self) -> None:
        began = self._clock.seconds()
        lost = 0
        try:
            lost = await self._pending.keep()
        except BrokerRefused as error:
            self._say(str(error))  # what cannot be kept is handed out all the same
        finally:
            self._keeping = None
        self._kept_at = began
        if lost:
            _log.warn("{count} events that waited here went to other consumers", count=lost)
            self._buffer = deque(entry for entry in self._buffer if self._pending.is_held(entry))
            self._has_room()
        self._serve()

    def _keep_up(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._refresh_and_claim()).addErrback(self._not_kept)

    async def _refresh_and_claim(self) -> None:
        if not self._writing.is_up:
            return
        if self._keeping is None:
            await self._keep()
        for stream in list(self._known):
            if len(self._buffer) >= self._me.prefetch:
                return
            self._take(await self._pending.claim(stream, int(self._me.claim_after * 1000)))

    def _not_kept(self, failure: Failure) -> None:
        if not failure.check(BrokerDown, BrokerRefused, CancelledError):
            _log.failure("keeping entries fresh failed", failure)

    def _not_our_plan(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("reading from Redis is over", failure)


def _escaped(name: str) -> str:
    """A name in a pattern of SCAN, meaning itself."""
    return "".join(f"\\{letter}" if letter in "\\*?[]^" else letter for letter in name)
