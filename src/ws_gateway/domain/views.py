"""What operators see of a running node (`IInspector`): plain values, made when somebody looks.

They hold text, numbers, None, each other and tuples of these, so `attrs.asdict(view)` is ready for JSON.
Times are Unix seconds, ages and waits seconds. No view holds a token, a key or a claim.
"""

from attrs import field, frozen

from ws_gateway.domain.messages import ConnectionView

__all__ = [
    "Check",
    "ConnectionDetail",
    "ConnectionPage",
    "DeadLetterView",
    "Deadline",
    "Overview",
    "QueuesView",
    "Rate",
    "RateUse",
    "RecordedEvent",
    "SessionView",
    "SinkView",
    "SlowClient",
]


@frozen
class Rate:
    """How often something happens.

    :ivar name: `connects`, `disconnects`, `refused`, `messages`, `publications`, `deliveries`, `events`,
        `dropped`, `dead_letters`.
    :ivar per_second: the average over the last seconds.
    :ivar total: since the start.
    """

    name: str
    per_second: float
    total: float


@frozen
class Check:
    """A line of `/ready`.

    :ivar status: `ok`, `degraded` or `failed`.
    :ivar detail: one sentence; empty when ok.
    """

    name: str
    status: str
    detail: str


@frozen
class SinkView:
    """A sink and its target.

    :ivar waiting: events that it has neither taken nor given up.
    :ivar in_flight: deliveries that are under way.
    :ivar target: `up`; `waiting`, `due` or `probing` while it is down.
    :ivar detail: why it is down, empty if it is up.
    """

    name: str
    waiting: int
    in_flight: int
    target: str
    detail: str


@frozen
class SlowClient:
    """A client for whom publications wait."""

    connection_id: str
    user_id: str
    publications: int
    bytes: int


@frozen
class QueuesView:
    """Everything that waits.

    :ivar events: events that wait for a sink, each counted once; `bytes` is what they count against
        `max_bytes`.
    :ivar oldest_seconds: age of the oldest of them.
    :ivar slow_count: clients for whom publications wait; `slow` has those with most bytes, the longest first.
    """

    events: int
    bytes: int
    max_bytes: int
    oldest_seconds: float
    sinks: tuple[SinkView, ...]
    slow_count: int
    slow: tuple[SlowClient, ...]


@frozen
class Overview:
    """The node at a glance.

    :ivar mode: `WS_MODE`; `events_mode`: `EVENTS_MODE`.
    :ivar draining: the node is about to stop.
    :ivar oldest_seconds: age of the oldest event that waits.
    :ivar dead_letters: how many are kept for a look.
    """

    node_id: str
    version: str
    mode: str
    events_mode: str
    started_at: int
    uptime_seconds: float
    draining: bool
    connections: int
    subjects: int
    rates: tuple[Rate, ...]
    queued_events: int
    queued_bytes: int
    oldest_seconds: float
    sinks: tuple[SinkView, ...]
    dead_letters: int
    checks: tuple[Check, ...]


@frozen
class ConnectionPage:
    """Some connections, in the order in which they came.

    :ivar total: how many there are in all.
    :ivar cursor: what the next call takes to go on; None after the last page.
    """

    connections: tuple[ConnectionView, ...]
    total: int
    cursor: str | None


@frozen
class RecordedEvent:
    """An event of a connection, as the node remembers it for a while.

    :ivar at_ms: Unix milliseconds.
    :ivar event_id: the same as in the webhook; empty if the event went nowhere.
    :ivar size: characters of the text as it was received; 0 for what is no message.
    :ivar outcome: `waiting`, `taken` (by every sink), `dead_letter`, `not_sent` (`EVENTS_MODE`,
        `EVENTS_TYPES`), or why it was dropped: `queue_full`, `key_full`, `not_encodable`, `stopped`.
    :ivar text: the beginning of the message, for whoever asked for it, else None.
    """

    at_ms: int
    event_id: str
    connection_id: str
    type: str
    seq: int | None
    size: int
    outcome: str
    text: str | None = field(default=None, repr=False)


@frozen
class RateUse:
    """How much of a rate limit is used.

    :ivar per_second: the limit; 0 = off.
    :ivar burst: what may come at once.
    :ivar left: what may come at once now.
    """

    per_second: float
    burst: float
    left: float


@frozen
class Deadline:
    """Something that will happen to a connection unless something else happens first.

    :ivar name: `ping`, `pong` (must come until then), `token_expires`, `too_old`, `drop` (the close has to
        be complete).
    :ivar seconds: from now.
    """

    name: str
    seconds: float


@frozen
class SessionView:
    """The part of a `ConnectionDetail` that the session knows; see there.

    :ivar expires_in: seconds until the token expires, None if never.
    """

    state: str
    protocol: int
    expires_in: float | None
    messages: int
    message_rate: RateUse
    control_rate: RateUse
    excess: int
    max_excess: int
    deadlines: tuple[Deadline, ...]


@frozen
class ConnectionDetail:
    """Why a connection is here, what it may hear, and how far its limits are used.

    :ivar state: `open` or `closing`.
    :ivar token_source: where the token stood: `header`, `query` or `subprotocol`; empty if nobody said.
    :ivar refused: subjects that it asked for and did not get.
    :ivar protocol: 1 if it speaks the gateway's own messages.
    :ivar expires_at: when its token expires, None if never.
    :ivar messages: how many became events.
    :ivar excess: frames beyond the rate in a row; at `max_excess` (0 = never) it is closed.
    :ivar queued: publications that wait for it, `queued_bytes` with everything else that waits.
    :ivar dropped: publications dropped since it last had read everything.
    :ivar deadlines: what is armed, the next first.
    """

    connection_id: str
    user_id: str
    state: str
    connected_at: int
    last_seen_at: int
    client_ip: str | None
    token_source: str
    subjects: tuple[str, ...]
    refused: tuple[str, ...]
    protocol: int
    compressed: bool
    expires_at: int | None
    messages: int
    message_rate: RateUse
    control_rate: RateUse
    excess: int
    max_excess: int
    queued: int
    queued_bytes: int
    max_queued: int
    max_queued_bytes: int
    dropped: int
    deadlines: tuple[Deadline, ...]


@frozen
class DeadLetterView:
    """An event that a sink gave up.

    :ivar reason: `refused` or `attempts`.
    :ivar detail: what the target said last.
    """

    at_ms: int
    sink: str
    event_id: str
    type: str
    connection_id: str
    reason: str
    attempts: int
    detail: str
