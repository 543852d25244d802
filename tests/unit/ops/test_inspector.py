"""What operators may see and do."""

from typing import Any

import attrs
import orjson
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.events.street import Connection, Street
from ws_gateway.domain.registry import Registry
from ws_gateway.domain.views import Check, Rate
from ws_gateway.events.recorder import EventRecorder
from ws_gateway.interfaces import IInspector
from ws_gateway.ops.inspector import MOST_SLOW, Inspector, NodeFacts
from ws_gateway.ops.rates import RateMeter
from ws_gateway.testing.connections import FakeConnection
from ws_gateway.testing.sinks import Outcome


class InspectorTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.street = Street(recorder=EventRecorder(100))
        self.registry = Registry()
        self.draining = False
        self.inspector = Inspector(
            NodeFacts("node-1", "1.2.3", "terminator", "webhook"),
            self.registry,
            self.street.pipeline,
            lambda: (Rate("messages", 1.5, 10.0),),
            lambda: self.draining,
            [self.street.pipeline],
            self.street.clock.seconds,
            lambda: 1_700_000_000.5 + self.street.clock.seconds(),
        )

    def add(self, connection_id: str, user_id: str = "42", **more: Any) -> FakeConnection:
        more.setdefault("subjects", (f"user:{user_id}",))
        connection = FakeConnection(connection_id, user_id, **more)
        self.registry.add(connection)
        return connection


class OverviewTests(InspectorTestCase):
    def test_interface(self) -> None:
        """It is what the console and the status page ask."""
        verifyObject(IInspector, self.inspector)

    def test_overview(self) -> None:
        """The node at a glance: who it is, what it holds, what waits, how its checks are."""
        self.add("c-1")
        self.street.sink.script(Outcome.HANG)
        self.street.emit(Connection("a").message())
        self.street.clock.advance(2.5)
        view = self.inspector.overview()
        self.assertEqual((view.node_id, view.version, view.mode), ("node-1", "1.2.3", "terminator"))
        self.assertEqual(
            (view.events_mode, view.started_at, view.uptime_seconds), ("webhook", 1_700_000_000, 2.5)
        )
        self.assertEqual((view.connections, view.subjects, view.draining), (1, 1, False))
        self.assertEqual((view.queued_events, view.oldest_seconds, view.dead_letters), (1, 2.5, 0))
        self.assertEqual([sink.name for sink in view.sinks], ["sink0"])
        self.assertEqual(view.checks, (Check("events", "ok", ""),))
        self.assertEqual(view.rates, (Rate("messages", 1.5, 10.0),))
        self.draining = True
        self.assertTrue(self.inspector.overview().draining)
        orjson.dumps(attrs.asdict(view))


class ConnectionTests(InspectorTestCase):
    def test_pages(self) -> None:
        """Connections come in pages, each telling how to go on and how many there are."""
        for number in range(5):
            self.add(f"c-{number}")
        first = self.inspector.connections(limit=3)
        self.assertEqual([one.connection_id for one in first.connections], ["c-0", "c-1", "c-2"])
        self.assertEqual(first.total, 5)
        second = self.inspector.connections(limit=3, cursor=first.cursor)
        self.assertEqual([one.connection_id for one in second.connections], ["c-3", "c-4"])
        self.assertIsNone(second.cursor)
        self.assertRaises(ValueError, self.inspector.connections, 3, "nonsense")

    def test_who(self) -> None:
        """A subject names its listeners; what nobody listens to is taken for a user's id."""
        self.add("c-1", "42", subjects=("user:42", "channel:news"))
        self.add("c-2", "43")
        self.add("c-3", "42")

        def who(name: str, limit: int = 9) -> list[str]:
            return [one.connection_id for one in self.inspector.who(name, limit).connections]

        self.assertEqual(who("channel:news"), ["c-1"])
        self.assertEqual(who("user:42"), ["c-1", "c-3"])
        self.assertEqual(who("43"), ["c-2"])
        self.assertEqual(who("nobody"), [])
        page = self.inspector.who("42", 1)
        self.assertEqual((page.total, len(page.connections)), (2, 1))
        (rest,) = self.inspector.who("42", 1, page.cursor).connections
        self.assertEqual(rest.connection_id, "c-3")

    def test_explain(self) -> None:
        """A connection that is here is explained, another one is not."""
        self.add("c-1")
        detail = self.inspector.explain("c-1")
        assert detail is not None
        self.assertEqual(detail.connection_id, "c-1")
        self.assertIsNone(self.inspector.explain("c-2"))

    def test_tail(self) -> None:
        """The last events of a connection that is gone are still there; text only on request."""
        one = Connection("gone")
        self.street.emit(one.message(raw="hello"))
        self.street.emit(one.disconnected())
        self.assertEqual([event.text for event in self.inspector.tail("gone")], [None, None])
        self.assertEqual(self.inspector.tail("gone", 2, with_text=True)[0].text, "hello")

    def test_kick(self) -> None:
        """A kick says whether it met anybody, and closes nobody else."""
        one, other = self.add("c-1"), self.add("c-2")
        self.assertTrue(self.inspector.kick("c-1", "enough"))
        self.assertFalse(self.inspector.kick("c-3"))
        assert one.ending is not None
        self.assertEqual((one.ending.code, one.ending.reason), (4403, "enough"))
        self.assertIsNone(other.ending)


class QueueTests(InspectorTestCase):
    def test_slow(self) -> None:
        """Clients for whom something waits are counted; those with most bytes are named, the worst first."""
        self.add("idle")
        self.add("some", waiting=(1, 10))
        self.add("much", waiting=(2, 5000))
        view = self.inspector.queues()
        self.assertEqual(view.slow_count, 2)
        self.assertEqual(
            [(one.connection_id, one.bytes) for one in view.slow], [("much", 5000), ("some", 10)]
        )
        self.assertEqual([one.connection_id for one in self.inspector.queues(1).slow], ["much"])

    def test_walked_once_a_second(self) -> None:
        """However many look, all connections are asked once a second."""
        self.assertEqual(self.inspector.queues().slow_count, 0)
        self.add("much", waiting=(2, 5000))
        self.assertEqual(self.inspector.queues().slow_count, 0)
        self.street.clock.advance(1)
        self.assertEqual(self.inspector.queues().slow_count, 1)

    def test_bounded(self) -> None:
        """Not more are named than somebody can read."""
        for number in range(MOST_SLOW + 5):
            self.add(f"c-{number}", waiting=(1, 10))
        view = self.inspector.queues(10_000)
        self.assertEqual((view.slow_count, len(view.slow)), (MOST_SLOW + 5, MOST_SLOW))

    def test_sinks(self) -> None:
        """What waits for a sink is told with its bounds."""
        self.street.sink.script(Outcome.DOWN)
        self.street.emit(Connection("a").message())
        view = self.inspector.queues()
        self.assertEqual(view.events, 1)
        self.assertTrue(0 < view.bytes < view.max_bytes)
        (sink,) = view.sinks
        self.assertEqual((sink.waiting, sink.target, sink.detail), (1, "waiting", "scripted: down"))

    def test_dead_letters(self) -> None:
        """The event that was given up last comes first, with the reason."""
        self.street.sink.always(Outcome.REFUSE)
        for name in "abc":
            self.street.emit(Connection(name).message())
        letters = self.inspector.dead_letters(2)
        self.assertEqual([letter.connection_id for letter in letters], ["c", "b"])
        self.assertEqual((letters[0].reason, letters[0].attempts), ("refused", 1))
        self.assertEqual((letters[0].sink, letters[0].detail), ("sink0", "scripted: refused"))
        self.assertEqual(len(self.inspector.dead_letters(50)), 3)
        self.assertEqual(self.inspector.dead_letters(0), ())


class RateTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.count = 0.0
        self.meter = RateMeter(self.clock, {"messages": lambda: self.count})

    def test_before(self) -> None:
        """Without two readings there is a total, but no rate."""
        self.count = 3.0
        self.assertEqual(self.meter.rates(), (Rate("messages", 0.0, 3.0),))
        self.meter.startService()
        self.assertEqual(self.meter.rates(), (Rate("messages", 0.0, 3.0),))

    def test_average(self) -> None:
        """A rate is the average over the last five seconds; what was before does not count."""
        self.meter.startService()
        for _ in range(5):
            self.count += 10
            self.clock.advance(1)
        self.assertEqual(self.meter.rates(), (Rate("messages", 10.0, 50.0),))
        for _ in range(5):
            self.clock.advance(1)
        self.assertEqual(self.meter.rates(), (Rate("messages", 0.0, 50.0),))

    def test_stop(self) -> None:
        """A meter that was stopped leaves no timer behind."""
        self.meter.startService()
        self.meter.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.meter.stopService()
