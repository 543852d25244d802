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
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ws_gateway.brokers.rabbitmq.link import RabbitLink
from ws_gateway.brokers.rabbitmq.names import RabbitNames
from ws_gateway.brokers.rabbitmq.publisher import Message, Outcome, Publisher
from ws_gateway.brokers.rabbitmq.topology import Binding, Exchange, Item, Queue, establish
from ws_gateway.brokers.rabbitmq.upkeep import Upkeep
from ws_gateway.domain.messages import Envelope, EventType, Receipt
from ws_gateway.errors import BrokerDown, EventFailed, EventRefused, TargetDown
from ws_gateway.interfaces import IEventSink, IMetrics, IReadiness

if TYPE_CHECKING:
    from ws_gateway.brokers.rabbitmq.wire import Wire

__all__ = ["RabbitSink"]

_log = Logger()

_NAMES = RabbitNames()
_MESSAGE = EventType.MESSAGE_RECEIVED
_RECEIPT = Receipt()

Result = Receipt | Failure


@implementer(IEventSink, IReadiness)
class RabbitSink:
    """See the module. It joins the link at once; the link is started and stopped by whoever made it.

    :param chance: a random number, 0 <= chance < 1.
    :param partition: the partition of a message, or None; few different ones (`ORDERING_PARTITION_MAX_KEYS`).
        None where there are no partitions.
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
        partition: Callable[[Envelope], str | None] | None = None,
        confirm_seconds: float = 30.0,
    ) -> None:
        self._link = link
        self._names = names
        self._queues = {names.inbox: inbox_queue, names.events: events_queue}
        self._partition = partition
        # Routing keys of partitions that the inbox queue is bound to, as far as we know.
        self._bound: set[str] = set()
        # Exchanges that no queue was bound to when we last heard of it.
        self._unrouted: dict[str, str] = {}
        self._published = metrics.counter("broker_publish_total", "Events that a broker took.")
        self._unroutable = metrics.counter(
            "broker_unroutable_total", "Events that RabbitMQ took and no queue did."
        )
        purpose = "events to RabbitMQ"
        items: list[Item] = []
        for exchange, queue in self._queues.items():
            items.append(Exchange(exchange))
            if queue is not None:
                items += [Queue(queue, as_it_is=True), Binding(queue, exchange, exchange)]
        self._upkeep = Upkeep(link, clock, chance, purpose, items)
        self._publisher = Publisher(link, clock, chance, purpose, self._prepare, patience=confirm_seconds)
        self._publisher.open()

    def settled(self) -> Deferred[None]:
        """Wait until events can be delivered, or until it is clear that they cannot."""
        return self._publisher.settled()

    def readiness(self) -> tuple[str, str, str]:
        name = "rabbitmq_events"
        problems = [*self._upkeep.wrong.values(), *self._unrouted.values()]
        if not self._publisher.is_up or (self._publisher.trouble and not problems):
            return name, "degraded", self._publisher.trouble or "not connected"
        if problems:
            return name, "degraded", "; ".join(problems)
        return name, "ok", ""

    def deliver(self, envelopes: Sequence[Envelope]) -> Deferred[list[Result]]:
        if not self._publisher.is_up:
            return succeed([self._down() for _ in envelopes])
        messages = [self._message(envelope) for envelope in envelopes]
        if self._upkeep.wrong or (self._partition is not None and not self._all_bound(messages)):
            return Deferred.fromCoroutine(self._deliver_some(messages))
        return self._publisher.publish(messages).addCallback(self._judge_all, messages)

    def close(self) -> Deferred[None]:
        self._publisher.close()
        self._upkeep.close()
        return succeed(None)

    def _message(self, envelope: Envelope) -> Message:
        if envelope.type is not _MESSAGE:
            events = self._names.events
            return Message(events, events, envelope.body, envelope.event_id)
        inbox = self._names.inbox
        partition = None if self._partition is None else self._partition(envelope)
        key = inbox if partition is None else f"{inbox}.{partition}"
        return Message(inbox, key, envelope.body, envelope.event_id)

    def _all_bound(self, messages: Sequence[Message]) -> bool:
        return self._queues[self._names.inbox] is None or all(
            message.key in self._bound or message.exchange != self._names.inbox for message in messages
        )

    async def _deliver_some(self, messages: Sequence[Message]) -> list[Result]:
        """Deliver what can be: some exchange is not as it should be, or a partition is new."""
        problems = {} if self._partition is None else await self._bind_new(messages)
        wrong = self._upkeep.wrong
        unusable = {item.name: why for item, why in wrong.items() if isinstance(item, Exchange)}
        verdicts = [unusable.get(message.exchange) or problems.get(message.key) for message in messages]
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
            self._upkeep.again()
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
        self._upkeep.again()
        return EventFailed(detail)

    def _down(self) -> Failure:
        return Failure(TargetDown(self._publisher.trouble or "the broker does not answer"))

    async def _prepare(self, wire: Wire) -> None:
        """Have there what events need. What is not as it should be keeps nothing else from flowing."""
        await self._upkeep.establish(wire)
        self._bound = {self._names.inbox}
