"""A broker in the memory of one process: the twin of the real ones, for tests.

What is written to it comes out of every source of the same broker that runs, in order.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from zope.interface import implementer

from ws_gateway.brokers.counts import SourceCounts
from ws_gateway.errors import BrokerDown
from ws_gateway.interfaces import IMetrics, IPublicationSource, IPublicationTaker, IReadiness, IRelay

__all__ = ["MemoryBroker", "MemoryRelay", "MemorySource"]

_log = Logger()

_BATCH = 100


class MemoryBroker:
    """The outbox and the dead letters.

    :param kept: how many publications and dead letters are kept; of more, the oldest are forgotten.
    :ivar dead_letters: (reason, document) of what nobody could use, once each.
    """

    def __init__(self, kept: int = 100_000) -> None:
        self._kept = kept
        self._entries: dict[int, bytes] = {}
        self._dead: dict[int, tuple[str, bytes]] = {}
        self._sources: list[MemorySource] = []
        self._written = 0
        self._is_up = True

    @property
    def is_up(self) -> bool:
        """Whether it answers."""
        return self._is_up

    @property
    def end(self) -> int:
        """The number of the newest entry."""
        return self._written

    @property
    def dead_letters(self) -> list[tuple[str, bytes]]:
        """(reason, document) of what nobody could use, once each."""
        return list(self._dead.values())

    def write(self, documents: Sequence[bytes]) -> None:
        """Append to the outbox.

        :raises BrokerDown: it does not answer.
        """
        if not self._is_up:
            raise BrokerDown("the broker in memory is down")
        for document in documents:
            self._written += 1
            self._entries[self._written] = document
        self._shorten(self._entries)
        self._tell()

    def after(self, position: int, count: int) -> list[tuple[int, bytes]]:
        """The entries that follow a position, at most so many."""
        first = max(position + 1, self._written - len(self._entries) + 1)
        numbers = islice(range(first, self._written + 1), count)
        return [(number, self._entries[number]) for number in numbers]

    def bury(self, number: int, reason: str, document: bytes) -> None:
        """Keep a dead letter, once for each entry."""
        self._dead.setdefault(number, (reason, document))
        self._shorten(self._dead)

    def attach(self, source: MemorySource) -> None:
        """Tell a source of everything new."""
        self._sources.append(source)

    def detach(self, source: MemorySource) -> None:
        """Tell it nothing any more."""
        self._sources.remove(source)

    def go_down(self) -> None:
        """Answer nobody. What was written is kept."""
        self._is_up = False

    def come_back(self) -> None:
        """Answer again."""
        self._is_up = True
        self._tell()

    def _tell(self) -> None:
        for source in tuple(self._sources):
            source.look()

    def _shorten(self, kept: dict[int, bytes] | dict[int, tuple[str, bytes]]) -> None:
        while len(kept) > self._kept:
            del kept[next(iter(kept))]


@implementer(IPublicationSource, IReadiness)
class MemorySource(Service):
    """Brings what is written to a broker in memory. One batch is under way at a time."""

    name = "memory"

    def __init__(self, broker: MemoryBroker, metrics: IMetrics) -> None:
        self._broker = broker
        self._counts = SourceCounts(metrics, self.name)
        self._taker: IPublicationTaker | None = None
        self._position: int | None = None
        self._busy = False
        self._ended: Deferred[None] | None = None

    def feed(self, taker: IPublicationTaker) -> None:
        self._taker = taker

    def positioned(self) -> Deferred[None]:
        return succeed(None)

    def readiness(self) -> tuple[str, str, str]:
        if self._broker.is_up:
            return "memory_outbox", "ok", ""
        return "memory_outbox", "degraded", "the broker in memory is down"

    def startService(self) -> None:
        """Bring what is written from now on."""
        super().startService()  # type: ignore[no-untyped-call]
        if self._position is None:
            self._position = self._broker.end
        self._broker.attach(self)

    def stopService(self) -> Deferred[None]:
        """Bring nothing any more.

        :returns Deferred[None]: fires when the taker has answered for what it has.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        self._broker.detach(self)
        if not self._busy:
            return succeed(None)
        self._ended = Deferred()
        return self._ended

    def look(self) -> None:
        """There may be something new."""
        if not self._busy and self.running and self._broker.is_up:
            self._busy = True
            bringing = Deferred.fromCoroutine(self._bring())
            bringing.addErrback(lambda failure: _log.failure("publications were not taken", failure))

    async def _bring(self) -> None:
        try:
            await self._bring_all()
        finally:
            self._busy = False
            ended, self._ended = self._ended, None
            if ended is not None:
                ended.callback(None)

    async def _bring_all(self) -> None:
        assert self._taker is not None and self._position is not None
        while self.running and self._broker.is_up:
            entries = self._broker.after(self._position, _BATCH)
            if not entries:
                return
            reasons = await self._taker.take([document for _, document in entries])
            self._counts.received.inc(len(entries))
            self._position = entries[-1][0]
            for (number, document), reason in zip(entries, reasons, strict=True):
                if reason is not None:
                    self._counts.dead_letters.inc()
                    self._broker.bury(number, reason, document)


@implementer(IRelay)
class MemoryRelay:
    """Writes to the outbox of a broker in memory."""

    def __init__(self, broker: MemoryBroker) -> None:
        self._broker = broker

    @property
    def usable(self) -> bool:
        return self._broker.is_up

    def relay(self, documents: Sequence[bytes]) -> Deferred[None]:
        try:
            self._broker.write(documents)
        except BrokerDown:
            return fail()
        return succeed(None)
