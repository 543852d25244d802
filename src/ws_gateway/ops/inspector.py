"""Answers operators' questions about a running node, from what the rooms say of themselves.

Nothing is gathered before somebody asks. The one answer that walks over all connections (who reads slowly) is
kept for a second, however many look.
"""

from collections.abc import Callable, Sequence
from heapq import nlargest

from attrs import frozen
from zope.interface import implementer

from ws_gateway.domain.closing import KICKED_CODE
from ws_gateway.domain.registry import Registry
from ws_gateway.domain.views import (
    Check,
    ConnectionDetail,
    ConnectionPage,
    DeadLetterView,
    Overview,
    QueuesView,
    Rate,
    RecordedEvent,
    SlowClient,
)
from ws_gateway.events.pipeline import EventPipeline
from ws_gateway.interfaces import IInspector, IReadiness

__all__ = ["Inspector", "NodeFacts"]

MOST_SLOW = 100
"""Slow clients that are told of by name."""

_WALK_EVERY = 1.0


@frozen
class NodeFacts:
    """What never changes about a node.

    :ivar mode: `WS_MODE`; `events_mode`: `EVENTS_MODE`.
    """

    node_id: str
    version: str
    mode: str
    events_mode: str


@implementer(IInspector)
class Inspector:
    """See the module.

    :param rates: how often things happen.
    :param draining: whether the node is about to stop.
    :param readiness: what `/ready` asks.
    :param now: monotonic seconds; `wall`: Unix seconds.
    """

    def __init__(
        self,
        node: NodeFacts,
        registry: Registry,
        pipeline: EventPipeline,
        rates: Callable[[], tuple[Rate, ...]],
        draining: Callable[[], bool],
        readiness: Sequence[IReadiness],
        now: Callable[[], float],
        wall: Callable[[], float],
    ) -> None:
        self._node = node
        self._registry = registry
        self._pipeline = pipeline
        self._rates = rates
        self._draining = draining
        self._readiness = tuple(readiness)
        self._now = now
        self._began = now()
        self._started_at = int(wall())
        self._slow: tuple[int, tuple[SlowClient, ...]] = (0, ())
        self._walk_again_at = self._began

    def overview(self) -> Overview:
        """See IInspector."""
        pipeline, registry = self._pipeline, self._registry
        return Overview(
            node_id=self._node.node_id,
            version=self._node.version,
            mode=self._node.mode,
            events_mode=self._node.events_mode,
            started_at=self._started_at,
            uptime_seconds=round(self._now() - self._began, 1),
            draining=self._draining(),
            connections=len(registry),
            subjects=registry.subject_count(),
            rates=self._rates(),
            queued_events=pipeline.waiting,
            queued_bytes=pipeline.waiting_bytes,
            oldest_seconds=round(pipeline.oldest_seconds, 1),
            sinks=pipeline.sinks(),
            dead_letters=len(pipeline.dead_letters),
            checks=tuple(Check(*one.readiness()) for one in self._readiness),
        )

    def connections(self, limit: int = 50, cursor: str | None = None) -> ConnectionPage:
        """See IInspector."""
        found, following = self._registry.page(cursor=cursor, limit=limit)
        return ConnectionPage(tuple(found), len(self._registry), following)

    def who(self, subject_or_user: str, limit: int = 50, cursor: str | None = None) -> ConnectionPage:
        """See IInspector."""
        registry = self._registry
        total = len(registry.members(subject_or_user))
        if total:
            found, following = registry.page(subject=subject_or_user, cursor=cursor, limit=limit)
        else:
            total = registry.count_of_user(subject_or_user)
            found, following = registry.page(user_id=subject_or_user, cursor=cursor, limit=limit)
        return ConnectionPage(tuple(found), total, following)

    def tail(self, connection_id: str, limit: int = 20, with_text: bool = False) -> tuple[RecordedEvent, ...]:
        """See IInspector."""
        return self._pipeline.last_events(connection_id, limit, with_text)

    def explain(self, connection_id: str) -> ConnectionDetail | None:
        """See IInspector."""
        connection = self._registry.find(connection_id)
        return None if connection is None else connection.describe()

    def queues(self, limit: int = 20) -> QueuesView:
        """See IInspector."""
        pipeline = self._pipeline
        count, slow = self._slow_clients()
        return QueuesView(
            events=pipeline.waiting,
            bytes=pipeline.waiting_bytes,
            max_bytes=pipeline.max_bytes,
            oldest_seconds=round(pipeline.oldest_seconds, 1),
            sinks=pipeline.sinks(),
            slow_count=count,
            slow=slow[:limit],
        )

    def dead_letters(self, limit: int = 20) -> tuple[DeadLetterView, ...]:
        """See IInspector."""
        letters = self._pipeline.dead_letters
        return tuple(
            DeadLetterView(
                at_ms=letter.envelope.occurred_at_ms,
                sink=letter.sink,
                event_id=letter.envelope.event_id,
                type=letter.envelope.type.value,
                connection_id=letter.envelope.connection_id,
                reason=letter.reason.value,
                attempts=letter.attempts,
                detail=letter.detail,
            )
            for letter in letters[: -limit - 1 : -1]
        )

    def kick(self, connection_id: str, reason: str = "") -> bool:
        """See IInspector."""
        return self._registry.disconnect(KICKED_CODE, reason, connection_id=connection_id) > 0

    def _slow_clients(self) -> tuple[int, tuple[SlowClient, ...]]:
        """How many clients have something waiting, and the worst of them."""
        now = self._now()
        if now >= self._walk_again_at:
            self._walk_again_at = now + _WALK_EVERY
            waiting = [
                (backlog, connection)
                for connection in self._registry.everyone()
                if (backlog := connection.backlog())[1]
            ]
            worst = nlargest(MOST_SLOW, waiting, key=lambda found: found[0][1])
            self._slow = (
                len(waiting),
                tuple(
                    SlowClient(one.connection_id, one.user_id, publications, size)
                    for (publications, size), one in worst
                ),
            )
        return self._slow
