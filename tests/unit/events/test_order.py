"""Order: within a key, within a connection, through retries."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.events.street import Connection, Street, labels
from ws_gateway.testing.sinks import FakeSink, Outcome


class OrderTests(SynchronousTestCase):
    """What may be offered when (contract section 2)."""

    def test_connected_first(self) -> None:
        """A message is offered only after its connection's `connected` was accepted, in any lane."""
        street, a = Street(), Connection("a")
        street.sink.script(Outcome.HANG)
        street.emit(a.connected())
        street.emit(a.message("room"))
        street.emit(a.message())
        self.assertEqual(street.offered(), ["a/0"])
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(sorted(street.offered()), ["a/0", "a/1", "a/2"])
        self.assertTrue(street.pipeline.idle)

    def test_connected_given_up(self) -> None:
        """A `connected` that became a dead letter lets the messages pass."""
        street, a = Street(), Connection("a")
        street.sink.script(Outcome.HANG)
        street.emit(a.connected())
        street.emit(a.message("room"))
        street.sink.hanging[0].settle(Outcome.REFUSE)
        self.assertEqual(labels(street.sink.accepted), ["a/1"])
        self.assertTrue(street.pipeline.idle)

    def test_disconnected_last(self) -> None:
        """`disconnected` is offered after the connection's last message in any lane was accepted."""
        street, a = Street(), Connection("a")
        street.emit(a.connected())
        street.sink.script(Outcome.HANG, Outcome.HANG)
        street.emit(a.message("one"))
        street.emit(a.message("two"))
        street.emit(a.disconnected())
        self.assertEqual(street.offered(), ["a/0", "a/1", "a/2"])
        street.sink.hanging[1].settle(Outcome.ACCEPT)
        self.assertEqual(street.offered(), ["a/0", "a/1", "a/2"])
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(street.offered(), ["a/0", "a/1", "a/2", "a/3"])
        self.assertTrue(street.pipeline.idle)

    def test_disconnected_after_dead_letter(self) -> None:
        """A last message that became a dead letter releases `disconnected`."""
        street, a = Street(attempts=1), Connection("a")
        street.sink.script(Outcome.ACCEPT, Outcome.HANG)
        street.emit(a.connected())
        street.emit(a.message("one"))
        street.emit(a.disconnected())
        street.sink.hanging[0].settle(Outcome.FAIL)
        self.assertEqual(labels(street.sink.accepted), ["a/0", "a/2"])
        self.assertTrue(street.pipeline.idle)

    def test_refused_message_releases_disconnected(self) -> None:
        """`disconnected` does not wait for a message that a full queue refused."""
        street, a = Street(max_per_key=1), Connection("a")
        street.emit(a.connected())
        street.sink.script(Outcome.HANG)
        street.emit(a.message("room"))
        street.emit(a.message("room"))
        street.emit(a.disconnected())
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(labels(street.sink.accepted), ["a/0", "a/1", "a/3"])
        self.assertTrue(street.pipeline.idle)

    def test_disconnected_waits_in_shared_lane(self) -> None:
        """A message that stands behind another connection's in a shared lane holds its `disconnected`."""
        street, a, b = Street(), Connection("a"), Connection("b")
        street.emit(a.connected())
        street.emit(b.connected())
        street.sink.script(Outcome.HANG)
        street.emit(a.message("room"))
        street.emit(b.message("room"))
        street.emit(b.disconnected())
        self.assertEqual(street.offered(), ["a/0", "b/0", "a/1"])
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(street.offered()[3:], ["b/1", "b/2"])

    def test_order_through_retries(self) -> None:
        """Messages of one key keep their order while the first of them fails again and again."""
        street, a = Street(), Connection("a")
        street.sink.script(Outcome.FAIL, Outcome.FAIL, Outcome.DOWN)
        for _ in range(3):
            street.emit(a.message())
        for _ in range(3):
            street.clock.advance(4)
        self.assertEqual(street.offered(), ["a/1", "a/1", "a/1", "a/1", "a/2", "a/3"])

    def test_failed_key_waits_without_a_slot(self) -> None:
        """A key that waits for its retry holds no slot; the others go on."""
        street = Street(concurrency=1)
        a, b = Connection("a"), Connection("b")
        street.sink.script(Outcome.FAIL)
        street.emit(a.message())
        street.emit(b.message())
        self.assertEqual(street.offered(), ["a/1", "b/1"])
        street.clock.advance(1)
        self.assertEqual(street.offered(), ["a/1", "b/1", "a/1"])

    def test_one_in_flight_per_key(self) -> None:
        """A key has one delivery under way, whatever the concurrency."""
        street, a = Street(), Connection("a")
        street.sink.always(Outcome.HANG)
        for _ in range(5):
            street.emit(a.message("room"))
        self.assertEqual(street.offered(), ["a/1"])

    def test_concurrency(self) -> None:
        """So many deliveries at once, and the next as soon as one ends."""
        street = Street(concurrency=3)
        street.sink.always(Outcome.HANG)
        for number in range(5):
            street.emit(Connection(f"c{number}").message())
        self.assertEqual(len(street.sink.hanging), 3)
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(len(street.sink.hanging), 3)
        self.assertEqual(len(street.sink.offered), 4)

    def test_sinks_are_independent(self) -> None:
        """A sink that hangs holds up no other; the event is done when both have it."""
        street, a = Street(2), Connection("a")
        done: list[str] = []
        slow, fast = street.sinks
        slow.script(Outcome.HANG)
        street.emit(a.connected(), lambda: done.append("connected"))
        street.emit(a.message("room"))
        self.assertEqual(labels(fast.accepted), ["a/0", "a/1"])
        self.assertEqual(labels(slow.offered), ["a/0"])
        self.assertEqual(done, [])
        slow.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(done, ["connected"])
        self.assertEqual(labels(slow.accepted), ["a/0", "a/1"])
        self.assertEqual(
            [envelope.event_id for envelope in slow.accepted],
            [envelope.event_id for envelope in fast.accepted],
        )

    def test_key_named_like_a_connection(self) -> None:
        """A client that names its key like a foreign connection stops neither of the two."""
        street, a, b = Street(), Connection("a"), Connection("b")
        street.sink.script(Outcome.HANG)
        street.emit(a.connected())
        street.emit(b.connected())
        street.emit(b.message("a"))
        street.emit(b.disconnected())
        street.emit(a.message())
        street.emit(a.disconnected())
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(len(street.sink.accepted), 6)
        self.assertTrue(street.pipeline.idle)


class BatchTests(SynchronousTestCase):
    """A sink that takes several events at once."""

    def street(self, **limits: object) -> Street:
        """A street with one sink that takes three events at once."""
        return Street([FakeSink(max_batch=3)], **limits)

    def test_what_a_turn_brings(self) -> None:
        """The events of one turn of the reactor leave together, up to the sink's size."""
        street = self.street()
        for number in range(4):
            street.emit(Connection(f"c{number}").message())
        self.assertEqual(street.sink.deliveries, [])
        street.clock.advance(0)
        self.assertEqual(
            [labels(batch) for batch in street.sink.deliveries], [["c0/1", "c1/1", "c2/1"], ["c3/1"]]
        )

    def test_one_of_each_key(self) -> None:
        """A batch never holds two events of one key."""
        street, a, b = self.street(), Connection("a"), Connection("b")
        for connection in (a, a, b):
            street.emit(connection.message())
        street.clock.advance(0)
        self.assertEqual([labels(batch) for batch in street.sink.deliveries], [["a/1", "b/1"], ["a/2"]])

    def test_partial_failure(self) -> None:
        """Of a batch only what failed is repeated."""
        street = self.street()
        street.sink.script(Outcome.ACCEPT, Outcome.FAIL, Outcome.REFUSE)
        for name in "abc":
            street.emit(Connection(name).message())
        street.clock.advance(0)
        street.clock.advance(1)
        self.assertEqual([labels(batch) for batch in street.sink.deliveries[1:]], [["b/1"]])
        self.assertTrue(street.pipeline.idle)
        self.assertEqual(len(street.pipeline.dead_letters), 1)

    def test_probe_is_one_event(self) -> None:
        """A sink that takes batches is probed with one event all the same."""
        street = self.street()
        street.sink.script(*[Outcome.DOWN] * 3)
        for name in "abc":
            street.emit(Connection(name).message())
        street.clock.advance(0)
        street.clock.advance(1)
        self.assertEqual([labels(batch) for batch in street.sink.deliveries[1:]], [["a/1"], ["c/1", "b/1"]])

    def test_stop_before_the_turn_ends(self) -> None:
        """Nothing leaves after the stop, and no timer is left."""
        street = self.street()
        street.emit(Connection("a").message())
        self.successResultOf(street.pipeline.stopService())
        self.assertEqual(street.clock.getDelayedCalls(), [])
        self.assertEqual(street.sink.deliveries, [])
