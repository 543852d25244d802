"""How much of a peer's time and bytes the HTTP side is willing to take."""

from attrs import field, frozen
from attrs.validators import gt

__all__ = ["HttpLimits"]


@frozen
class HttpLimits:
    """The bounds of one HTTP request.

    :ivar max_body_bytes: the largest body of any call (`HTTP_MAX_BODY_BYTES`).
    :ivar keepalive_seconds: how long a connection may be quiet between requests (`HTTP_KEEPALIVE_SECONDS`).
    :ivar request_seconds: within this time from its first byte a request has to be here, body included
        (`HTTP_REQUEST_TIMEOUT_SECONDS`).
    """

    max_body_bytes: int = field(default=1024 * 1024, validator=gt(0))
    keepalive_seconds: float = field(default=120, validator=gt(0))
    request_seconds: float = field(default=30, validator=gt(0))
