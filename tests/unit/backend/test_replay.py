"""Each event once: the memory of ids."""

from threading import Semaphore, Thread

from twisted.internet.task import Clock
from twisted.trial import unittest

from ws_gateway.backend import EventInProgress, ReplayWindow


class OnceTests(unittest.SynchronousTestCase):
    """`once()`."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.window = ReplayWindow(seconds=60, max_ids=3, clock=self.clock.seconds)

    def handle(self, event_id: str | None) -> bool:
        """Handle an event without failing; tell whether it was new."""
        with self.window.once(event_id) as first:
            return first

    def test_handled_once(self) -> None:
        """An id that was handled is not new again; another one is."""
        self.assertEqual([self.handle("a"), self.handle("a"), self.handle("b")], [True, False, True])
        self.assertEqual(len(self.window), 2)

    def test_failure(self) -> None:
        """If handling fails, the exception comes through and the next attempt is the first again."""
        for error in (RuntimeError, KeyboardInterrupt):
            with self.assertRaises(error), self.window.once("a"):
                raise error
        self.assertEqual(len(self.window), 0)
        self.assertTrue(self.handle("a"))

    def test_failure_of_a_repetition(self) -> None:
        """A failure in the context of a repeated event does not make the event new."""
        self.handle("a")
        with self.assertRaises(RuntimeError), self.window.once("a"):
            raise RuntimeError
        self.assertFalse(self.handle("a"))

    def test_in_progress(self) -> None:
        """While an event is being handled its repetition is neither new nor done; others go on."""
        with self.window.once("a") as first:
            error = self.assertRaises(EventInProgress, self.handle, "a")
            self.assertIn("a", str(error))
            self.assertTrue(self.handle("b"))
            self.assertFalse(self.window.first_time("a"))
        self.assertTrue(first)
        self.assertFalse(self.handle("a"))

    def test_threads(self) -> None:
        """Of many threads that bring the same event at once, exactly one handles it."""
        outcomes: list[object] = []
        refused = Semaphore(0)

        def bring() -> None:
            try:
                with self.window.once("a") as first:
                    outcomes.append(first)
                    # Keep it in progress until all others were here; the timeout only ends a broken run.
                    for _ in range(7):
                        refused.acquire(timeout=60)
            except EventInProgress:
                outcomes.append(EventInProgress)
                refused.release()

        threads = [Thread(target=bring) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual((outcomes.count(True), outcomes.count(EventInProgress)), (1, 7))

    def test_without_id(self) -> None:
        """An event without an id is always new, and nothing is remembered."""
        self.assertEqual([self.handle(None), self.handle(None)], [True, True])
        self.assertEqual(len(self.window), 0)

    def test_time(self) -> None:
        """An id is remembered for the seconds of the window, counted from when it was handled."""
        self.handle("a")
        self.clock.advance(30)
        self.handle("b")
        self.clock.advance(29)
        self.assertFalse(self.handle("a"))
        self.clock.advance(1)
        self.assertTrue(self.handle("a"))
        self.assertFalse(self.handle("b"))

    def test_bound(self) -> None:
        """Beyond the bound the oldest ids are forgotten first."""
        for event_id in "abcd":
            self.handle(event_id)
        self.assertEqual(len(self.window), 3)
        self.assertFalse(self.handle("b"))
        self.assertTrue(self.handle("a"))


class FirstTimeTests(unittest.SynchronousTestCase):
    """`first_time()` and `forget()`."""

    def test_first_time(self) -> None:
        """An id is new once, until it is forgotten; forgetting an unknown one is no error."""
        window = ReplayWindow()
        self.assertEqual([window.first_time("a"), window.first_time("a")], [True, False])
        window.forget("a")
        window.forget("b")
        self.assertTrue(window.first_time("a"))
        with window.once("a") as first:
            self.assertFalse(first)

    def test_no_window(self) -> None:
        """A window that could remember nothing is refused."""
        self.assertRaises(ValueError, ReplayWindow, seconds=0)
        self.assertRaises(ValueError, ReplayWindow, seconds=float("nan"))
        self.assertRaises(ValueError, ReplayWindow, max_ids=0)
