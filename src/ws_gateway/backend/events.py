"""What the gateway tells the backend, as values.

Fields that the gateway may leave out are None then. Fields that are not known here are ignored: newer
gateways may send more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypedDict

from .documents import decode_object, optional, required, texts

__all__ = [
    "Connected",
    "Disconnected",
    "Event",
    "EventInvalid",
    "EventUnknown",
    "MessageReceived",
    "parse_event",
]


class EventInvalid(ValueError):
    """The body is no event. Answer 400: the gateway keeps it as a dead letter and does not send it again."""


class EventUnknown(EventInvalid):
    """An event of a type that this version does not know. Answer 2xx: there is nothing to do.

    :ivar type: what the event calls itself.
    """

    def __init__(self, type: str) -> None:
        super().__init__("the type of the event is not known")
        self.type = type


@dataclass(frozen=True, slots=True, kw_only=True)
class _Common:
    """What stands in every event.

    :ivar connection_id: never reused.
    :ivar subjects: what the connection listens to, `user:<id>` first.
    :ivar connected_at: Unix seconds.
    :ivar event_id: the same in every retry.
    :ivar occurred_at_ms: Unix milliseconds.
    :ivar seq: 0 for `connected`, then counted without gaps per connection; None if the node was lost.
    :ivar traceparent: W3C trace context.
    :ivar client_ip: only on request (`EVENTS_CLIENT_IP`).
    :ivar claims: only on request (`JWT_FORWARD_CLAIMS`).
    """

    connection_id: str
    user_id: str
    subjects: tuple[str, ...]
    connected_at: int
    event_id: str | None = None
    occurred_at_ms: int | None = None
    node_id: str | None = None
    seq: int | None = None
    traceparent: str | None = None
    client_ip: str | None = None
    claims: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(_Common):
    """A client is connected and listening."""

    type: ClassVar[str] = "connected"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageReceived(_Common):
    """A client sent a message.

    :ivar message: the JSON object that it sent; for anything else `{"type": "raw", "payload": <the text>}`,
        with `"encoding": "base64"` if it was binary.
    :ivar raw: the text exactly as received, base64 if it was binary.
    """

    message: Mapping[str, Any]
    raw: str = field(repr=False)
    ordering_key: str | None = None
    ordering_strategy: str | None = None

    type: ClassVar[str] = "message_received"


@dataclass(frozen=True, slots=True, kw_only=True)
class Disconnected(_Common):
    """A connection is over.

    :ivar code: close code; 1005 for a close without one, 1006 for a cut connection.
    :ivar cause: who or what ended it: `client`, `kicked`, `ping_timeout`, ..; newer gateways may know more.
    """

    code: int | None = None
    reason: str | None = None
    cause: str | None = None

    type: ClassVar[str] = "disconnected"


Event = Connected | MessageReceived | Disconnected


def parse_event(body: bytes) -> Event:
    """Read the body of a webhook, or of an entry in a broker's stream.

    It says nothing about who sent the body: `verify()` comes first.

    :raises EventInvalid: the body is no event.
    :raises EventUnknown: it is one, but of a type from the future.
    """
    try:
        document = decode_object(body)
        kind = required(document, "type", str)
        match kind:
            case Connected.type:
                return Connected(**_common(document))
            case MessageReceived.type:
                return MessageReceived(
                    **_common(document),
                    message=required(document, "message", dict),
                    raw=required(document, "raw", str),
                    ordering_key=optional(document, "ordering_key", str),
                    ordering_strategy=optional(document, "ordering_strategy", str),
                )
            case Disconnected.type:
                return Disconnected(
                    **_common(document),
                    code=optional(document, "code", int),
                    reason=optional(document, "reason", str),
                    cause=optional(document, "cause", str),
                )
    except ValueError as error:
        raise EventInvalid(str(error)) from None
    raise EventUnknown(kind)


class _CommonFields(TypedDict):
    connection_id: str
    user_id: str
    subjects: tuple[str, ...]
    connected_at: int
    event_id: str | None
    occurred_at_ms: int | None
    node_id: str | None
    seq: int | None
    traceparent: str | None
    client_ip: str | None
    claims: Mapping[str, Any] | None


def _common(document: Mapping[str, Any]) -> _CommonFields:
    return {
        "connection_id": required(document, "connection_id", str),
        "user_id": required(document, "user_id", str),
        "subjects": texts(document, "subjects"),
        "connected_at": required(document, "connected_at", int),
        "event_id": optional(document, "event_id", str),
        "occurred_at_ms": optional(document, "occurred_at_ms", int),
        "node_id": optional(document, "node_id", str),
        "seq": optional(document, "seq", int),
        "traceparent": optional(document, "traceparent", str),
        "client_ip": optional(document, "client_ip", str),
        "claims": optional(document, "claims", dict),
    }
