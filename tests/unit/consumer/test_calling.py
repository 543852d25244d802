"""The function of the application, in a thread or in the reactor."""

import queue
from collections.abc import Callable
from threading import Event as Flag
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import TestCase

from tests.unit.consumer.fakes import entry
from ws_gateway.backend import Event, parse_event
from ws_gateway.consumer.calling import InReactor, InThread, NotCallable, Outcome, load_function


def events(count: int) -> list[Event]:
    return [parse_event(entry(number).body) for number in range(count)]


class LoadTests(TestCase):
    def test_found(self) -> None:
        """A function, also one within a class, is found by its name."""
        self.assertIs(load_function("json:loads"), __import__("json").loads)
        self.assertEqual(load_function("json:JSONDecoder.decode").__name__, "decode")

    def test_not_found(self) -> None:
        """Whatever is missing is one sentence."""
        for name, expected in (
            ("json", "must be module:function"),
            (":loads", "must be module:function"),
            ("nowhere.at.all:f", "there is no module nowhere"),
            ("json:nothing", "the module has no function nothing"),
            ("json:__name__", "the module has no function __name__"),
        ):
            with self.assertRaises(NotCallable) as caught:
                load_function(name)
            self.assertIn(expected, str(caught.exception))


class InThreadTests(TestCase):
    """The reactor's side of it is a queue that the test empties."""

    def setUp(self) -> None:
        self.to_reactor: queue.SimpleQueue[tuple[Callable[..., object], tuple[Any, ...]]] = (
            queue.SimpleQueue()
        )
        self.reports: list[int] = []

    def application(self, function: Callable[[Event], Any]) -> InThread:
        return InThread(function, lambda call, *words: self.to_reactor.put((call, words)))

    def turn(self) -> None:
        """One call that the thread asked for."""
        call, words = self.to_reactor.get(timeout=60)
        call(*words)

    def result(self, called: Deferred[Outcome]) -> Outcome:
        while not called.called:
            self.turn()
        return self.successResultOf(called)

    def test_all(self) -> None:
        """Each event once, in order; the last report is the outcome."""
        heard: list[str | None] = []
        application = self.application(lambda event: heard.append(event.event_id))
        called = application.call(events(50), self.reports.append)
        self.assertEqual(self.result(called), Outcome(50))
        self.assertEqual(heard, [f"e-{number}" for number in range(50)])
        self.assertEqual(self.reports, sorted(self.reports))
        self.assertEqual(self.result(application.call(events(1), self.reports.append)), Outcome(1))

    def test_reported_meanwhile(self) -> None:
        """What is done is reported while the function is at work on the next one."""
        go_on = Flag()
        self.addCleanup(go_on.set)
        application = self.application(lambda event: event.event_id == "e-1" and go_on.wait(60))
        called = application.call(events(2), self.reports.append)
        self.turn()
        self.assertEqual(self.reports, [1])
        go_on.set()
        self.assertEqual(self.result(called), Outcome(2))

    def test_failure(self) -> None:
        """It stops at the first that the function fails on, whatever that raises."""
        for error in (RuntimeError("no"), SystemExit(1), KeyboardInterrupt()):

            def fail(event: Event, error: BaseException = error) -> None:
                if event.event_id == "e-1":
                    raise error

            outcome = self.result(self.application(fail).call(events(3), self.reports.append))
            self.assertEqual(outcome.done, 1)
            assert outcome.failure is not None
            self.assertIs(outcome.failure.value, error)

    def test_halt(self) -> None:
        """After a halt the event in hand is the last one."""
        begun, go_on = Flag(), Flag()
        self.addCleanup(go_on.set)

        def wait(event: Event) -> None:
            begun.set()
            go_on.wait(60)

        application = self.application(wait)
        called = application.call(events(3), self.reports.append)
        begun.wait(60)
        application.halt()
        go_on.set()
        self.assertEqual(self.result(called), Outcome(1))

    def test_nobody_waits(self) -> None:
        """Whoever gave up waiting hears no more, and the thread goes on with what comes next."""
        go_on = Flag()
        self.addCleanup(go_on.set)
        application = self.application(lambda event: go_on.wait(60))
        called = application.call(events(1), self.reports.append)
        called.cancel()
        self.failureResultOf(called, CancelledError)
        go_on.set()
        self.assertEqual(self.result(application.call(events(1), self.reports.append)), Outcome(1))
        self.assertEqual(self.reports, [1])


class InReactorTests(TestCase):
    def setUp(self) -> None:
        self.heard: list[str | None] = []
        self.answers: list[Deferred[None]] = []
        self.reports: list[int] = []
        self.application = InReactor(self._hear)

    def _hear(self, event: Event) -> Deferred[None]:
        self.heard.append(event.event_id)
        self.answers.append(Deferred())
        return self.answers[-1]

    def test_one_by_one(self) -> None:
        """The next one begins when the one before it is done."""
        called = self.application.call(events(2), self.reports.append)
        self.assertEqual(self.heard, ["e-0"])
        self.answers[0].callback(None)
        self.assertEqual((self.heard, self.reports), (["e-0", "e-1"], [1]))
        self.answers[1].callback(None)
        self.assertEqual(self.successResultOf(called), Outcome(2))

    def test_failure(self) -> None:
        """A failure ends it, also one that looks like a cancellation."""
        for error in (RuntimeError("no"), CancelledError()):
            called = self.application.call(events(2), self.reports.append)
            self.answers[-1].errback(error)
            outcome = self.successResultOf(called)
            assert outcome.failure is not None
            self.assertEqual((outcome.done, outcome.failure.value), (0, error))

    def test_halt(self) -> None:
        """After a halt the event in hand is the last one; the next call begins anew."""
        called = self.application.call(events(2), self.reports.append)
        self.application.halt()
        self.answers[0].callback(None)
        self.assertEqual(self.successResultOf(called), Outcome(1))
        self.application.call(events(1), self.reports.append)
        self.assertEqual(len(self.heard), 2)
