"""From an inbox to the application, without a network and without a clock of its own."""

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from tests.unit.consumer.fakes import FakeApplication, FakeInbox, entry
from ws_gateway.consumer.worker import Rules, State, Worker
from ws_gateway.domain.retry import Backoff
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IInbox


class WorkerTestCase(TestCase):
    """Pauses are 1, 2, 4 .. seconds."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.inbox = FakeInbox()
        self.application = FakeApplication()
        self.finished = 0
        self.logged: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.logged.append)

    def worker(self, **rules: Any) -> Worker:
        def finished() -> None:
            self.finished += 1

        made = Rules(**{"attempts": 3, "backoff": Backoff(2.0, 60.0), **rules})
        worker = Worker(self.inbox, self.application, self.clock, lambda: 0.0, made, finished)
        worker.startService()
        self.addCleanup(self._stop, worker)
        return worker

    async def _stop(self, worker: Worker) -> None:
        if worker.running:
            stopped = worker.stopService()
            self.clock.advance(60)
            await stopped
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.flushLoggedErrors(RuntimeError)

    def warnings(self) -> list[str]:
        wanted = (LogLevel.warn, LogLevel.error)
        return [event["log_format"] for event in self.logged if event["log_level"] in wanted]


class WorkTests(WorkerTestCase):
    def test_fake(self) -> None:
        """The fake is an inbox."""
        verifyObject(IInbox, self.inbox)

    def test_in_order(self) -> None:
        """What is there goes to the application together, and is acknowledged as far as it came."""
        worker = self.worker(at_once=3)
        self.assertIs(worker.state, State.WAITING)
        self.inbox.bring(*map(entry, range(5)))
        self.assertEqual(self.application.calls[-1], ["e-0", "e-1", "e-2"])
        self.application.report(2)
        self.assertEqual(self.inbox.acknowledged, [b"0-0", b"1-0"])
        self.assertIs(worker.state, State.CALLING)
        self.application.end(3)
        self.assertEqual(self.inbox.acknowledged, [b"0-0", b"1-0", b"2-0"])
        self.assertEqual(self.application.calls[-1], ["e-3", "e-4"])

    def test_acknowledged_before_more_is_taken(self) -> None:
        """The next handful is taken when the broker knows what became of the last one."""
        worker = self.worker(at_once=1)
        self.inbox.held = True
        self.inbox.bring(entry(0), entry(1))
        self.application.end(1)
        self.assertIs(worker.state, State.TELLING)
        self.assertEqual(len(self.application.calls), 1)
        self.inbox.answers[0].callback(None)
        self.assertEqual(self.application.calls, [["e-0"], ["e-1"]])

    def test_no_acknowledgement(self) -> None:
        """Where the broker cannot be told, the worker says so and goes on."""
        self.worker(at_once=1)
        self.inbox.bring(entry(0), entry(1))
        self.inbox.trouble = BrokerDown("away")
        self.application.end(1)
        self.assertEqual(self.application.calls, [["e-0"], ["e-1"]])
        self.assertIn("may come again", self.warnings()[-1])

    def test_again(self) -> None:
        """A failure is tried again after growing pauses; what is behind it waits."""
        worker = self.worker(at_once=10)
        self.inbox.bring(entry(0))
        self.inbox.bring(entry(1), entry(2))
        self.application.end(1)
        self.application.end(0, RuntimeError("no"))
        self.assertIs(worker.state, State.RESTING)
        self.assertEqual((worker.done, worker.failed), (1, 1))
        self.clock.advance(1)
        self.assertEqual(self.application.calls, [["e-0"], ["e-1", "e-2"], ["e-1", "e-2"]])
        self.application.end(0, RuntimeError("no"))
        self.clock.advance(1)
        self.assertFalse(self.application.at_work)
        self.clock.advance(1)
        self.application.end(2)
        self.assertEqual(self.inbox.acknowledged, [b"0-0", b"1-0", b"2-0"])
        self.assertEqual(self.inbox.letters, [])

    def test_attempts_are_of_one_event(self) -> None:
        """An event that follows one which failed has all of its attempts."""
        self.worker(at_once=10, attempts=2)
        self.inbox.bring(entry(0), entry(1), entry(2))
        self.application.end(0, RuntimeError("no"))
        self.clock.advance(1)
        self.application.end(1, RuntimeError("neither"))
        self.assertEqual(self.inbox.letters, [])
        self.clock.advance(1)
        self.assertEqual(self.application.calls[-1], ["e-1", "e-2"])

    def test_given_up(self) -> None:
        """After the last attempt it is a dead letter with the reason, and the next one begins."""
        worker = self.worker(at_once=10, attempts=2)
        self.inbox.bring(entry(0), entry(1))
        for _ in range(2):
            self.application.end(0, RuntimeError("no"))
            self.clock.advance(1)
        self.assertEqual(self.inbox.letters, [(b"0-0", "failed 2 times: RuntimeError: no")])
        self.assertEqual(self.application.calls[-1], ["e-1"])
        self.assertEqual((worker.failed, worker.given_up), (2, 1))

    def test_speechless_error(self) -> None:
        """An exception that cannot even be shown is a failure like any other."""

        class Speechless(Exception):
            def __str__(self) -> str:
                raise ValueError("no words")

        self.worker(attempts=1)
        self.inbox.bring(entry(0))
        self.application.end(0, Speechless())
        self.assertEqual(len(self.inbox.letters), 1)
        self.assertEqual(len(self.flushLoggedErrors(Speechless)), 1)

    def test_no_event(self) -> None:
        """What is no event is a dead letter; a type from the future is passed over; the rest goes on."""
        worker = self.worker(at_once=10)
        broken = entry(1)
        self.inbox.bring(entry(0, type="moved"))
        self.inbox.bring(type(broken)("inbox", b"1-0", b"no event"), entry(2))
        self.assertEqual(self.inbox.acknowledged, [b"0-0"])
        [(position, reason)] = self.inbox.letters
        self.assertEqual((position, reason[:8]), (b"1-0", "no event"))
        self.assertEqual(self.application.calls, [["e-2"]])
        self.assertEqual((worker.done, worker.given_up), (1, 1))

    def test_poison(self) -> None:
        """Brought oftener than it may be tried, and once more: it kills the process, so it is not tried."""
        self.worker(attempts=3)
        self.inbox.bring(entry(0, deliveries=4))
        self.application.end(1)
        self.inbox.bring(entry(1, deliveries=5))
        self.assertEqual(self.inbox.letters, [(b"1-0", "brought 5 times and never acknowledged")])

    def test_letter_waits(self) -> None:
        """A dead letter waits for a broker that is away."""
        worker = self.worker(attempts=1)
        self.inbox.trouble = BrokerDown("away")
        self.inbox.bring(entry(0), entry(1))
        self.application.end(0, RuntimeError("no"))
        self.assertIs(worker.state, State.RESTING)
        self.clock.advance(1)
        self.inbox.trouble = None
        self.clock.advance(2)
        self.assertEqual(len(self.inbox.letters), 1)
        self.assertEqual(self.application.calls[-1], ["e-1"])

    def test_letter_refused(self) -> None:
        """One that the broker does not want stays unacknowledged, said so, and the next one begins."""
        self.worker(attempts=1, at_once=1)
        self.inbox.bring(entry(0), entry(1))
        self.inbox.trouble = BrokerRefused("WRONGTYPE", "no stream")
        self.application.end(0, RuntimeError("no"))
        self.assertEqual(self.inbox.acknowledged, [])
        self.assertIn("stays unacknowledged", self.warnings()[-1])
        self.assertEqual(self.application.calls[-1], ["e-1"])

    def test_limit(self) -> None:
        """After so many events it takes no more, and says once that it is finished."""
        self.worker(limit=3, at_once=2)
        self.inbox.bring(*map(entry, range(5)))
        while self.application.at_work:
            self.application.end(len(self.application.calls[-1]))
        self.assertEqual(self.inbox.acknowledged, [b"0-0", b"1-0", b"2-0"])
        self.assertEqual(self.inbox.left, [b"3-0", b"4-0"])
        self.assertEqual(self.finished, 1)

    def test_progress(self) -> None:
        """Progress is said now and then, not while nothing happens."""
        self.worker()
        self.clock.advance(10)
        self.inbox.bring(entry(0))
        self.application.end(1)
        self.clock.advance(10)
        self.clock.advance(10)
        said = [event for event in self.logged if "events done" in event.get("log_format", "")]
        self.assertEqual([event["done"] for event in said], [1])


class StopTests(WorkerTestCase):
    """A stop in every state."""

    def test_waiting(self) -> None:
        """Waiting ends at once, and nothing is taken."""
        worker = self.worker()
        self.successResultOf(worker.stopService())
        self.assertEqual(self.inbox.cancelled, 1)
        self.inbox.bring(entry(0))
        self.assertEqual((self.inbox.left, self.application.calls), ([b"0-0"], []))
        self.assertIs(worker.state, State.IDLE)

    def test_calling(self) -> None:
        """The event in hand comes to its end and is acknowledged; those behind it are not begun."""
        worker = self.worker(at_once=10)
        self.inbox.bring(entry(0))
        self.inbox.bring(entry(1), entry(2))
        self.application.end(1)
        stopped = worker.stopService()
        self.assertNoResult(stopped)
        self.assertEqual(self.application.halted, 1)
        self.application.end(1)
        self.successResultOf(stopped)
        self.assertEqual(self.inbox.acknowledged, [b"0-0", b"1-0"])
        self.assertFalse(self.application.at_work)

    def test_calling_too_long(self) -> None:
        """An event that does not end within the grace is not acknowledged, also if it ends later."""
        worker = self.worker(grace=10.0)
        self.inbox.bring(entry(0))
        stopped = worker.stopService()
        self.clock.advance(10)
        self.successResultOf(stopped)
        self.assertEqual(self.inbox.acknowledged, [])

    def test_calling_fails(self) -> None:
        """The event in hand fails: it is not tried again here, and is no dead letter."""
        worker = self.worker()
        self.inbox.bring(entry(0))
        stopped = worker.stopService()
        self.application.end(0, RuntimeError("no"))
        self.successResultOf(stopped)
        self.assertEqual((self.inbox.acknowledged, self.inbox.letters), ([], []))

    def test_resting(self) -> None:
        """A pause ends at once; the event comes again."""
        worker = self.worker()
        self.inbox.bring(entry(0))
        self.application.end(0, RuntimeError("no"))
        self.successResultOf(worker.stopService())
        self.assertEqual((self.inbox.acknowledged, len(self.application.calls)), ([], 1))

    def test_telling(self) -> None:
        """What is being said to the broker is said to its end, within the grace."""
        for grace in (False, True):
            self.inbox = FakeInbox()
            worker = self.worker(grace=10.0)
            self.inbox.held = True
            self.inbox.bring(entry(0))
            self.application.end(1)
            stopped = worker.stopService()
            self.assertNoResult(stopped)
            if grace:
                self.clock.advance(10)
            else:
                self.inbox.answers[0].callback(None)
            self.successResultOf(stopped)

    def test_letter(self) -> None:
        """A dead letter that waits for a broker which is away is not written: the event comes again."""
        worker = self.worker(attempts=1)
        self.inbox.trouble = BrokerDown("away")
        self.inbox.bring(entry(0))
        self.application.end(0, RuntimeError("no"))
        self.successResultOf(worker.stopService())
        self.assertEqual(self.inbox.letters, [])

    def test_finished(self) -> None:
        """A worker that is at its limit stops at once."""
        worker = self.worker(limit=1)
        self.inbox.bring(entry(0))
        self.application.end(1)
        self.successResultOf(worker.stopService())

    def test_twice(self) -> None:
        """It can be started again."""
        worker = self.worker()
        self.successResultOf(worker.stopService())
        worker.startService()
        self.inbox.bring(entry(0))
        self.assertEqual(self.application.calls, [["e-0"]])
