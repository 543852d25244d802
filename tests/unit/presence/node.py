"""A node without anything but its presence."""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from ws_gateway.domain.lost import Claim
from ws_gateway.domain.messages import ConnectionView
from ws_gateway.domain.registry import Registry
from ws_gateway.interfaces import IPresenceStore
from ws_gateway.presence.lost import LostConnections
from ws_gateway.presence.pace import Pace
from ws_gateway.presence.service import PresenceService
from ws_gateway.testing.connections import FakeConnection
from ws_gateway.testing.emitter import FakeEmitter
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.presence import FakePlace, FakePresenceStore

TTL = 120.0
PACE = Pace(TTL, 30.0)


@implementer(IPresenceStore)
class Watched:
    """A store that notes what is asked of it, and answers at once unless it is told not to.

    :ivar calls: (word, number of connections) of every call.
    :ivar held: while this is a list, answers wait in it until the test fires them.
    :ivar failures: what calls of a word fail with.
    :ivar most: the most calls that were under way at a time.
    """

    def __init__(self, store: IPresenceStore) -> None:
        self.store = store
        self.calls: list[tuple[str, int]] = []
        self.times: list[float] = []
        self.held: list[Deferred[None]] | None = None
        self.failures: dict[str, Exception] = {}
        self.under_way = 0
        self.most = 0

    def count(self, word: str) -> int:
        """How many connections calls of a word carried."""
        return sum(number for name, number in self.calls if name == word)

    def put(self, views: Sequence[ConnectionView], ttl: float) -> Deferred[None]:
        return self._do("put", len(views), lambda: self.store.put(views, ttl))

    def remove(self, views: Sequence[ConnectionView]) -> Deferred[None]:
        return self._do("remove", len(views), lambda: self.store.remove(views))

    def renew(self, seconds: float) -> Deferred[bool]:
        return self._do("renew" if seconds else "give up", 0, lambda: self.store.renew(seconds))

    def sweep(self) -> Deferred[int]:
        return self._do("sweep", 0, self.store.sweep)

    def claim(self, most: int, at_ms: int, again: bool) -> Deferred[Claim]:
        return self._do("claim", most, lambda: self.store.claim(most, at_ms, again))

    def settle(self, connection_ids: Sequence[str]) -> Deferred[None]:
        return self._do("settle", len(connection_ids), lambda: self.store.settle(connection_ids))

    def page(
        self, subject: str | None, user_id: str | None, cursor: str | None, limit: int
    ) -> Deferred[tuple[list[ConnectionView], str | None]]:
        return self.store.page(subject, user_id, cursor, limit)

    def _do(self, word: str, number: int, call: Callable[[], Deferred[Any]]) -> Deferred[Any]:
        self.calls.append((word, number))
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        gate: Deferred[None] = succeed(None)
        if self.held is not None:
            gate = Deferred()
            self.held.append(gate)
        failure = self.failures.get(word)
        answer = gate.addCallback(lambda _: call() if failure is None else fail(failure))
        return answer.addBoth(self._over)

    def _over(self, result: Any) -> Any:
        self.under_way -= 1
        return result


class Node:
    """A registry, a store and the service between them, on a clock."""

    def __init__(self, place: FakePlace, name: str = "here", pace: Pace = PACE, telling: bool = True) -> None:
        self.clock: Clock = place.clock
        self.place = place
        self.registry = Registry()
        self.metrics = FakeMetrics()
        self.store = Watched(FakePresenceStore(place, name))
        self.emitter = FakeEmitter()
        lost = LostConnections(self.store, self.emitter, self._wall_ms, True, self.metrics)
        self.service = PresenceService(
            self.store, self.registry, self.clock, pace, self.metrics, lost if telling else None
        )

    def _wall_ms(self) -> int:
        return round(self.clock.seconds() * 1000)

    def add(self, *numbers: int, **more: Any) -> list[FakeConnection]:
        """Connections come."""
        came = [FakeConnection(f"c-{number}", str(number), (f"user:{number}",), **more) for number in numbers]
        for connection in came:
            self.registry.add(connection)
        return came

    @property
    def known(self) -> set[str]:
        """Whom the store shows."""
        return {key for key, entry in self.place.entries.items() if self.place.shown(entry)}


class Case(SynchronousTestCase):
    """Tests with a node that runs."""

    def setUp(self) -> None:
        self.place = FakePlace()
        self.clock = self.place.clock
        self.clock.advance(1_000)
        self.node = self.start()

    def start(self, name: str = "here", pace: Pace = PACE, telling: bool = True) -> Node:
        """One more node.

        :param telling: whether its backend hears of ends.
        """
        node = Node(self.place, name, pace, telling)
        node.service.startService()
        self.addCleanup(lambda: node.service.running and node.service.stopService())
        return node

    def pass_time(self, seconds: float, step: float = 0.05) -> None:
        """Let it pass bit by bit."""
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def kill(self, node: Node) -> None:
        """SIGKILL: it does nothing any more."""
        node.service._life.cancel()  # type: ignore[union-attr]
        node.service.running = 0
