"""The last events of the node, for whoever debugs."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.events.street import Connection, Street
from ws_gateway.domain.messages import EventType
from ws_gateway.events.recorder import TEXT_CHARACTERS, EventRecorder
from ws_gateway.testing.sinks import Outcome


def recorded(size: int = 100, **options: Any) -> Street:
    return Street(recorder=EventRecorder(size), **options)


def outcomes(street: Street, connection_id: str = "a") -> list[tuple[str, int, str]]:
    return [
        (event.type, event.seq, event.outcome) for event in street.pipeline.last_events(connection_id, 50)
    ]


class RecorderTests(SynchronousTestCase):
    def test_order(self) -> None:
        """A connection's events come back in their order, the newest last, without those of others."""
        street = recorded()
        one, other = Connection("a"), Connection("b")
        for event in (one.connected(), other.connected(), one.message(), one.disconnected()):
            street.emit(event)
        events = street.pipeline.last_events("a", 50)
        self.assertEqual([event.seq for event in events], [0, 1, 2])
        self.assertEqual({event.connection_id for event in events}, {"a"})
        self.assertEqual(street.pipeline.last_events("c", 50), ())

    def test_limit(self) -> None:
        """Of more events than are asked for the newest are told; with 0 none."""
        street = recorded()
        one = Connection("a")
        for _ in range(5):
            street.emit(one.message())
        self.assertEqual([event.seq for event in street.pipeline.last_events("a", 2)], [4, 5])
        self.assertEqual(street.pipeline.last_events("a", 0), ())

    def test_bounded(self) -> None:
        """The ring is shared by all connections: the oldest event makes room."""
        street = recorded(3)
        one = Connection("a")
        for _ in range(5):
            street.emit(one.message())
        self.assertEqual([event.seq for event in street.pipeline.last_events("a", 50)], [3, 4, 5])

    def test_text(self) -> None:
        """The beginning of a message is shown only to whoever asks for it; its size always."""
        street = recorded()
        one = Connection("a")
        street.emit(one.connected())
        street.emit(one.message(raw="x" * 5000))
        without = street.pipeline.last_events("a", 50)
        self.assertEqual([(event.size, event.text) for event in without], [(0, None), (5000, None)])
        shown = street.pipeline.last_events("a", 50, with_text=True)
        self.assertEqual([event.text for event in shown], [None, "x" * TEXT_CHARACTERS])
        self.assertNotIn("xxx", repr(shown))

    def test_ids(self) -> None:
        """An event is remembered under the id and the time that the sinks get."""
        street = recorded()
        street.clock.advance(1.5)
        street.emit(Connection("a").connected())
        (event,) = street.pipeline.last_events("a", 50)
        (envelope,) = street.sink.offered
        self.assertEqual((event.event_id, event.at_ms), (envelope.event_id, envelope.occurred_at_ms))

    def test_waiting_then_taken(self) -> None:
        """While a sink has not answered, an event waits; then it is taken."""
        street = recorded()
        street.sink.script(Outcome.HANG)
        street.emit(Connection("a").connected())
        self.assertEqual(outcomes(street), [("connected", 0, "waiting")])
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(outcomes(street), [("connected", 0, "taken")])

    def test_dead_letter(self) -> None:
        """An event that was given up says so."""
        street = recorded()
        street.sink.script(Outcome.REFUSE)
        street.emit(Connection("a").connected())
        self.assertEqual(outcomes(street), [("connected", 0, "dead_letter")])

    def test_not_sent(self) -> None:
        """Where events go nowhere, or not those, they are remembered all the same."""
        street = recorded(sinks=0)
        street.emit(Connection("a").connected())
        self.assertEqual(outcomes(street), [("connected", 0, "not_sent")])
        street = recorded(types=[EventType.CONNECTED])
        street.emit(Connection("a").message())
        self.assertEqual(outcomes(street), [("message_received", 1, "not_sent")])

    def test_dropped(self) -> None:
        """An event that found no room says which room was full; one that came too late, that too."""
        street = recorded(max_per_key=1)
        street.sink.script(Outcome.HANG)
        one = Connection("a")
        street.emit(one.message())
        street.emit(one.message())
        self.assertEqual(outcomes(street)[-1], ("message_received", 2, "key_full"))
        street.pipeline.stopService()
        street.emit(one.message())
        self.assertEqual(outcomes(street)[-1], ("message_received", 3, "stopped"))

    def test_none(self) -> None:
        """Without a recorder nothing is remembered."""
        street = Street()
        street.emit(Connection("a").connected())
        self.assertEqual(street.pipeline.last_events("a", 50), ())


class SinkViewTests(SynchronousTestCase):
    def test_counts(self) -> None:
        """Each sink tells what waits for it alone, what is under way, and how its target is."""
        street = Street(2)
        street.sinks[0].script(Outcome.HANG)
        street.emit(Connection("a").message())
        street.emit(Connection("a").message())
        slow, quick = street.pipeline.sinks()
        self.assertEqual((slow.name, slow.waiting, slow.in_flight, slow.target), ("sink0", 2, 1, "up"))
        self.assertEqual((quick.waiting, quick.in_flight, quick.target), (0, 0, "up"))

    def test_target_down(self) -> None:
        """A target that is down is told of, with the reason, until it is back."""
        street = Street()
        street.sink.script(Outcome.DOWN)
        street.emit(Connection("a").message())
        (sink,) = street.pipeline.sinks()
        self.assertEqual((sink.target, sink.detail, sink.waiting), ("waiting", "scripted: down", 1))
        street.clock.advance(1)
        (sink,) = street.pipeline.sinks()
        self.assertEqual((sink.target, sink.detail, sink.waiting), ("up", "", 0))
