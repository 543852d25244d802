"""What is the same for every connection of a node."""

from attrs import frozen

from ws_gateway.domain.ordering import OrderingRule

__all__ = ["SessionRules"]


@frozen
class SessionRules:
    """The settings of a connection's life. Times in seconds, 0 = off.

    :ivar rate_limit: messages a second, `rate_burst` at once.
    :ivar rate_close_after: so many excess frames in a row end the connection.
    :ivar close_timeout: never off: with 0 a close is not waited for.
    :ivar ordering: how the ordering key of a message is found; None where there is no strategy.
    :ivar seen_by_anything: whether every frame of a client is a sign of life (`last_seen_at`); if not, only
        heartbeats are (`PRESENCE_REFRESH_ON_MESSAGE`).
    """

    rate_limit: float = 10
    rate_burst: float = 20
    rate_close_after: int = 1000
    ping_interval: float = 25
    ping_timeout: float = 20
    close_timeout: float = 5
    max_age: float = 0
    ordering: OrderingRule | None = None
    ordering_strategy: str = "none"
    seen_by_anything: bool = True
