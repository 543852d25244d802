"""How old events are when a sink takes them."""

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.events.street import Connection, Street
from ws_gateway.testing.sinks import FakeSink, Outcome


class QueueAgeTests(SynchronousTestCase):
    """`event_queue_age_seconds`."""

    def ages(self, street: Street, sink: str = "sink0") -> list[float]:
        return street.metrics.observed("event_queue_age_seconds", sink=sink)

    def test_at_once(self) -> None:
        """An event that is taken at once has no age; the instrument exists before the first."""
        street = Street()
        self.assertEqual(self.ages(street), [])
        street.emit(Connection("a").message())
        self.assertEqual(self.ages(street), [0])

    def test_retries_count(self) -> None:
        """The age is counted from the event, through every attempt; failed ones are no deliveries."""
        street = Street()
        street.sink.script(Outcome.FAIL, Outcome.FAIL)
        street.emit(Connection("a").message())
        street.clock.advance(1)
        street.clock.advance(2.5)
        self.assertEqual(self.ages(street), [3.5])

    def test_given_up(self) -> None:
        """An event that is given up was never delivered."""
        street = Street()
        street.sink.script(Outcome.REFUSE)
        street.emit(Connection("a").message())
        self.assertEqual(self.ages(street), [])

    def test_each_sink_its_own(self) -> None:
        """A slow sink is not hidden by a fast one."""
        street = Street(2)
        street.sinks[1].script(Outcome.HANG)
        street.emit(Connection("a").message())
        street.clock.advance(7)
        street.sinks[1].hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual((self.ages(street), self.ages(street, "sink1")), ([0], [7]))

    def test_oldest_of_a_delivery(self) -> None:
        """A delivery of many events is observed once, with the oldest that was taken."""
        sink = FakeSink("sink0", max_batch=10)
        street = Street([sink])
        for name in "abc":
            street.emit(Connection(name).message())
            street.clock.rightNow += 1  # time passes, but the turn does not end
        sink.script(Outcome.REFUSE, Outcome.ACCEPT, Outcome.ACCEPT)
        street.clock.advance(0)
        self.assertEqual([len(delivery) for delivery in sink.deliveries], [3])
        self.assertEqual(self.ages(street), [2])

    def test_clock_set_back(self) -> None:
        """No age is negative, whatever becomes of the wall clock."""
        street = Street()
        street.sink.script(Outcome.HANG)
        street.clock.advance(100)
        street.emit(Connection("a").message())
        street.clock.rightNow -= 50
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(self.ages(street), [0])
