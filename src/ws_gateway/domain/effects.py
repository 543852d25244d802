"""What a session wants done. Values only: the protocol performs them, in order."""

from attrs import field, frozen

from ws_gateway.domain import codec
from ws_gateway.domain.closing import Closing
from ws_gateway.domain.messages import Event
from ws_gateway.domain.outgoing import text_frame

__all__ = [
    "DROP",
    "NOTHING",
    "PING",
    "SEND_HEARTBEAT_ACK",
    "SEND_PONG",
    "SEND_RATE_LIMITED",
    "Close",
    "Drop",
    "Effect",
    "Ping",
    "Refresh",
    "Send",
]


@frozen
class Send:
    """Answer the client with one frame of ours."""

    frame: bytes


@frozen
class Refresh:
    """Have a new token judged; the outcome comes back as `refreshed` or `unrefreshed`."""

    token: str = field(repr=False)


@frozen
class Ping:
    """Ask the client for a sign of life (RFC 6455 section 5.5.2)."""


@frozen
class Close:
    """Begin the closing handshake."""

    closing: Closing


@frozen
class Drop:
    """Cut the connection: the closing handshake will not end, or nobody is there."""


Effect = Send | Event | Refresh | Ping | Close | Drop
"""An event is an effect by itself: the backend is to be told."""


NOTHING: tuple[Effect, ...] = ()
PING = Ping()
DROP = Drop()
SEND_PONG = Send(text_frame(codec.PONG))
SEND_HEARTBEAT_ACK = Send(text_frame(codec.HEARTBEAT_ACK))
SEND_RATE_LIMITED = Send(text_frame(codec.RATE_LIMITED))
