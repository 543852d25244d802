"""When clients are to be slowed down: the queue fills though every target is up."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.events.street import Connection, Street
from ws_gateway.events.strain import HICCUP_SECONDS
from ws_gateway.testing.sinks import FakeSink, Outcome
from ws_gateway.testing.stream_sinks import FakeStreamSink, RunOutcome

# An event of these tests counts about 515 bytes: 512 and its label.
BOUND = 40 * 600
EVENTS_IN_A_QUARTER = 12


class StrainTests(SynchronousTestCase):
    """One sink or two, and a bound of about 46 events."""

    def street(self, *sinks: FakeSink | FakeStreamSink) -> Street:
        return Street(list(sinks), max_bytes=BOUND)

    def say(self, street: Street, count: int) -> None:
        connection = Connection("a")
        for _ in range(count):
            street.emit(connection.message())
        street.clock.advance(0)

    def hanging(self, count: int) -> tuple[Street, FakeStreamSink]:
        """A stream sink with one event in each run, and that many under way or waiting."""
        sink = FakeStreamSink(max_batch=1, window=100)
        sink.always(RunOutcome.HANG)
        street = Street([sink], max_bytes=BOUND, concurrency=100)
        self.say(street, count)
        return street, sink

    def settle(self, sink: FakeStreamSink, count: int) -> None:
        for _ in range(count):
            sink.settle(sink.hanging[0])

    def test_passing_the_mark(self) -> None:
        """It is said once, when a quarter of the bound is passed."""
        street, _ = self.hanging(EVENTS_IN_A_QUARTER - 1)
        self.assertEqual(street.strains, [])
        self.say(street, 1)
        self.assertEqual(street.strains, [True])
        self.say(street, 10)
        self.assertEqual(street.strains, [True])

    def test_half_of_it(self) -> None:
        """It is over when half of that is left, and may begin again."""
        street, sink = self.hanging(EVENTS_IN_A_QUARTER)
        self.settle(sink, 6)
        self.assertEqual(street.strains, [True])
        self.settle(sink, 1)
        self.assertEqual(street.strains, [True, False])
        self.say(street, 6)
        self.assertEqual(street.strains, [True, False])
        self.say(street, 1)
        self.assertEqual(street.strains, [True, False, True])

    def test_target_down(self) -> None:
        """While a target is down it is not said: slowing down would not help."""
        sink = FakeStreamSink()
        sink.always(RunOutcome.DOWN)
        street = self.street(sink)
        self.say(street, 1)
        street.clock.advance(HICCUP_SECONDS)
        self.say(street, 40)
        self.assertEqual(street.strains, [])

    def test_hiccup(self) -> None:
        """A target that is down for a moment does not let the queue fill up meanwhile; one that stays down
        lets everybody go on."""
        sink = FakeStreamSink()
        sink.always(RunOutcome.DOWN)
        street = self.street(sink)
        self.say(street, 40)
        self.assertEqual(street.strains, [True])
        street.clock.advance(HICCUP_SECONDS * 0.9)
        self.assertEqual(street.strains, [True])
        street.clock.advance(HICCUP_SECONDS * 0.2)
        self.assertEqual(street.strains, [True, False])
        # It counts from when it went down, not from its last failure.
        street.clock.advance(HICCUP_SECONDS)
        self.assertEqual(street.strains, [True, False])
        sink.heal()
        street.clock.advance(60)
        self.assertEqual(sink.violations, [])
        self.assertEqual(street.pipeline.waiting, 0)

    def test_target_goes_down(self) -> None:
        """It is over when the target stays down, and begins again if it comes back to a full queue."""
        street, sink = self.hanging(40)
        self.settle(sink, 1)
        sink.settle(sink.hanging[0], RunOutcome.DOWN)
        while sink.hanging:
            sink.settle(sink.hanging[0], RunOutcome.DOWN)
        self.assertEqual(street.strains, [True])
        street.clock.advance(HICCUP_SECONDS)
        self.assertEqual(street.strains, [True, False])
        self.settle(sink, 1)
        self.assertEqual(street.strains, [True, False, True])
        sink.heal()
        self.assertEqual(street.strains, [True, False, True, False])
        self.assertEqual(sink.violations, [])

    def test_one_of_two_down(self) -> None:
        """One target that is down is enough: its events will not leave, whatever clients do."""
        stream, single = FakeStreamSink(), FakeSink()
        stream.always(RunOutcome.HANG)
        single.always(Outcome.DOWN)
        street = self.street(stream, single)
        self.say(street, 1)
        street.clock.advance(HICCUP_SECONDS)
        self.say(street, 40)
        self.assertEqual(street.strains, [])
        single.always(Outcome.ACCEPT)
        street.clock.advance(60)
        self.assertEqual(street.strains, [True])

    def test_events_one_by_one(self) -> None:
        """A sink that takes single events is no exception."""
        sink = FakeSink()
        sink.always(Outcome.HANG)
        street = self.street(sink)
        self.say(street, EVENTS_IN_A_QUARTER)
        self.assertEqual(street.strains, [True])
        sink.always(Outcome.ACCEPT)
        sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(street.strains, [True, False])

    def test_stop(self) -> None:
        """At the end nobody is slowed down any more."""
        street, _ = self.hanging(EVENTS_IN_A_QUARTER)
        street.pipeline.stopService()
        self.assertEqual(street.strains, [True, False])
