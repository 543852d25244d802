"""Runs of a stream: order, windows, failures, and that nothing of one stream touches another."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.events.street import Connection, Street, labels
from ws_gateway.domain.messages import Envelope
from ws_gateway.domain.retry import Backoff
from ws_gateway.errors import TargetDown
from ws_gateway.events import streams
from ws_gateway.events.limits import SinkLimits
from ws_gateway.testing.sinks import FakeSink, Outcome
from ws_gateway.testing.stream_sinks import FakeStreamSink, RunOutcome

TAKEN, LOST, DOWN, HANG = RunOutcome.TAKEN, RunOutcome.LOST, RunOutcome.DOWN, RunOutcome.HANG


def by_key(envelope: Envelope) -> str:
    """Each key has a stream of its own."""
    return envelope.key


class StreamCase(SynchronousTestCase):
    """A street with one stream sink."""

    def street(self, *outcomes: RunOutcome | Exception, **sink: Any) -> Street:
        limits = {name: sink.pop(name) for name in ("concurrency", "sink_limits") if name in sink}
        fake = FakeStreamSink(**sink)
        fake.script(*outcomes)
        street = Street([fake], **limits)
        self.addCleanup(lambda: self.assertEqual(fake.violations, []))
        return street

    def say(self, street: Street, connection: Connection, count: int, key: str | None = None) -> None:
        """So many messages in one turn."""
        for _ in range(count):
            street.emit(connection.message(key))
        street.clock.advance(0)

    def runs(self, street: Street) -> list[list[str]]:
        """What was offered, run by run."""
        return [labels(run) for _, run in street.sink.runs]

    def assert_settled(self, street: Street) -> None:
        self.assertTrue(street.pipeline.idle)
        self.assertEqual((street.pipeline.waiting, street.pipeline.waiting_bytes), (0, 0))
        self.assertEqual(street.clock.getDelayedCalls(), [])


class RunTests(StreamCase):
    """While the target takes everything."""

    def test_one_turn_is_one_run(self) -> None:
        """What one turn of the reactor brings leaves as one run, whoever it came from."""
        street = self.street()
        first, second = Connection("a"), Connection("b")
        street.emit(first.message())
        street.emit(second.message())
        street.emit(first.message())
        self.assertEqual(self.runs(street), [])
        street.clock.advance(0)
        self.assertEqual(self.runs(street), [["a/1", "b/1", "a/2"]])
        self.assert_settled(street)

    def test_full_run_leaves_at_once(self) -> None:
        """A run that is full does not wait for the end of the turn."""
        street = self.street(max_batch=2)
        connection = Connection("a")
        for _ in range(5):
            street.emit(connection.message())
        self.assertEqual(self.runs(street), [["a/1", "a/2"], ["a/3", "a/4"]])
        street.clock.advance(0)
        self.assertEqual(self.runs(street)[2:], [["a/5"]])
        self.assert_settled(street)

    def test_window(self) -> None:
        """No more than `window` runs of a stream are under way; what comes meanwhile leaves in long runs."""
        street = self.street(HANG, HANG, window=2)
        connection = Connection("a")
        for _ in range(4):
            self.say(street, connection, 1)
        self.assertEqual(self.runs(street), [["a/1"], ["a/2"]])
        street.sink.settle(street.sink.hanging[0])
        self.assertEqual(self.runs(street)[2:], [["a/3", "a/4"]])
        street.sink.heal()
        self.assert_settled(street)

    def test_concurrency(self) -> None:
        """No more than `concurrency` runs of all streams are under way; streams take turns."""
        street = self.street(HANG, HANG, concurrency=2, max_batch=1, stream_of=by_key)
        for name in "abc":
            connection = Connection(name)
            for _ in range(2):
                street.emit(connection.message())
        street.clock.advance(0)
        self.assertEqual(self.runs(street), [["a/1"], ["b/1"]])
        self.assertEqual(street.pipeline.sinks()[0].in_flight, 2)
        street.sink.heal()
        self.assertEqual(self.runs(street)[2:], [["c/1"], ["a/2"], ["b/2"], ["c/2"]])
        self.assert_settled(street)

    def test_own_limits(self) -> None:
        """A sink may have limits of its own."""
        street = self.street(
            HANG, concurrency=16, max_batch=1, sink_limits={"stream": SinkLimits(concurrency=1)}
        )
        self.say(street, Connection("a"), 2)
        self.assertEqual(len(street.sink.runs), 1)
        street.sink.heal()

    def test_no_bound_for_a_key(self) -> None:
        """One key may fill the line of its stream up to the bound in bytes."""
        fake = FakeStreamSink()
        fake.always(HANG)
        street = Street([fake], max_per_key=2, max_bytes=600 * 10)
        connection = Connection("a")
        for _ in range(20):
            street.emit(connection.message())
        self.assertEqual(street.pipeline.waiting, 11)
        self.assertEqual(
            street.metrics.value("event_dropped_total", type="message_received", reason="queue_full"), 9
        )
        self.assertEqual(
            street.metrics.value("event_dropped_total", type="message_received", reason="key_full"), 0
        )

    def test_no_gate(self) -> None:
        """`connected` and messages lie in different streams, and do not wait for each other."""
        street = self.street(HANG)
        connection = Connection("a")
        street.emit(connection.connected())
        self.say(street, connection, 1)
        street.emit(connection.disconnected())
        street.clock.advance(0)
        self.assertEqual(self.runs(street), [["a/0"], ["a/1"], ["a/2"]])
        self.assertEqual(labels(street.sink.streams["messages"]), ["a/1"])
        street.sink.heal()
        self.assertEqual(labels(street.sink.streams["events"]), ["a/0", "a/2"])

    def test_accepted_may_emit(self) -> None:
        """Whoever is told that an event was taken may emit the next one."""
        street = self.street()
        connection = Connection("a")

        def again() -> None:
            if connection.seq < 5:
                street.emit(connection.message(), again)

        street.emit(connection.message(), again)
        for _ in range(5):
            street.clock.advance(0)
        self.assertEqual(labels(street.sink.streams["messages"]), [f"a/{number}" for number in range(1, 6)])
        self.assert_settled(street)

    def test_metrics(self) -> None:
        """Events are counted, the oldest of each run gives the age, runs that fail are counted."""
        street = self.street(DOWN)
        self.say(street, Connection("a"), 3)
        self.assertEqual(street.metrics.value("event_target_up", sink="stream"), 0)
        street.clock.advance(1)
        self.assertEqual(street.metrics.value("event_target_up", sink="stream"), 1)
        self.assertEqual(street.metrics.value("event_delivered_total", sink="stream"), 3)
        self.assertEqual(street.metrics.value("event_retries_total", sink="stream"), 1)
        self.assertEqual(street.metrics.observed("event_queue_age_seconds", sink="stream"), [1])


class FailureTests(StreamCase):
    """When runs fail."""

    def test_probe(self) -> None:
        """After a failure the run is offered again, with what came meanwhile, when the back-off is over."""
        street = self.street(DOWN, DOWN)
        connection = Connection("a")
        self.say(street, connection, 2)
        self.say(street, connection, 1)
        self.assertEqual(self.runs(street), [["a/1", "a/2"]])
        street.clock.advance(1)
        self.assertEqual(self.runs(street)[1:], [["a/1", "a/2", "a/3"]])
        street.clock.advance(1.9)
        self.assertEqual(len(street.sink.runs), 2)
        street.clock.advance(0.1)
        self.assertEqual(labels(street.sink.streams["messages"]), ["a/1", "a/2", "a/3"])
        self.assert_settled(street)

    def test_lost_answer(self) -> None:
        """What was taken without an answer is offered again; the sink knows it."""
        street = self.street(LOST)
        self.say(street, Connection("a"), 2)
        street.clock.advance(1)
        self.assertEqual(self.runs(street), [["a/1", "a/2"]] * 2)
        self.assertEqual(labels(street.sink.streams["messages"]), ["a/1", "a/2"])
        self.assert_settled(street)

    def test_all_end_first(self) -> None:
        """Nothing is offered before all runs under way have ended, then all that failed, in order, as one run
        at first: a probe."""
        street = self.street(HANG, HANG, HANG, max_batch=2, window=3)
        connection = Connection("a")
        for _ in range(3):
            self.say(street, connection, 1)
        self.say(street, connection, 1)
        first, second, third = street.sink.hanging
        street.sink.settle(first, DOWN)
        street.clock.advance(1)
        self.assertEqual(len(street.sink.runs), 3)
        street.sink.settle(second)
        street.clock.advance(100)
        self.assertEqual(len(street.sink.runs), 3)
        street.sink.script(HANG)
        street.sink.settle(third)
        self.assertEqual(self.runs(street)[3:], [["a/1", "a/2"]])
        street.clock.advance(100)
        self.assertEqual(len(street.sink.runs), 4)
        street.sink.heal()
        self.assertEqual(labels(street.sink.streams["messages"]), ["a/1", "a/2", "a/3", "a/4"])
        self.assert_settled(street)

    def test_success_behind_a_failure(self) -> None:
        """A run that was taken behind one that failed is settled, and not offered again."""
        street = Street([picky := Picky()])
        connection = Connection("a")
        for _ in range(3):
            self.say(street, connection, 1)
        picky.answer(0, TargetDown("nobody knows"))
        picky.answer(1)
        picky.answer(2, TargetDown("nobody knows"))
        street.clock.advance(1)
        self.assertEqual(labels(picky.runs[3]), ["a/1", "a/3"])
        picky.answer(3)
        self.assert_settled(street)

    def test_one_stream_down(self) -> None:
        """A stream that cannot be written holds up no other one."""
        street = self.street(stream_of=by_key)
        street.sink.always(TargetDown("WRONGTYPE"), stream="bad")
        bad, good = Connection("bad"), Connection("good")
        for _ in range(20):
            self.say(street, bad, 1)
            self.say(street, good, 1)
            street.clock.advance(1)
        self.assertEqual(len(street.sink.streams["good"]), 20)
        self.assertEqual(street.pipeline.waiting, 20)
        self.assertEqual(
            street.pipeline.readiness(), ("events", "degraded", "stream target is down: WRONGTYPE")
        )
        self.assertEqual(street.pipeline.sinks()[0].target, "waiting")
        street.sink.heal()
        street.clock.advance(16)
        self.assertEqual(len(street.sink.streams["bad"]), 20)
        self.assertEqual(street.pipeline.readiness(), ("events", "ok", ""))
        self.assert_settled(street)

    def test_trouble_counts_streams(self) -> None:
        """While others are under way, it is said how many streams are down, and of none its name."""
        street = self.street(stream_of=by_key)
        street.sink.always(TargetDown("no"), stream="secret")
        street.sink.always(HANG, stream="good")
        self.say(street, Connection("secret"), 1)
        self.say(street, Connection("good"), 1)
        self.assertEqual(street.pipeline.readiness()[2], "stream target is down for 1 of 2 streams: no")
        street.sink.heal()
        street.clock.advance(1)

    def test_better_news(self) -> None:
        """When one stream is back the others do not wait out their back-off."""
        street = self.street(stream_of=by_key)
        street.sink.always(DOWN)
        self.say(street, Connection("old"), 1)
        for _ in range(6):
            street.clock.advance(16)
        self.say(street, Connection("young"), 1)
        street.sink.heal()
        street.clock.advance(1)
        self.assertEqual(sorted(street.sink.streams), ["old", "young"])
        self.assert_settled(street)

    def test_no_herd(self) -> None:
        """A stream that stays down is not probed for each of many others that come back."""
        street = self.street(stream_of=by_key, concurrency=1)
        street.sink.always(DOWN)
        for number in range(50):
            self.say(street, Connection(f"c{number}"), 1)
        self.say(street, Connection("bad"), 1)
        street.sink.always(TargetDown("WRONGTYPE"), stream="bad")
        street.sink.always(TAKEN)
        street.clock.advance(1)
        street.clock.advance(0.5)
        self.assertEqual(street.pipeline.waiting, 1)
        self.assertLessEqual([stream for stream, _ in street.sink.runs].count("bad"), 3)

    def test_many_down(self) -> None:
        """Of many streams that are down a few are probed every second; the first that is back brings all
        others."""
        street = self.street(stream_of=by_key, sink_limits={"stream": SinkLimits(backoff=Backoff(0.1, 2.0))})
        street.sink.always(DOWN)
        for number in range(2000):
            street.emit(Connection(f"c{number}").message())
        street.clock.advance(0)
        self.assertEqual(len(street.sink.runs), 2000)
        street.clock.pump([0.1] * 300)
        self.assertLess(len(street.sink.runs), 2000 + 30 * 2 * streams.PROBES_A_SECOND)
        street.sink.heal()
        street.clock.pump([0.1] * 10)
        self.assert_settled(street)

    def test_few_lines_in_the_log(self) -> None:
        """Many streams that are down together do not fill the log."""
        events: list[Any] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        street = self.street(stream_of=by_key)
        street.sink.always(DOWN)
        for number in range(50):
            self.say(street, Connection(f"c{number}"), 1)
        street.sink.heal()
        street.clock.advance(16)
        self.assertEqual(len(events), 2 * streams.LOUD)
        self.assert_settled(street)

    def test_unexpected_error(self) -> None:
        """A sink that fails in another way than it may, or raises, counts as down and is logged."""
        street = self.street(ValueError("broken"))
        self.say(street, Connection("a"), 1)
        self.assertEqual(street.pipeline.readiness()[2], "stream target is down: unexpected ValueError")
        street.clock.advance(1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assert_settled(street)
        append, street.sink.append = street.sink.append, None
        self.say(street, Connection("b"), 1)
        street.sink.append = append
        street.clock.advance(1)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
        self.assert_settled(street)

    def test_retry_after(self) -> None:
        """The sink may say how long to wait."""
        street = self.street(TargetDown("busy", retry_after=5))
        self.say(street, Connection("a"), 1)
        street.clock.advance(4.9)
        self.assertEqual(len(street.sink.runs), 1)
        street.clock.advance(0.1)
        self.assert_settled(street)


class SideBySideTests(StreamCase):
    """Several sinks, of both kinds."""

    def test_one_down(self) -> None:
        """A sink that is down never delays another; an event is done when all have it."""
        stream, single = FakeStreamSink("stream"), FakeSink("single")
        street = Street([stream, single])
        stream.always(DOWN)
        connection, told = Connection("a"), []
        for number in range(3):
            street.emit(connection.message(), lambda number=number: told.append(number))
        street.clock.advance(0)
        self.assertEqual(labels(single.accepted), ["a/1", "a/2", "a/3"])
        self.assertEqual((told, street.pipeline.waiting), ([], 3))
        single.always(Outcome.DOWN)
        stream.heal()
        for _ in range(3):
            street.emit(connection.message(), lambda: told.append(9))
        street.clock.advance(1)
        self.assertEqual(len(stream.streams["messages"]), 6)
        self.assertEqual(told, [0, 1, 2])
        self.assertEqual(stream.violations, [])


class StopTests(StreamCase):
    """The end."""

    def test_stop(self) -> None:
        """What is under way or waits counts as undelivered; the sink is closed; no timer is left."""
        street = self.street(HANG, DOWN, stream_of=by_key)
        self.say(street, Connection("a"), 1)
        self.say(street, Connection("b"), 2)
        street.emit(Connection("c").message())
        stopped = street.pipeline.stopService()
        self.successResultOf(stopped)
        self.assertEqual(street.sink.closed, 1)
        self.assertEqual(
            street.metrics.value("event_dropped_total", type="message_received", reason="stopped"), 4
        )
        self.assertEqual(street.clock.getDelayedCalls(), [])
        self.assertEqual(len(street.sink.runs), 2)

    def test_close_that_fails(self) -> None:
        """A sink that cannot be closed is logged and stops nobody."""
        street = self.street()
        street.sink.close = None
        self.successResultOf(street.pipeline.stopService())
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_taken_after_stop(self) -> None:
        """An answer that comes after the stop changes nothing."""
        street = self.street(HANG)
        self.say(street, Connection("a"), 1)
        street.sink.close = lambda: None
        street.pipeline.stopService()
        street.sink.heal()
        self.assertEqual(street.metrics.value("event_delivered_total", sink="stream"), 0)


class Picky(FakeStreamSink):
    """Answers its runs in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.runs: list[Any] = []
        self._answers: list[Any] = []

    def append(self, stream: str, envelopes: Any) -> Any:
        self.runs.append(list(envelopes))
        self._answers.append(Deferred())
        return self._answers[-1]

    def answer(self, place: int, error: Exception | None = None) -> None:
        """Take or fail a run."""
        if error is None:
            self._answers[place].callback(None)
        else:
            self._answers[place].errback(error)
