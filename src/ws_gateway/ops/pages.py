"""How the views of a node look in a terminal: lines of text, bounded, without anything that acts on it."""

from collections.abc import Callable, Sequence

from ws_gateway.domain.views import (
    ConnectionDetail,
    ConnectionPage,
    DeadLetterView,
    Overview,
    QueuesView,
    RateUse,
    RecordedEvent,
    SinkView,
)
from ws_gateway.ops.tables import clean, moment, span, table

__all__ = [
    "ROWS",
    "dead_letters",
    "events",
    "explanation",
    "glance",
    "people",
    "quoted",
    "slow_clients",
    "subjects",
    "waiting",
]

ROWS = 20
"""Rows of a page."""

TEXT_WIDTH = 200
SUBJECTS_SHOWN = 5


def quoted(text: str) -> str:
    """A literal to type again."""
    return '"' + ascii(text)[1:-1].replace('"', '\\"') + '"'


def glance(view: Overview) -> list[str]:
    """The node at a glance."""
    stops = "; it is about to stop" if view.draining else ""
    who = f"{clean(view.node_id)}: ws-gateway {view.version}, {view.mode}, events: {view.events_mode}"
    rates = [(rate.name, f"{rate.per_second:g}", f"{rate.total:.0f}") for rate in view.rates]
    return [
        who + stops,
        f"up {span(view.uptime_seconds)}, since {moment(view.started_at)}",
        f"{view.connections} connections, {view.subjects} subjects",
        f"{view.queued_events} events wait ({view.queued_bytes} bytes), the oldest for "
        f"{span(view.oldest_seconds)}; {view.dead_letters} dead letters",
        *_sinks(view.sinks),
        *(f"{one.name}: {one.status} {clean(one.detail, TEXT_WIDTH)}".rstrip() for one in view.checks),
        "",
        *table(("what", "a second", "in all"), rates),
    ]


def people(page: ConnectionPage, following: Callable[[str], str]) -> list[str]:
    """Connections.

    :param following: the command that shows the next page, from its cursor.
    """
    if not page.connections:
        return ["Nobody (more) is connected."]
    rows = [
        (
            one.connection_id,
            one.user_id,
            one.client_ip or "-",
            moment(one.connected_at),
            moment(one.last_seen_at),
            len(one.subjects),
        )
        for one in page.connections
    ]
    lines = table(("connection_id", "user_id", "client_ip", "connected", "last seen", "subjects"), rows)
    lines.append(f"{len(rows)} of {page.total}")
    if page.cursor is not None:
        lines[-1] += f"; the next: {following(page.cursor)}"
    return lines


def explanation(one: ConnectionDetail) -> list[str]:
    """Everything about a connection but its further subjects."""
    source = {"": "nobody said where", "header": "in a header", "query": "in the query"}
    token = source.get(one.token_source, f"as {clean(one.token_source)}")
    until = "never expires" if one.expires_at is None else f"expires {moment(one.expires_at)}"
    deadlines = ", ".join(f"{deadline.name} in {span(deadline.seconds)}" for deadline in one.deadlines)
    facts: list[tuple[str, str]] = [
        ("connection", f"{clean(one.connection_id)}, {one.state}"),
        ("user", clean(one.user_id)),
        ("from", one.client_ip or "no address (a socket of this machine)"),
        ("since", moment(one.connected_at)),
        ("last seen", moment(one.last_seen_at)),
        ("let in by", f"a token, {token}; it {until}"),
        ("listens to", _some(one.subjects)),
        ("was refused", _some(one.refused) if one.refused else "nothing"),
        ("speaks", f"protocol {one.protocol}, {'compressed' if one.compressed else 'not compressed'}"),
        ("messages", f"{one.messages} became events"),
        (
            "its rate",
            f"{_use(one.message_rate)}; {one.excess} in a row beyond it (closed at {one.max_excess})",
        ),
        ("pings' rate", _use(one.control_rate)),
        (
            "its queue",
            f"{one.queued} of {one.max_queued} publications, "
            f"{one.queued_bytes} of {one.max_queued_bytes} bytes; "
            f"{one.dropped} dropped since it last was empty",
        ),
        ("what comes", deadlines or "nothing is armed"),
    ]
    lines = [f"{name.ljust(12)} {value}" for name, value in facts]
    if len(one.subjects) > SUBJECTS_SHOWN or len(one.refused) > SUBJECTS_SHOWN:
        lines.append(f"all subjects: explain({quoted(one.connection_id)}, 2)")
    return lines


def subjects(one: ConnectionDetail, page: int) -> list[str]:
    """All subjects of a connection, a page of them; the first page is 1, and `explain` calls it 2."""
    rows = [("listens to", name) for name in one.subjects] + [("was refused", name) for name in one.refused]
    shown = rows[(page - 1) * ROWS :]
    if not shown:
        return ["No more subjects."]
    more = [f"more: explain({quoted(one.connection_id)}, {page + 2})"] if len(shown) > ROWS else []
    return [f"{kind.ljust(12)} {clean(name, TEXT_WIDTH)}" for kind, name in shown[:ROWS]] + more


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(clean(name) for name in names[:SUBJECTS_SHOWN])
    left = len(names) - SUBJECTS_SHOWN
    return f"{shown} and {left} more" if left > 0 else shown


def _use(rate: RateUse) -> str:
    if not rate.per_second:
        return "no limit"
    return f"{rate.per_second:g} a second, {rate.left:g} of {rate.burst:g} left"


def events(shown: Sequence[RecordedEvent], text: bool) -> list[str]:
    """Events of one connection.

    :param text: with the beginning of each message.
    """
    heads = ["when", "event", "seq", "size", "outcome", "event_id"] + (["text"] if text else [])
    rows = [
        [
            moment(one.at_ms / 1000, places=3),
            one.type,
            one.seq,
            one.size,
            one.outcome,
            one.event_id or "-",
            *([one.text or ""] if text else []),
        ]
        for one in shown
    ]
    return table(heads, rows, TEXT_WIDTH)


def dead_letters(letters: Sequence[DeadLetterView]) -> list[str]:
    """Events that were given up."""
    rows = [
        (
            moment(one.at_ms / 1000),
            one.sink,
            one.type,
            one.event_id,
            one.connection_id,
            f"{one.reason} ({one.attempts})",
            one.detail,
        )
        for one in letters
    ]
    heads = ("when", "sink", "event", "event_id", "connection_id", "why (attempts)", "detail")
    return table(heads, rows, TEXT_WIDTH)


def slow_clients(view: QueuesView, page: int) -> list[str]:
    """A page of the clients for whom something waits.

    :param view: with the slow clients of all pages up to this one.
    """
    slow = view.slow[(page - 1) * ROWS :]
    if not slow:
        return ["No more slow clients are told of." if page > 1 else "Nothing waits for any client."]
    rows = [(one.connection_id, one.user_id, one.publications, one.bytes) for one in slow]
    lines = table(("connection_id", "user_id", "publications", "bytes"), rows)
    left = view.slow_count - page * ROWS
    return [*lines, f"{left} more: queues({page + 1})"] if left > 0 else lines


def waiting(view: QueuesView) -> list[str]:
    """What waits for the sinks, and for how many clients."""
    return [
        f"{view.events} events wait for sinks: {view.bytes} of {view.max_bytes} bytes, "
        f"the oldest for {span(view.oldest_seconds)}",
        *_sinks(view.sinks),
        f"{view.slow_count} clients read slowly",
    ]


def _sinks(sinks: Sequence[SinkView]) -> list[str]:
    return [
        f"sink {one.name}: target {one.target}, {one.waiting} wait, {one.in_flight} under way"
        + (f"; {clean(one.detail, TEXT_WIDTH)}" if one.detail else "")
        for one in sinks
    ]
