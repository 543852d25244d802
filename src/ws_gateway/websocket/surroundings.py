"""What all connections of a gateway share, in one place that each reaches through its class."""

from collections.abc import Callable

from attrs import frozen

from ws_gateway.domain.registry import Registry
from ws_gateway.domain.rules import SessionRules
from ws_gateway.interfaces import ICounter, IEventEmitter, IMetrics
from ws_gateway.websocket.deadlines import Wheel
from ws_gateway.websocket.intake import Intake
from ws_gateway.websocket.queue import QueueLimits
from ws_gateway.websocket.refresh import Refresher

__all__ = ["Counters", "Surroundings"]


@frozen
class Counters:
    """What connections count."""

    connections: ICounter
    disconnects: ICounter
    messages: ICounter
    rate_limited: ICounter
    dropped: ICounter

    @classmethod
    def of(cls, metrics: IMetrics) -> "Counters":
        """All at zero."""
        return cls(
            metrics.counter("ws_connections_total", "Connections that opened."),
            metrics.counter("ws_disconnects_total", "Connections that ended."),
            metrics.counter("ws_messages_total", "Client messages that became events."),
            metrics.counter("ws_rate_limited_total", "Client messages beyond the rate."),
            metrics.counter("ws_outbox_dropped_total", "Publications dropped for clients too slow to read."),
        )


@frozen
class Surroundings:
    """See the module.

    :ivar wall: Unix seconds.
    :ivar later: runs a function in a later turn of the reactor.
    :ivar random: a number from 0 to 1.
    :ivar new_id: a fresh UUID, as text.
    """

    registry: Registry
    emitter: IEventEmitter
    wheel: Wheel
    intake: Intake
    rules: SessionRules
    queue_limits: QueueLimits
    counters: Counters
    node_id: str
    wall: Callable[[], float]
    later: Callable[[Callable[[], None]], object]
    random: Callable[[], float]
    new_id: Callable[[], str]
    refresher: Refresher
    events_client_ip: bool = False
