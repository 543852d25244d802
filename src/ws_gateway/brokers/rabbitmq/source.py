"""Publications out of RabbitMQ, to every node (contract section 4).

| part | what it does |
|---|---|
| `own_queue` | brings every publication to this node |
| `shared_queue` | keeps `ws.outbox` empty, together with all nodes, and writes dead letters |
| canary | goes out by the writing link with the own queue's name as routing key, and comes back through it |

A canary that was not confirmed says that the writing link is dead, one that was confirmed and did not come
that the reading link is: either is cut and made anew. One that no queue wants says that our bindings are
gone: they are made again. While publications come, or the taker has its hands full, or the broker has an
alarm, a canary that is late says nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import field, frozen
from twisted.application.service import MultiService, Service
from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from ws_gateway.brokers.canary import Canary, Flight
from ws_gateway.brokers.counts import SourceCounts
from ws_gateway.brokers.rabbitmq.link import RabbitLink
from ws_gateway.brokers.rabbitmq.names import RabbitNames, own_queue_name
from ws_gateway.brokers.rabbitmq.own_queue import OwnQueue, OwnQueueRules
from ws_gateway.brokers.rabbitmq.publisher import Message, Outcome, Publisher
from ws_gateway.brokers.rabbitmq.shared_queue import SharedQueue
from ws_gateway.brokers.rabbitmq.topology import Binding, Exchange, Item, Queue
from ws_gateway.brokers.rabbitmq.upkeep import Upkeep
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IMetrics, IPublicationSource, IPublicationTaker, IReadiness

if TYPE_CHECKING:
    from ws_gateway.brokers.rabbitmq.wire import Wire

__all__ = ["RabbitSource", "SourceRules"]

_NAMES = RabbitNames()


@frozen
class SourceRules:
    """How the outbox is read.

    :ivar canary_seconds: how often a canary flies; 0 = never.
    :ivar canary_patience: after how many seconds it is given up.
    """

    own_queue: OwnQueueRules = field(factory=OwnQueueRules)
    canary_seconds: float = 5.0
    canary_patience: float = 5.0


_RULES = SourceRules()


@implementer(IPublicationSource, IReadiness)
class RabbitSource(MultiService):
    """See the module.

    :param reading: a link that nobody else uses; started and stopped with the source.
    :param writing: the link that dead letters and canaries go by; somebody else starts and stops it.
    :param node_run: new at every start of the node.
    :param chance: a random number, 0 <= chance < 1.
    """

    name = "rabbitmq"

    def __init__(
        self,
        reading: RabbitLink,
        writing: RabbitLink,
        node_id: str,
        node_run: str,
        clock: IReactorTime,
        chance: Callable[[], float],
        metrics: IMetrics,
        names: RabbitNames = _NAMES,
        rules: SourceRules = _RULES,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._reading = reading
        self._writing = writing
        self._names = names
        self._queue_name = own_queue_name(names.outbox, node_id, node_run)
        self._patience = rules.canary_patience
        self._taker: IPublicationTaker | None = None
        counts = SourceCounts(metrics, self.name)
        purpose = "dead letters and canaries to RabbitMQ"
        dlq = names.dead_letters
        exchanges = [Exchange(names.outbox), Exchange(dlq)]
        items: list[Item] = [*exchanges, Queue(dlq, as_it_is=True), Binding(dlq, dlq, dlq)]
        self._upkeep = Upkeep(writing, clock, chance, purpose, items)
        self._publisher = Publisher(writing, clock, chance, purpose, self._upkeep.establish)
        self._own = OwnQueue(
            reading,
            clock,
            chance,
            names.outbox,
            self._queue_name,
            rules.own_queue,
            self._seen,
            self._ready,
            counts,
            metrics,
        )
        self._shared = SharedQueue(reading, self._publisher, clock, chance, names, self._own.idle_for)
        self._canary: Canary | None = None
        # The connection by which the last canary left, while nothing is known of it.
        self._canary_wire: Wire | None = None
        if rules.canary_seconds:
            self._canary = Canary(
                rules.canary_seconds,
                rules.canary_patience,
                clock,
                self._send_canary,
                self._canary_expected,
                self._canary_silent,
                counts,
            )
        reading.setServiceParent(self)  # type: ignore[no-untyped-call]

    def feed(self, taker: IPublicationTaker) -> None:
        self._taker = taker

    def positioned(self) -> Deferred[None]:
        # The shared queue, too: what nobody can use is told by nobody else.
        return gatherResults([self._own.settled(), self._shared.settled()]).addCallback(lambda _: None)

    def readiness(self) -> tuple[str, str, str]:
        name = "rabbitmq_outbox"
        _, status, detail = self._reading.readiness()
        if status != "ok":
            return name, status, detail
        canary = self._canary.trouble if self._canary is not None else ""
        troubles = [self._own.trouble, self._shared.trouble, canary, *self._upkeep.wrong.values()]
        problems = [trouble for trouble in troubles if trouble]
        if problems:
            return name, "degraded", "; ".join(dict.fromkeys(problems))
        if not self._own.is_consumed:
            return name, "degraded", "publications are not read yet"
        return name, "ok", ""

    def startService(self) -> None:
        """Begin to read; the start does not wait for it."""
        assert self._taker is not None, "nobody takes the publications"
        super().startService()  # type: ignore[no-untyped-call]
        self._publisher.open()
        self._own.open(self._taker)
        self._shared.open(self._taker)

    def stopService(self) -> Deferred[None]:
        """Take nothing any more.

        :returns Deferred[None]: fires when the reading link is closed. Cancelled, that is cut at once.
        """
        if self._canary is not None:
            self._canary.stop()
        self._own.close()
        self._shared.close()
        self._publisher.close()
        self._upkeep.close()
        # A MultiService would log the failure of a child whose stop is given up.
        Service.stopService(self)
        return self._reading.stopService()

    def _ready(self, on: bool) -> None:
        if self._canary is None:
            return
        if on:
            self._canary.start()
        else:
            self._canary.stop()

    def _seen(self, body: bytes) -> None:
        if self._canary is not None:
            self._canary.seen(body)

    def _send_canary(self, token: bytes) -> Deferred[Any]:
        # Where it is known to have failed, somebody knows why already: no silence has to be dealt with.
        self._canary_wire = None
        if not self._publisher.is_up:
            return fail(BrokerDown(self._publisher.trouble or "not connected"))
        name = self._queue_name
        sending = self._publisher.publish(
            [Message(self._names.outbox, name, token, f"canary-{token.decode()}")]
        )

        wire = self._canary_wire = self._writing.wire

        def judge(outcomes: list[Outcome]) -> None:
            [outcome] = outcomes
            if outcome is not Outcome.CONFIRMED and self._canary_wire is wire:
                self._canary_wire = None
            if outcome is Outcome.UNROUTABLE:
                why = f"the queue {name} is not bound"
                self._own.again(why)
                self._shared.again(why)
                raise BrokerRefused("NO_ROUTE", why)
            if outcome is not Outcome.CONFIRMED:
                raise BrokerDown(self._publisher.trouble or "the connection was lost")

        return sending.addCallback(judge)

    def _canary_expected(self) -> bool:
        """Whether a canary that is late says anything."""
        own = self._own
        return not (
            self._writing.blocked
            or not self._publisher.is_up
            or not own.is_consumed
            or own.busy
            or own.silent_for() < self._patience
        )

    def _canary_silent(self, flight: Flight) -> None:
        why = f"a message of our own did not come back within {self._patience:.0f} s"
        if flight is Flight.WRITTEN:
            self._reading.abandon(why)
        elif self._canary_wire is not None and self._canary_wire is self._writing.wire:
            self._writing.abandon(why)
