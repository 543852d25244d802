"""Close codes as a table: what we send, what we call it, what a client should do (contract section 1).

| code | reason | client |
|---|---|---|
| 1002, 1007, 1009 | protocol error, not UTF-8, too large | mend itself |
| 1012 | node stops, connection too old | reconnect with jitter |
| 4401 | no valid token, token expired | get a new token, reconnect |
| 4403 | kicked | stop |
| 4408 | too slow to read | reconnect with back-off |
| 4429 | too many messages or connections | reconnect with back-off |
"""

from attrs import frozen

from ws_gateway.domain.messages import DisconnectCause

__all__ = [
    "ABNORMAL",
    "KICKED_CODE",
    "MAX_REASON_BYTES",
    "NO_CODE",
    "PING_TIMEOUT",
    "RATE_LIMITED",
    "SHUTDOWN",
    "SLOW_CONSUMER",
    "TOKEN_EXPIRED",
    "TOKEN_REFUSED",
    "TOO_OLD",
    "UNAUTHORIZED_CODE",
    "USER_FULL_CODE",
    "Closing",
    "cut_reason",
    "kicked",
    "violation",
]

MAX_REASON_BYTES = 123
"""A control frame holds 125 bytes, two of them the code (RFC 6455 section 5.5)."""

NO_CODE = 1005
"""Stands in events for a Close frame without a code; never on the wire (RFC 6455 section 7.4.1)."""

ABNORMAL = 1006
"""Stands in events for a connection that was cut; never on the wire (RFC 6455 section 7.4.1)."""

UNAUTHORIZED_CODE = 4401
KICKED_CODE = 4403
USER_FULL_CODE = 4429
TOO_LARGE_CODE = 1009


@frozen
class Closing:
    """How a connection ends.

    :ivar code: what goes into the Close frame and into the event.
    :ivar reason: at most 123 bytes of UTF-8.
    """

    code: int
    reason: str
    cause: DisconnectCause


TOKEN_EXPIRED = Closing(UNAUTHORIZED_CODE, "token expired", DisconnectCause.TOKEN_EXPIRED)
TOKEN_REFUSED = Closing(UNAUTHORIZED_CODE, "unauthorized", DisconnectCause.SERVER)
TOO_OLD = Closing(1012, "connection too old", DisconnectCause.SERVER)
SHUTDOWN = Closing(1012, "service restart", DisconnectCause.SHUTDOWN)
SLOW_CONSUMER = Closing(4408, "too slow", DisconnectCause.SLOW_CONSUMER)
RATE_LIMITED = Closing(4429, "too many messages", DisconnectCause.RATE_LIMITED)
PING_TIMEOUT = Closing(ABNORMAL, "no pong", DisconnectCause.PING_TIMEOUT)


def kicked(code: int, reason: str) -> Closing:
    """The backend or an operator ends the connection.

    :param code: 4000 to 4999.
    """
    return Closing(code, cut_reason(reason), DisconnectCause.KICKED)


def violation(code: int, reason: str) -> Closing:
    """The client broke the protocol (1002), sent no UTF-8 (1007) or too much (1009)."""
    cause = DisconnectCause.TOO_LARGE if code == TOO_LARGE_CODE else DisconnectCause.PROTOCOL_ERROR
    return Closing(code, cut_reason(reason), cause)


def cut_reason(reason: str) -> str:
    """The reason cut at 123 bytes, on a character."""
    return reason.encode("utf-8", "replace")[:MAX_REASON_BYTES].decode("utf-8", "ignore")
