"""Events as entries of Redis streams (contract section 4): the one field `data` holds the event.

| stream | holds |
|---|---|
| the inbox, such as `ws.inbox`; with partitions `ws.inbox.<partition>` | `message_received` |
| the events stream, such as `ws.events` | `connected`, `disconnected` |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from ws_gateway.brokers.redis.producer import RedisProducer
from ws_gateway.domain.messages import Envelope, EventType
from ws_gateway.errors import BrokerDown, TargetDown
from ws_gateway.interfaces import IMetrics, IStreamSink

__all__ = ["RedisSink"]

_MESSAGE = EventType.MESSAGE_RECEIVED


@implementer(IStreamSink)
class RedisSink:
    """Appends to Redis, nothing twice. The link below the producer is started and stopped by others.

    :param inbox: the stream of messages.
    :param events: the stream of who comes and goes.
    :param partition: the partition of a message, fit for the name of a stream, or None; always the same one
        for the same event. None where there are no partitions.
    """

    name = "redis"
    max_batch = 500
    window = 4

    def __init__(
        self,
        producer: RedisProducer,
        inbox: str,
        events: str,
        partition: Callable[[Envelope], str | None] | None,
        metrics: IMetrics,
    ) -> None:
        self._producer = producer
        self._inbox = inbox
        self._events = events
        self._partition = partition
        self._published = metrics.counter("broker_publish_total", "Events that a broker took.")
        self._taken = metrics.counter(
            "broker_events_total", "Events that a broker took, by broker.", {"broker": self.name}
        )

    def stream_of(self, envelope: Envelope) -> str:
        if envelope.type is not _MESSAGE:
            return self._events
        if self._partition is None:
            return self._inbox
        partition = self._partition(envelope)
        return self._inbox if partition is None else f"{self._inbox}.{partition}"

    def append(self, stream: str, envelopes: Sequence[Envelope]) -> Deferred[None]:
        count = len(envelopes)
        entries = [(envelope.event_id.encode(), envelope.body) for envelope in envelopes]
        return self._producer.append(stream, entries).addCallbacks(
            lambda _: self._count(count), self._as_target_down
        )

    def close(self) -> Deferred[None]:
        self._producer.close()
        return succeed(None)

    def _count(self, count: int) -> None:
        self._published.inc(count)
        self._taken.inc(count)

    def _as_target_down(self, failure: Failure) -> Failure:
        error = failure.value
        return Failure(TargetDown(error.detail)) if isinstance(error, BrokerDown) else failure
