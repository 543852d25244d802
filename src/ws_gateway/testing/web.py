"""What stands behind the HTTP side, in memory: a delivery that remembers, a directory of plain views."""

from collections.abc import Iterable, Sequence, Set

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from ws_gateway.domain.messages import ConnectionView, Publication
from ws_gateway.errors import Overloaded
from ws_gateway.interfaces import IConnectionDirectory, IDelivery, IReadiness

__all__ = ["FakeDelivery", "FakeDirectory", "FakeReadiness"]


@implementer(IDelivery)
@define(eq=False)
class FakeDelivery:
    """Takes everything, and tells a chosen number of connections for each publication.

    :ivar delivered: all publications so far.
    :ivar connections: the number that each publication is said to reach.
    :ivar waiting: while this is a list, answers wait in it until the test fires them.
    :ivar overloaded: refuse everything.
    """

    delivered: list[Publication] = field(factory=list)
    connections: int = 1
    waiting: list[Deferred[list[int]]] | None = None
    overloaded: bool = False

    def deliver(self, publications: Sequence[Publication], whole: bool = False) -> Deferred[list[int]]:
        if self.overloaded:
            return fail(Overloaded("the queue is full"))
        self.delivered.extend(publications)
        if self.waiting is not None:
            answer: Deferred[list[int]] = Deferred()
            self.waiting.append(answer)
            return answer
        return succeed([self.connections] * len(publications))


@frozen
class Kicked:
    """A connection that was told to close, and how."""

    connection_id: str
    code: int
    reason: str


@implementer(IConnectionDirectory)
class FakeDirectory:
    """Holds views. Its cursor is the number of connections that were seen.

    :ivar kicked: who was disconnected, in order; they stay in the list, as closing takes time.
    """

    def __init__(self, views: Iterable[ConnectionView] = ()) -> None:
        self._views = list(views)
        self.kicked: list[Kicked] = []

    def page(
        self,
        subject: str | None = None,
        user_id: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> tuple[list[ConnectionView], str | None]:
        begin = 0 if cursor is None else int(cursor)
        fitting = [
            view
            for view in self._views
            if (subject is None or subject in view.subjects) and (user_id is None or user_id == view.user_id)
        ]
        end = len(fitting) if limit is None else begin + limit
        return fitting[begin:end], str(end) if end < len(fitting) else None

    def listening(self, subjects: Sequence[str], excluded: Set[str]) -> int:
        return sum(
            view.connection_id not in excluded
            and ("*" in subjects or not set(subjects).isdisjoint(view.subjects))
            for view in self._views
        )

    def count(self, connection_id: str | None = None, user_id: str | None = None) -> int:
        return len(self._meant(connection_id, user_id))

    def disconnect(
        self, code: int, reason: str, connection_id: str | None = None, user_id: str | None = None
    ) -> int:
        meant = self._meant(connection_id, user_id)
        self.kicked.extend(Kicked(view.connection_id, code, reason) for view in meant)
        return len(meant)

    def _meant(self, connection_id: str | None, user_id: str | None) -> list[ConnectionView]:
        return [
            view
            for view in self._views
            if connection_id in (None, view.connection_id) and user_id in (None, view.user_id)
        ]


@implementer(IReadiness)
@define(eq=False)
class FakeReadiness:
    """Says what it is told to say."""

    name: str
    status: str = "ok"
    detail: str = ""

    def readiness(self) -> tuple[str, str, str]:
        return self.name, self.status, self.detail
