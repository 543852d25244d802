"""Events into RabbitMQ, each confirmed (contract section 4).

| event | exchange and routing key | queue, declared and bound if set |
|---|---|---|
| `message_received` | `ws.inbox`, with partitions `ws.inbox.<partition>` | `RABBITMQ_INBOX_QUEUE` |
| `connected`, `disconnected` | `ws.events` | `RABBITMQ_EVENTS_QUEUE` |

| what the broker says | what the event gets |
|---|---|
| confirmed | a Receipt |
| nothing: no connection, no answer in time | TargetDown |
| it cannot take it (nack) | EventFailed |
| no queue wants it, and there is none that we care for | EventRefused |
| no queue wants it, though we have bound one: it was deleted | EventFailed, and the queue is declared again |

At least once: an event whose confirm was lost is published again with the same `message_id`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ws_gateway.brokers.rabbitmq.link import RabbitLink
from ws_gateway.brokers.rabbitmq.names import RabbitNames
from ws_gateway.brokers.rabbitmq.publisher import Message, Outcome, Publisher
from ws_gateway.brokers.rabbitmq.topology import Binding, Exchange, Item, Queue, establish
from ws_gateway.domain.messages import Envelope, EventType, Receipt
from ws_gateway.domain.retry import Backoff
from ws_gateway.errors import BrokerDown, EventFailed, EventRefused, TargetDown
from ws_gateway.interfaces import IEventSink, IMetrics, IReadiness

if TYPE_CHECKING:
    from ws_gateway.brokers.rabbitmq.wire import Wire

__all__ = ["RabbitSink"]

_log = Logger()

_NAMES = RabbitNames()
_MESSAGE = EventType.MESSAGE_RECEIVED
_RECEIPT = Receipt()
_REPAIRS = Backoff(0.5, 15.0)

Result = Receipt | Failure


def _no_partition(envelope: Envelope) -> str | None:
    return None


@implementer(IEventSink, IReadiness)
class RabbitSink:
    """See the module. It joins the link at once; the link is started and stopped by whoever made it.

    :param chance: a random number, 0 <= chance < 1.
    :param partition: the partition of a message, or None; few different ones (`ORDERING_PARTITION_MAX_KEYS`).
    """

    name = "rabbitmq"
    max_batch = 50

    def __init__(
        self,
        link: RabbitLink,
        clock: IReactorTime,
        chance: Callable[[], float],
        metrics: IMetrics,
        names: RabbitNames = _NAMES,
        inbox_queue: str | None = None,
        events_queue: str | None = None,
        partition: Callable[[Envelope], str | None] = _no_partition,
        confirm_seconds: float = 30.0,
    ) -> None:
        self._link = link
        self._clock = clock
        self._chance = chance
        self._names = names
        self._queues = {names.inbox: inbox_queue, names.events: events_queue}
        self._partition = partition
        self._bound: set[str] = set()
        # Exchanges that cannot be used, those that no queue is bound to, and everything else that is wrong.
        self._unusable: dict[str, str] = {}
        self._unrouted: dict[str, str] = {}
        self._flaws: list[str] = []
        self._repairs = 0
        self._repair: IDelayedCall | None = None
        self._repairing: Deferred[None] | None = None
        self._published = metrics.counter("broker_publish_total", "Events that a broker took.")
        self._unroutable = metrics.counter(
            "broker_unroutable_total", "Events that RabbitMQ took and no queue did."
        )
        self._publisher = Publisher(
            link, clock, chance, "events to RabbitMQ", self._declare, patience=confirm_seconds
        )
        self._publisher.open()

    def settled(self) -> Deferred[None]:
        """Wait until events can be delivered, or until it is clear that they cannot."""
        return self._publisher.settled()

    def readiness(self) -> tuple[str, str, str]:
        name = "rabbitmq_events"
        problems = [*self._unusable.values(), *self._unrouted.values(), *self._flaws]
        if not self._publisher.is_up or (self._publisher.trouble and not problems):
            return name, "degraded", self._publisher.trouble or "not connected"
        if problems:
            return name, "degraded", "; ".join(problems)
        return name, "ok", ""

    def deliver(self, envelopes: Sequence[Envelope]) -> Deferred[list[Result]]:
        if not self._publisher.is_up:
            return succeed([self._down() for _ in envelopes])
        messages = [self._message(envelope) for envelope in envelopes]
        if self._unusable or (self._partition is not _no_partition and not self._all_bound(messages)):
            return Deferred.fromCoroutine(self._deliver_some(messages))
        return self._publisher.publish(messages).addCallback(self._judge_all, messages)

    def close(self) -> Deferred[None]:
        self._publisher.close()
        if self._repair is not None:
            self._repair.cancel()
            self._repair = None
        if self._repairing is not None:
            self._repairing.cancel()
        return succeed(None)

    def _message(self, envelope: Envelope) -> Message:
        if envelope.type is not _MESSAGE:
            events = self._names.events
            return Message(events, events, envelope.body, envelope.event_id)
        inbox = self._names.inbox
        partition = self._partition(envelope)
        key = inbox if partition is None else f"{inbox}.{partition}"
        return Message(inbox, key, envelope.body, envelope.event_id)

    def _all_bound(self, messages: Sequence[Message]) -> bool:
        return self._queues[self._names.inbox] is None or all(
            message.key in self._bound or message.exchange != self._names.inbox for message in messages
        )

    async def _deliver_some(self, messages: Sequence[Message]) -> list[Result]:
        """Deliver what can be: some exchange is not as it should be, or a partition is new."""
        problems = await self._bind_new(messages)
        verdicts = [self._unusable.get(message.exchange) or problems.get(message.key) for message in messages]
        usable = [message for message, why in zip(messages, verdicts, strict=True) if why is None]
        outcomes = iter(await self._publisher.publish(usable))
        return [
            self._judge(message, next(outcomes)) if why is None else Failure(TargetDown(why))
            for message, why in zip(messages, verdicts, strict=True)
        ]

    async def _bind_new(self, messages: Sequence[Message]) -> dict[str, str]:
        """Bind what is not bound yet.

        :returns: routing keys that could not be bound, and why.
        """
        inbox = self._names.inbox
        queue = self._queues[inbox]
        new = {message.key for message in messages if message.exchange == inbox} - self._bound
        if queue is None or not new:
            return {}
        wire = self._link.wire
        try:
            if wire is None:
                raise BrokerDown("the connection was lost")
            wrong = await establish(wire, [Binding(queue, inbox, key) for key in sorted(new)])
        except BrokerDown as error:
            return dict.fromkeys(new, error.detail)
        problems = {item.key: why for item, why in wrong.items() if isinstance(item, Binding)}
        self._bound |= new - problems.keys()
        if problems:
            # Its queue or its exchange may be gone.
            self._plan_repair()
        return problems

    def _judge_all(self, outcomes: Sequence[Outcome], messages: Sequence[Message]) -> list[Result]:
        return [self._judge(message, outcome) for message, outcome in zip(messages, outcomes, strict=True)]

    def _judge(self, message: Message, outcome: Outcome) -> Result:
        if outcome is Outcome.CONFIRMED:
            self._published.inc()
            if self._unrouted:
                self._unrouted.pop(message.exchange, None)
            return _RECEIPT
        if outcome is Outcome.UNROUTABLE:
            return Failure(self._not_routed(message))
        if outcome is Outcome.NACKED:
            return Failure(EventFailed("RabbitMQ could not take it (nack): a queue is full or broken"))
        return self._down()

    def _not_routed(self, message: Message) -> EventFailed | EventRefused:
        self._unroutable.inc()
        detail = f'no queue is bound to exchange "{message.exchange}" with routing key "{message.key}"'
        if message.exchange not in self._unrouted:
            _log.warn("RabbitMQ has nowhere to put events: {detail}", detail=detail)
        self._unrouted[message.exchange] = detail
        if self._queues[message.exchange] is None:
            return EventRefused(detail)
        self._bound.clear()
        self._plan_repair()
        return EventFailed(detail)

    def _down(self) -> Failure:
        return Failure(TargetDown(self._publisher.trouble or "the broker does not answer"))

    async def _declare(self, wire: Wire) -> None:
        """Have there what events need. What is not as it should be keeps nothing else from flowing."""
        items: list[Item] = []
        for exchange, queue in self._queues.items():
            items.append(Exchange(exchange))
            if queue is not None:
                items += [Queue(queue, as_it_is=True), Binding(queue, exchange, exchange)]
        wrong = await establish(wire, items)
        before = (self._unusable, self._flaws)
        self._unusable = {item.name: why for item, why in wrong.items() if isinstance(item, Exchange)}
        self._flaws = [why for item, why in wrong.items() if not isinstance(item, Exchange)]
        self._bound = {self._names.inbox}
        if not wrong:
            self._repairs = 0
            return
        if before != (self._unusable, self._flaws):
            for why in wrong.values():
                _log.warn("events to RabbitMQ: {detail}", detail=why)
        self._plan_repair()

    def _plan_repair(self) -> None:
        if self._repair is None and self._repairing is None:
            pause = _REPAIRS.delay(self._repairs, self._chance())
            self._repairs += 1
            self._repair = self._clock.callLater(pause, self._begin_repair)

    def _begin_repair(self) -> None:
        self._repair = None
        wire = self._link.wire
        if wire is None or not self._publisher.is_up:
            # A new connection declares everything anyway.
            return
        repairing: Deferred[Any] = Deferred.fromCoroutine(self._declare(wire))
        self._repairing = repairing
        repairing.addCallbacks(self._repaired, self._not_repaired)

    def _repaired(self, _: None) -> None:
        self._repairing = None
        if self._unusable or self._flaws:
            self._plan_repair()

    def _not_repaired(self, failure: Failure) -> None:
        self._repairing = None
        if self._publisher.is_up and not failure.check(BrokerDown):
            _log.failure("exchanges and queues could not be declared again", failure)
