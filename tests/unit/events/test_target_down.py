"""Pausing, probing, retries, dead letters."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.events.street import BACKOFF, Connection, Street, labels
from ws_gateway.errors import EventFailed, TargetDown
from ws_gateway.events.dead_letters import Reason
from ws_gateway.events.health import Target, TargetHealth
from ws_gateway.events.limits import PipelineLimits
from ws_gateway.testing.sinks import Outcome


class TargetDownTests(SynchronousTestCase):
    """A target that is down loses nothing and is not hammered."""

    def test_pause(self) -> None:
        """After TargetDown nothing is offered until the back-off is over."""
        street, a, b = Street(), Connection("a"), Connection("b")
        street.sink.script(Outcome.DOWN)
        street.emit(a.message())
        street.emit(b.message())
        self.assertEqual(street.offered(), ["a/1"])
        street.clock.advance(0.99)
        self.assertEqual(street.offered(), ["a/1"])
        street.clock.advance(0.01)
        self.assertEqual(street.offered(), ["a/1", "a/1", "b/1"])

    def test_probe_alone(self) -> None:
        """While the probe is under way nothing else is offered; its success opens all slots."""
        street = Street(concurrency=16)
        street.sink.script(Outcome.DOWN, Outcome.HANG)
        for number in range(20):
            street.emit(Connection(f"c{number}").message())
        street.clock.advance(1)
        self.assertEqual(street.offered(), ["c0/1", "c0/1"])
        street.sink.always(Outcome.HANG)
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(len(street.sink.hanging), 16)

    def test_oldest_probes(self) -> None:
        """The probe is the oldest event, also when a younger one failed first."""
        street, a, b = Street(), Connection("a"), Connection("b")
        street.sink.script(Outcome.HANG, Outcome.HANG)
        street.emit(a.message())
        street.emit(b.message())
        street.sink.hanging[1].settle(Outcome.DOWN)
        street.sink.hanging[0].settle(Outcome.DOWN)
        street.sink.script(Outcome.HANG)
        street.clock.advance(1)
        self.assertEqual(street.offered(), ["a/1", "b/1", "a/1"])

    def test_back_off(self) -> None:
        """The waiting times double up to the maximum, and no attempt is used up, however many there were."""
        street, a = Street(attempts=1), Connection("a")
        street.sink.always(Outcome.DOWN)
        street.emit(a.message())
        for offers, delay in enumerate([1, 2, 4, 8, 16, 16, 16], start=1):
            self.assertEqual(len(street.sink.offered), offers)
            street.clock.advance(delay - 0.01)
            self.assertEqual(len(street.sink.offered), offers)
            street.clock.advance(0.01)
        street.sink.always(Outcome.ACCEPT)
        street.clock.advance(16)
        self.assertEqual(labels(street.sink.accepted), ["a/1"])
        self.assertEqual(street.pipeline.dead_letters, ())
        self.assertEqual(street.clock.getDelayedCalls(), [])

    def test_back_off_begins_anew(self) -> None:
        """After a success the next outage begins with the short delay."""
        street, a = Street(), Connection("a")
        street.sink.script(Outcome.DOWN, Outcome.DOWN, Outcome.ACCEPT, Outcome.DOWN)
        street.emit(a.message())
        street.clock.advance(1)
        street.clock.advance(2)
        street.emit(a.message())
        street.clock.advance(1)
        self.assertEqual(labels(street.sink.accepted), ["a/1", "a/2"])

    def test_retry_after(self) -> None:
        """What the target asks for is waited for, up to the maximum."""
        for asked, waited in ((5.0, 5.0), (3600.0, 16.0)):
            street = Street()
            street.sink.script(TargetDown("busy", retry_after=asked))
            street.emit(Connection("a").message())
            street.clock.advance(waited - 0.01)
            self.assertEqual(len(street.sink.offered), 1)
            street.clock.advance(0.01)
            self.assertEqual(len(street.sink.offered), 2)

    def test_refused_probe(self) -> None:
        """A target that refuses the probe is there: the event is a dead letter, delivery resumes."""
        street, a, b = Street(), Connection("a"), Connection("b")
        street.sink.script(Outcome.DOWN, Outcome.REFUSE)
        street.emit(a.message())
        street.emit(b.message())
        street.clock.advance(1)
        self.assertEqual(labels(street.sink.accepted), ["b/1"])
        self.assertEqual(len(street.pipeline.dead_letters), 1)

    def test_late_answers(self) -> None:
        """Answers of deliveries that began before the pause neither end nor prolong it."""
        street = Street()
        street.sink.script(Outcome.HANG, Outcome.HANG, Outcome.DOWN)
        for name in "abcd":
            street.emit(Connection(name).message())
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(street.offered(), ["a/1", "b/1", "c/1"])
        street.clock.advance(0.5)
        street.sink.hanging[0].settle(Outcome.DOWN)
        street.clock.advance(0.5)
        self.assertEqual(street.offered()[3:], ["b/1", "c/1", "d/1"])

    def test_metric_and_readiness(self) -> None:
        """A paused sink is degraded, named with its trouble, and shows in a gauge."""
        street = Street()
        self.assertEqual(street.pipeline.readiness(), ("events", "ok", ""))
        self.assertEqual(street.metrics.value("event_target_up", sink="sink0"), 1)
        street.sink.script(TargetDown("ConnectionRefusedError: refused"))
        street.emit(Connection("a").message())
        self.assertEqual(
            street.pipeline.readiness(),
            ("events", "degraded", "sink0 target is down: ConnectionRefusedError: refused"),
        )
        self.assertEqual(street.metrics.value("event_target_up", sink="sink0"), 0)
        street.clock.advance(1)
        self.assertEqual(street.pipeline.readiness(), ("events", "ok", ""))
        self.assertEqual(street.metrics.value("event_retries_total", sink="sink0"), 1)


class EventFailedTests(SynchronousTestCase):
    """An event on which the target fails."""

    def test_attempts(self) -> None:
        """It is tried so many times with growing delays, then it is a dead letter."""
        street, a = Street(attempts=4), Connection("a")
        street.sink.always(Outcome.FAIL)
        street.emit(a.message())
        for offers, delay in enumerate([1, 2, 4], start=1):
            self.assertEqual(len(street.sink.offered), offers)
            street.clock.advance(delay - 0.01)
            self.assertEqual(len(street.sink.offered), offers)
            street.clock.advance(0.01)
        [letter] = street.pipeline.dead_letters
        self.assertEqual(labels([letter.envelope]), ["a/1"])
        self.assertEqual((letter.reason, letter.attempts), (Reason.ATTEMPTS, 4))
        self.assertEqual(street.metrics.value("event_dead_letters_total", sink="sink0", reason="attempts"), 1)
        self.assertEqual(street.metrics.value("event_retries_total", sink="sink0"), 3)
        self.assertTrue(street.pipeline.idle)
        self.assertEqual(street.clock.getDelayedCalls(), [])

    def test_attempts_belong_to_the_event(self) -> None:
        """The next event of the key has all its attempts."""
        street, a = Street(attempts=2), Connection("a")
        street.sink.script(Outcome.FAIL, Outcome.FAIL, Outcome.FAIL)
        street.emit(a.message())
        street.emit(a.message())
        street.clock.advance(1)
        street.clock.advance(1)
        self.assertEqual(labels(street.sink.accepted), ["a/2"])

    def test_retry_after(self) -> None:
        """A failing target may ask for more time."""
        street = Street()
        street.sink.script(EventFailed("500", retry_after=9.0))
        street.emit(Connection("a").message())
        street.clock.advance(8.99)
        self.assertEqual(len(street.sink.offered), 1)
        street.clock.advance(0.01)
        self.assertEqual(len(street.sink.offered), 2)

    def test_earlier_retry_rings_first(self) -> None:
        """A short wait that begins during a long one ends at its own time."""
        street = Street()
        street.sink.script(EventFailed("500", retry_after=9.0), Outcome.FAIL, EventFailed("500", 5.0))
        for name in "abc":
            street.emit(Connection(name).message())
        street.clock.advance(1)
        self.assertEqual(labels(street.sink.accepted), ["b/1"])
        street.clock.advance(4)
        self.assertEqual(labels(street.sink.accepted), ["b/1", "c/1"])
        street.clock.advance(4)
        self.assertEqual(labels(street.sink.accepted), ["b/1", "c/1", "a/1"])

    def test_refused(self) -> None:
        """An event that is refused is a dead letter at once, and its key goes on."""
        street, a = Street(), Connection("a")
        street.sink.script(Outcome.REFUSE)
        street.emit(a.message())
        street.emit(a.message())
        self.assertEqual(labels(street.sink.accepted), ["a/2"])
        [letter] = street.pipeline.dead_letters
        self.assertEqual((letter.reason, letter.attempts), (Reason.REFUSED, 1))
        self.assertEqual(street.metrics.value("event_dead_letters_total", sink="sink0", reason="refused"), 1)

    def test_streak(self) -> None:
        """Ten failures in a row over three keys count as a target that is down."""
        street = Street()
        street.sink.always(Outcome.FAIL)
        for number in range(9):
            street.emit(Connection(f"c{number}").message())
        self.assertEqual(street.pipeline.readiness()[1], "ok")
        street.emit(Connection("c9").message())
        self.assertEqual(street.pipeline.readiness()[1], "degraded")
        street.emit(Connection("c10").message())
        self.assertEqual(len(street.sink.offered), 10)

    def test_streak_of_two_keys(self) -> None:
        """Two keys that fail for ever are bad events, not a bad target."""
        street = Street(attempts=100)
        street.sink.always(Outcome.FAIL)
        street.emit(Connection("a").message())
        street.emit(Connection("b").message())
        for _ in range(40):
            street.clock.advance(16)
        self.assertEqual(street.pipeline.readiness()[1], "ok")

    def test_success_breaks_a_streak(self) -> None:
        """One success, and the count begins anew."""
        street = Street()
        street.sink.script(*[Outcome.FAIL] * 9, Outcome.ACCEPT, *[Outcome.FAIL] * 9)
        for number in range(19):
            street.emit(Connection(f"c{number}").message())
        self.assertEqual(street.pipeline.readiness()[1], "ok")

    def test_failing_target_loses_nothing(self) -> None:
        """A target that answers 500 to everything for a day loses no event."""
        street = Street(attempts=8)
        street.sink.always(Outcome.FAIL)
        for number in range(12):
            street.emit(Connection(f"c{number}").message())
        for _ in range(5400):
            street.clock.advance(16)
        self.assertEqual(street.pipeline.dead_letters, ())
        self.assertEqual(street.pipeline.waiting, 12)
        street.sink.always(Outcome.ACCEPT)
        street.clock.advance(16)
        self.assertEqual(len(street.sink.accepted), 12)

    def test_bad_probe_does_not_hold_the_others(self) -> None:
        """When the oldest event is what the target fails on, another one probes, and delivery resumes."""
        street = Street(attempts=4)
        bad = [Connection(name) for name in ("bad1", "bad2", "bad3")]
        sink = street.sink
        deliver = sink.deliver

        def picky(envelopes: list[object]) -> object:
            sink.always(Outcome.FAIL if labels(envelopes)[0].startswith("bad") else Outcome.ACCEPT)
            return deliver(envelopes)

        sink.deliver = picky
        for connection in bad:
            street.emit(connection.message())
        for _ in range(3):
            street.clock.advance(4)
        self.assertEqual(street.pipeline.readiness()[1], "degraded")
        street.emit(Connection("good").message())
        for _ in range(10):
            street.clock.advance(16)
        self.assertEqual(labels(sink.accepted), ["good/1"])
        self.assertEqual(len(street.pipeline.dead_letters), 3)
        self.assertTrue(street.pipeline.idle)

    def test_event_that_hangs_the_target(self) -> None:
        """An event on which the target always hangs is never given up, and gets out of the others' way."""
        street = Street()
        sink = street.sink
        deliver = sink.deliver

        def picky(envelopes: list[object]) -> object:
            sink.always(Outcome.DOWN if labels(envelopes)[0].startswith("bad") else Outcome.ACCEPT)
            return deliver(envelopes)

        sink.deliver = picky
        street.emit(Connection("bad").message())
        goods = [f"good{number}" for number in range(200)]
        for name in goods:
            street.emit(Connection(name).message())
            street.clock.advance(1)
        street.clock.advance(16)
        self.assertEqual(labels(sink.accepted), [f"{name}/1" for name in goods])
        self.assertEqual(street.pipeline.dead_letters, ())
        self.assertEqual(street.pipeline.waiting, 1)
        # Once the target went down it was left alone with that event for longer and longer.
        self.assertLess(labels(sink.offered).count("bad/1"), 40)


class HealthTableTests(SynchronousTestCase):
    """Every state of TargetHealth meets every input."""

    def health(self, state: Target) -> TargetHealth:
        """A target that came into a state in the ordinary way."""
        self.clock = Clock()
        self.dues = self.turns = 0

        def due() -> None:
            self.dues += 1

        def turned() -> None:
            self.turns += 1

        limits = PipelineLimits(backoff=BACKOFF, streak=2, streak_keys=1)
        health = TargetHealth("s", limits, self.clock, lambda: 1.0, due, turned)
        if state is not Target.UP:
            health.target_down(False, "gone", None)
        if state in (Target.DUE, Target.PROBING):
            self.clock.advance(1)
        if state is Target.PROBING:
            health.probe_left()
        self.assertIs(health.state, state)
        return health

    def test_table(self) -> None:
        """Only the probe's outcome changes a target that is down."""
        up, waiting, due, probing = Target.UP, Target.WAITING, Target.DUE, Target.PROBING
        table = {
            "answered": {up: up, waiting: waiting, due: due, probing: probing},
            "answered_probe": {up: up, waiting: waiting, due: due, probing: up},
            "down": {up: waiting, waiting: waiting, due: due, probing: probing},
            "down_probe": {up: waiting, waiting: waiting, due: due, probing: waiting},
            "failed": {up: up, waiting: waiting, due: due, probing: probing},
            "failed_probe": {up: waiting, waiting: waiting, due: due, probing: waiting},
            "time": {up: up, waiting: due, due: due, probing: probing},
            "hasten": {up: up, waiting: due, due: due, probing: probing},
        }
        for word, row in table.items():
            for before, after in row.items():
                health = self.health(before)
                probe = word.endswith("_probe")
                if word.startswith("answered"):
                    health.answered(probe)
                elif word.startswith("down"):
                    health.target_down(probe, "d", None)
                elif word.startswith("failed"):
                    health.event_failed(probe, "k", "d", None)
                elif word == "hasten":
                    health.hasten()
                    self.assertEqual(self.dues, 0 if before is up else 1)
                else:
                    self.clock.advance(100)
                self.assertIs(health.state, after, f"{word} in {before}")
                self.assertEqual(self.turns, (before is not up) + ((before is up) != (after is up)))

    def test_failures_while_down_are_no_streak(self) -> None:
        """Failures that come in during a pause do not shorten the next streak."""
        health = self.health(Target.PROBING)
        health.event_failed(False, "a", "d", None)
        health.answered(True)
        health.event_failed(False, "b", "d", None)
        self.assertIs(health.state, Target.UP)
