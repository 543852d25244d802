"""An inspector whose answers a test writes down."""

from attrs import define, evolve, field
from zope.interface import implementer

from ws_gateway.domain.messages import ConnectionView
from ws_gateway.domain.views import (
    Check,
    ConnectionDetail,
    ConnectionPage,
    DeadLetterView,
    Overview,
    QueuesView,
    Rate,
    RateUse,
    RecordedEvent,
)
from ws_gateway.interfaces import IInspector

__all__ = ["FakeInspector"]

_RATES = ("connects", "disconnects", "refused", "messages", "publications", "deliveries", "events")
_NOTHING_WAITS = QueuesView(0, 0, 64 * 1024 * 1024, 0.0, (), 0, ())


@implementer(IInspector)
@define(eq=False)
class FakeInspector:
    """Tells of the connections that it is given. Its cursor is the number of connections that were seen.

    :ivar waiting: what `queues` answers.
    :ivar recorded: the events of all connections, the newest last.
    :ivar kicked: who was kicked, with the reason.
    """

    views: list[ConnectionView] = field(factory=list)
    waiting: QueuesView = _NOTHING_WAITS
    recorded: list[RecordedEvent] = field(factory=list)
    letters: list[DeadLetterView] = field(factory=list)
    checks: tuple[Check, ...] = ()
    kicked: list[tuple[str, str]] = field(factory=list)
    overviews: int = 0

    def overview(self) -> Overview:
        self.overviews += 1
        return Overview(
            node_id="node-1",
            version="0",
            mode="terminator",
            events_mode="webhook",
            started_at=1_700_000_000,
            uptime_seconds=60.0,
            draining=False,
            connections=len(self.views),
            subjects=len({subject for view in self.views for subject in view.subjects}),
            rates=tuple(Rate(name, 0.0, 0.0) for name in _RATES),
            queued_events=self.waiting.events,
            queued_bytes=self.waiting.bytes,
            oldest_seconds=self.waiting.oldest_seconds,
            sinks=self.waiting.sinks,
            dead_letters=len(self.letters),
            checks=self.checks,
        )

    def connections(self, limit: int = 50, cursor: str | None = None) -> ConnectionPage:
        return _page(self.views, limit, cursor)

    def who(self, subject_or_user: str, limit: int = 50, cursor: str | None = None) -> ConnectionPage:
        listening = [view for view in self.views if subject_or_user in view.subjects]
        users = [view for view in self.views if subject_or_user == view.user_id]
        return _page(listening or users, limit, cursor)

    def tail(self, connection_id: str, limit: int = 20, with_text: bool = False) -> tuple[RecordedEvent, ...]:
        events = [event for event in self.recorded if event.connection_id == connection_id][-limit:]
        return tuple(event if with_text else evolve(event, text=None) for event in events)

    def explain(self, connection_id: str) -> ConnectionDetail | None:
        view = next((view for view in self.views if view.connection_id == connection_id), None)
        if view is None:
            return None
        return ConnectionDetail(
            connection_id=view.connection_id,
            user_id=view.user_id,
            state="open",
            connected_at=view.connected_at,
            last_seen_at=view.last_seen_at,
            client_ip=view.client_ip,
            token_source="header",
            subjects=view.subjects,
            refused=(),
            protocol=0,
            compressed=False,
            expires_at=None,
            messages=0,
            message_rate=RateUse(10, 20, 20),
            control_rate=RateUse(100, 200, 200),
            excess=0,
            max_excess=1000,
            queued=0,
            queued_bytes=0,
            max_queued=1024,
            max_queued_bytes=1024 * 1024,
            dropped=0,
            deadlines=(),
        )

    def queues(self, limit: int = 20) -> QueuesView:
        return evolve(self.waiting, slow=self.waiting.slow[:limit])

    def dead_letters(self, limit: int = 20) -> tuple[DeadLetterView, ...]:
        return tuple(reversed(self.letters))[:limit]

    def kick(self, connection_id: str, reason: str = "") -> bool:
        here = any(view.connection_id == connection_id for view in self.views)
        if here:
            self.kicked.append((connection_id, reason))
        return here


def _page(views: list[ConnectionView], limit: int, cursor: str | None) -> ConnectionPage:
    begin = 0 if cursor is None else int(cursor)
    end = begin + limit
    following = str(end) if end < len(views) else None
    return ConnectionPage(tuple(views[begin:end]), len(views), following)
