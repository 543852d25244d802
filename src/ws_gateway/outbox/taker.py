"""Takes what brokers bring from the backend, and delivers it.

Documents are read and delivered in the order in which they come, whoever brings them. What waits goes out
together, in one call of the delivery, so a burst costs each connection one write; only an order to disconnect
stands between: what came before it is queued to clients first, what comes after it waits.

Much at once is read in portions, so that no turn of the loop takes long; a few of them go out together, as
each connection costs the same whether it gets one publication or hundreds. Where the delivery has no room the
outbox waits and offers the same again. Until then whoever brought it has no answer, and brings no more than
it has decided to have under way: that is the bound of what waits here.

A document that nobody can use is answered with a reason that begins with a word for machines: `parse_error`,
it is no JSON that we accept; `invalid`, a value is missing or not allowed.
"""

from collections import deque
from collections.abc import Sequence

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from ws_gateway.domain.codec import PublicationInvalid, decode_order
from ws_gateway.domain.messages import Kick, Publication
from ws_gateway.domain.spans import UNTRACED, SpanKind
from ws_gateway.domain.throttle import Throttle
from ws_gateway.errors import Overloaded
from ws_gateway.interfaces import (
    IConnectionDirectory,
    IDelivery,
    IMetrics,
    IPublicationTaker,
    ISpan,
    ITracer,
)

__all__ = ["OutboxTaker"]

_log = Logger()

PORTION = 256
"""Documents that are read in one turn: 2 to 3 ms."""

PORTION_BYTES = 512 * 1024
"""The same for large ones; a portion is at least one document."""

PORTIONS = 4
"""Portions that go out together where so much waits: as many publications as may wait for a client by
default, and fewer bytes."""

WAIT_SECONDS = 0.05
"""How long the outbox waits before it offers again what the delivery had no room for."""

_LOG_SECONDS = 1.0

_FAULT = "fault: the gateway failed on this document; its log says why"


@define(eq=False)
class _Take:
    """One call of take().

    :ivar at: how many of its documents were read.
    """

    documents: Sequence[bytes]
    reasons: list[str | None] = field(factory=list)
    at: int = 0
    done: Deferred[list[str | None]] = field(factory=Deferred)


@implementer(IPublicationTaker)
class OutboxTaker(Service):
    """See the module. It works whether it runs or not; stopped, it waits for nobody any more.

    :param tracer: sees what goes out together as one span, where all of it belongs to one trace.
    """

    name = "outbox"

    def __init__(
        self,
        delivery: IDelivery,
        directory: IConnectionDirectory,
        clock: IReactorTime,
        metrics: IMetrics,
        tracer: ITracer = UNTRACED,
    ) -> None:
        self._delivery = delivery
        self._directory = directory
        self._clock = clock
        self._tracer = tracer
        self._takes: deque[_Take] = deque()
        self._waiting = 0
        self._working = False
        self._stopping = False
        self._idle: list[Deferred[None]] = []
        self._pause: Deferred[None] | None = None
        self._complaints = Throttle(_LOG_SECONDS, burst=10)
        self._kicks = metrics.counter("outbox_kicks_total", "Orders to disconnect that came by the outbox.")
        self._held_back = metrics.counter(
            "outbox_held_back_total", "Times that the outbox waited because too much was to be handed out."
        )
        self._failed = metrics.counter(
            "outbox_failed_total", "Publications from the outbox that were given up by a fault or a stop."
        )
        metrics.gauge(
            "outbox_waiting", "Documents from the outbox that are not read yet.", lambda: self._waiting
        )

    def startService(self) -> None:
        """Wait again where there is no room."""
        super().startService()  # type: ignore[no-untyped-call]
        self._stopping = False

    def stopService(self) -> Deferred[None]:
        """Answer for everything that was taken, without waiting for room.

        :returns Deferred[None]: fires when nothing is left.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        self._stopping = True
        if not self._working:
            return succeed(None)
        idle: Deferred[None] = Deferred()
        self._idle.append(idle)
        if self._pause is not None:
            self._pause.cancel()
        return idle

    def take(self, documents: Sequence[bytes]) -> Deferred[list[str | None]]:
        """See IPublicationTaker."""
        if not documents:
            return succeed([])
        take = _Take(documents)
        self._takes.append(take)
        self._waiting += len(documents)
        if not self._working:
            self._working = True
            work = Deferred.fromCoroutine(self._work())
            work.addErrback(lambda failure: _log.failure("the outbox stopped working", failure))
        return take.done

    def judge(self, document: bytes) -> str | None:
        """See IPublicationTaker."""
        order = _read(document)
        return order if isinstance(order, str) else None

    async def _work(self) -> None:
        """Work until nothing waits."""
        try:
            while self._takes:
                finished, publications = await self._gather()
                had_turn = await self._deliver(publications) if publications else False
                for take in finished:
                    take.done.callback(take.reasons)
                if self._takes and not had_turn:
                    await self._others_turn()
        finally:
            self._working = False
            idle, self._idle = self._idle, []
            for waiter in idle:
                waiter.callback(None)

    async def _gather(self) -> tuple[list[_Take], list[Publication]]:
        """Read as much as goes out together, a portion in a turn.

        :returns: the calls whose last document was read, and what is still to be delivered.
        """
        finished: list[_Take] = []
        publications: list[Publication] = []
        size = 0
        for number in range(PORTIONS):
            if number and (not self._takes or size > PORTION_BYTES // 2):
                break
            if number:
                await self._others_turn()
            size += await self._portion(finished, publications)
        return finished, publications

    async def _portion(self, finished: list[_Take], publications: list[Publication]) -> int:
        """Read as much as one turn may.

        :param finished: gets the calls whose last document was read.
        :param publications: gets what was read; what stands before an order to disconnect is delivered.
        :returns: the bytes that were read.
        """
        count = size = 0
        while self._takes and count < PORTION and size < PORTION_BYTES:
            take = self._takes[0]
            document = take.documents[take.at]
            count += 1
            size += len(document)
            self._waiting -= 1
            take.at += 1
            if take.at == len(take.documents):
                finished.append(self._takes.popleft())
            order = _read(document)
            if isinstance(order, Publication):
                publications.append(order)
                take.reasons.append(None)
            elif isinstance(order, Kick):
                if publications:
                    had_turn = await self._deliver(list(publications))
                    publications.clear()
                    if not had_turn:
                        await self._others_turn()
                self._disconnect(order)
                take.reasons.append(None)
            else:
                self._complain(order)
                take.reasons.append(order)
        return size

    async def _deliver(self, publications: list[Publication]) -> bool:
        """Hand over, as soon as there is room.

        :returns: whether others had a turn meanwhile.
        """
        span = self._begin(publications)
        had_turn = False
        while True:
            try:
                answer = self._delivery.deliver(publications, whole=True)
                had_turn = had_turn or not answer.called
                counts = await answer
            except Overloaded:
                self._held_back.inc()
                if await self._rest():
                    had_turn = True
                    continue
                error = "stopped"
                _log.warn(
                    "{count} publications of the outbox found no room before the node stopped",
                    count=len(publications),
                )
            except Exception as fault:
                error = type(fault).__name__
                _log.failure(
                    "{count} publications of the outbox were given up by a fault", count=len(publications)
                )
            else:
                if span is not None:
                    span.note("ws.connections", sum(counts))
                    span.end()
                return had_turn
            self._failed.inc(len(publications))
            if span is not None:
                span.end(error)
            return had_turn

    def _others_turn(self) -> Deferred[None]:
        """Let the loop do something else."""
        return deferLater(self._clock, 0)

    async def _rest(self) -> bool:
        """Let a moment pass.

        :returns: whether to go on waiting for room.
        """
        if self._stopping:
            return False
        self._pause = deferLater(self._clock, WAIT_SECONDS)
        try:
            await self._pause
        except CancelledError:
            pass  # the node stops: one more try, without waiting
        finally:
            self._pause = None
        return True

    def _begin(self, publications: list[Publication]) -> ISpan | None:
        """A span, where all publications belong to one trace: under load they rarely do, and a span costs as
        much as several publications."""
        traceparent = publications[0].traceparent
        if traceparent is None or any(one.traceparent != traceparent for one in publications):
            return None
        span = self._tracer.begin("outbox", SpanKind.SERVER, traceparent)
        span.note("ws.publications", len(publications))
        return span

    def _disconnect(self, kick: Kick) -> None:
        self._kicks.inc()
        try:
            self._directory.disconnect(
                kick.code, kick.reason, connection_id=kick.connection_id, user_id=kick.user_id
            )
        except Exception:
            self._failed.inc()
            _log.failure("an order of the outbox to disconnect was given up by a fault")

    def _complain(self, reason: str) -> None:
        suppressed = self._complaints.admit(self._clock.seconds())
        if suppressed is not None:
            _log.warn(
                "the outbox holds what nobody can use: {reason} ({suppressed} more like this)",
                reason=reason,
                suppressed=suppressed,
            )


def _read(document: bytes) -> Publication | Kick | str:
    """What a document asks for, or why nobody can use it."""
    try:
        return decode_order(document)
    except PublicationInvalid as error:
        word = "parse_error" if error.status == 400 else "invalid"
        return f"{word}: {error.detail}"
    except Exception:
        _log.failure("reading a document of the outbox failed")
        return _FAULT
