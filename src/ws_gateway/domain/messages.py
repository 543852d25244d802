"""The values that travel between the rooms: frozen, with slots, and without any wire field name.

How they look on the wire is known to `codec` alone.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from attrs import field, frozen

from ws_gateway.domain.values import often

__all__ = [
    "Connected",
    "ConnectionFacts",
    "ConnectionView",
    "DisconnectCause",
    "Disconnected",
    "Entry",
    "Envelope",
    "Event",
    "EventType",
    "Handshake",
    "Identity",
    "Kick",
    "MessageReceived",
    "Publication",
    "Receipt",
    "Stamp",
]


@frozen
class Handshake:
    """What a client asked for when it knocked: the parts of the request that admission may judge.

    :ivar path: the path without the query, percent-encoding untouched.
    :ivar query: decoded pairs in the order of the request.
    :ivar headers: lower-case name to the values of its lines, Latin-1 decoded, outer blanks removed.
    :ivar client_ip: the client's address, or None where the transport has none (`unix:`).
    """

    path: str
    query: tuple[tuple[str, str], ...] = field(repr=False)
    headers: Mapping[str, tuple[str, ...]] = field(repr=False)
    client_ip: str | None = None

    def first_query(self, name: str) -> str | None:
        """The first value of a query parameter, or None."""
        return next((value for key, value in self.query if key == name), None)

    def header_list(self, name: str) -> list[str]:
        """The elements of a comma-separated header over all its lines (RFC 9110 section 5.3)."""
        lines = self.headers.get(name, ())
        return [item for line in lines for item in (part.strip(" \t") for part in line.split(",")) if item]


@frozen
class Identity:
    """Who a verified token says the client is.

    :ivar user_id: the user, 1 to 512 bytes of UTF-8 without control characters.
    :ivar subjects: further subjects that the token grants (claim `JWT_SUBJECTS_CLAIM`).
    :ivar channels: channel names or patterns (`news.*`) that the token lets the client ask for.
    :ivar expires_at: Unix seconds, or None if the token never expires.
    :ivar claims: the claims that are forwarded with each event (`JWT_FORWARD_CLAIMS`), mostly none.
    :ivar token_source: where the token stood: `header`, `query` or `subprotocol`; empty where nobody says.
    """

    user_id: str
    subjects: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    expires_at: float | None = None
    claims: Mapping[str, Any] = field(factory=dict, repr=False)
    token_source: str = ""


@frozen
class ConnectionFacts:
    """What stays the same for the whole life of one connection and stands in each of its events.

    :ivar connection_id: UUID, never reused.
    :ivar subjects: what the connection listens to; its own `user:` subject comes first.
    :ivar connected_at: Unix seconds.
    :ivar client_ip: set only if events are to carry it.
    :ivar claims: the forwarded claims, mostly none.
    """

    connection_id: str
    user_id: str
    subjects: tuple[str, ...]
    connected_at: int
    node_id: str
    client_ip: str | None = None
    claims: Mapping[str, Any] = field(factory=dict)


class EventType(StrEnum):
    """The three things that a backend hears about."""

    CONNECTED = "connected"
    MESSAGE_RECEIVED = "message_received"
    DISCONNECTED = "disconnected"


class DisconnectCause(StrEnum):
    """Who or what ended a connection."""

    CLIENT = "client"
    SERVER = "server"
    KICKED = "kicked"
    TOKEN_EXPIRED = "token_expired"
    PING_TIMEOUT = "ping_timeout"
    SLOW_CONSUMER = "slow_consumer"
    PROTOCOL_ERROR = "protocol_error"
    TOO_LARGE = "too_large"
    RATE_LIMITED = "rate_limited"
    NODE_LOST = "node_lost"
    SHUTDOWN = "shutdown"


@frozen
class Stamp:
    """What makes an event the same one, whoever sends it.

    :ivar event_id: unique, sortable by time.
    :ivar occurred_at_ms: Unix milliseconds.
    """

    event_id: str
    occurred_at_ms: int


@frozen
class Connected:
    """A client is let in and listening.

    :ivar constant: the encoded part that all events of the connection share (`codec.encode_facts`).
    :ivar seq: place among the connection's events, without gaps; 0 here.
    """

    facts: ConnectionFacts
    constant: bytes = field(repr=False)
    traceparent: str | None = None
    seq: int = 0

    type = EventType.CONNECTED
    stamp = None


@often
class MessageReceived:
    """A client sent something that the gateway does not answer itself.

    :ivar message: JSON text of the message for the backend: the client's own, or the `raw` object.
    :ivar raw: the text exactly as received (base64 for binary frames).
    """

    facts: ConnectionFacts
    constant: bytes = field(repr=False)
    seq: int
    message: bytes = field(repr=False)
    raw: str = field(repr=False)
    traceparent: str | None = None
    ordering_key: str | None = None
    ordering_strategy: str | None = None

    type = EventType.MESSAGE_RECEIVED
    stamp = None


@frozen
class Disconnected:
    """A connection is over; the last of its events.

    :ivar seq: None where nobody knows any more how many there were.
    :ivar code: RFC 6455 close code; 1005 for a close without one, 1006 for a cut connection.
    :ivar stamp: the event's own; None has it stamped when it is handed over, as all others are.
    """

    facts: ConnectionFacts
    constant: bytes = field(repr=False)
    seq: int | None
    code: int
    reason: str
    cause: DisconnectCause
    traceparent: str | None = None
    stamp: Stamp | None = None

    type = EventType.DISCONNECTED


Event = Connected | MessageReceived | Disconnected


@often
class Envelope:
    """An event on its way to a sink: stamped, encoded once, the same bytes in every retry and on every sink.

    :ivar event_id: unique, sortable by time.
    :ivar connection_id: whose event it is.
    :ivar key: what its order is kept by: the ordering key, else the connection id.
    :ivar body: the wire document, UTF-8 JSON.
    :ivar occurred_at_ms: Unix milliseconds.
    """

    event_id: str
    type: EventType
    connection_id: str
    key: str
    body: bytes = field(repr=False)
    occurred_at_ms: int
    traceparent: str | None = None


@frozen
class Entry:
    """An event as a consumer gets it from a broker.

    :ivar source: the stream or queue.
    :ivar position: how the broker calls it there.
    :ivar body: the event document, as it was written.
    :ivar deliveries: how often it was brought to a consumer, as far as the broker knows; 1 the first time.
    """

    source: str
    position: bytes
    body: bytes = field(repr=False)
    deliveries: int = 1


@frozen
class Receipt:
    """A sink's word that the target has an event.

    :ivar commands: what the target asked of the gateway in its answer; reserved.
    """

    commands: tuple[Mapping[str, Any], ...] = ()


@frozen
class Publication:
    """What the backend sends to subjects.

    :ivar subjects: whom it is for; `*` is everybody.
    :ivar payload: JSON text exactly as the backend wrote it.
    :ivar excluded: connection ids that do not get it.
    """

    subjects: tuple[str, ...]
    payload: bytes = field(repr=False)
    traceparent: str | None = None
    excluded: frozenset[str] = frozenset()


@frozen
class Kick:
    """An order of the backend to close connections: those that fit all ids that it names.

    :ivar code: 4000 to 4999.
    :ivar reason: at most 123 bytes of UTF-8.
    """

    code: int
    reason: str = ""
    user_id: str | None = None
    connection_id: str | None = None


@frozen
class ConnectionView:
    """A connection as the HTTP API and the console show it.

    :ivar last_seen_at: Unix seconds of the last sign of life.
    """

    connection_id: str
    user_id: str
    subjects: tuple[str, ...]
    connected_at: int
    last_seen_at: int
    client_ip: str | None
