"""The demo's way out."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.demo.fakes import CALLS, HeldGateway
from ws_gateway.demo.gateway import GatewayRefused
from ws_gateway.demo.publisher import Publisher


class PublisherTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gateway = HeldGateway()
        self.clock = Clock()
        self.recoveries = 0
        self.publisher = Publisher(
            self.gateway.send, self.clock, lambda: 1.0, limit=3, patience=10.0, recovered=self._recovered
        )
        self.publisher.startService()

    def _recovered(self) -> None:
        self.recoveries += 1

    def submit(self, payload: object, replaces: str | None = None) -> bool:
        return self.publisher.submit(CALLS.publish(["user:1"], payload), replaces)

    def test_one_at_a_time_in_order(self) -> None:
        """The next publication leaves when the gateway has answered the one before it."""
        for number in range(3):
            self.assertTrue(self.submit(number))
        self.assertEqual(self.gateway.payloads, [0])
        self.gateway.succeed()
        self.assertEqual(self.gateway.payloads, [0, 1])
        self.gateway.succeed()
        self.gateway.succeed()
        self.assertEqual(self.gateway.payloads, [0, 1, 2])
        self.assertTrue(self.submit(3))
        self.assertEqual(self.gateway.payloads, [0, 1, 2, 3])

    def test_bounded(self) -> None:
        """A full queue says so and takes no more."""
        for number in range(4):
            self.assertFalse(self.publisher.full)
            self.assertTrue(self.submit(number))
        self.assertTrue(self.publisher.full)
        self.assertFalse(self.submit(4))
        self.gateway.succeed()
        self.assertFalse(self.publisher.full)

    def test_order_through_retries(self) -> None:
        """What the gateway did not take is tried again, before everything that came later."""
        self.submit("first")
        self.submit("second")
        self.gateway.fail()
        self.assertEqual(self.gateway.payloads, ["first"])
        self.clock.advance(0.25)
        self.assertEqual(self.gateway.payloads, ["first", "first"])
        self.gateway.fail()
        self.clock.advance(0.25)
        self.assertEqual(len(self.gateway.calls), 2)
        self.clock.advance(0.25)
        self.gateway.succeed()
        self.assertEqual(self.gateway.payloads, ["first", "first", "first", "second"])
        self.assertEqual(self.recoveries, 1)

    def test_nudge(self) -> None:
        """A sign of life ends a pause between two attempts, and at other times does nothing."""
        self.publisher.nudge()
        self.submit("first")
        self.publisher.nudge()
        self.gateway.fail()
        self.publisher.nudge()
        self.assertEqual(self.gateway.payloads, ["first", "first"])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.gateway.fail()
        self.clock.advance(0.5)
        self.assertEqual(len(self.gateway.calls), 3)

    def test_patience_ends(self) -> None:
        """A publication that waited too long is given up, and those that waited beside it get one attempt."""
        self.submit("first")
        self.submit("second")
        attempts = 0
        while self.gateway.payloads[-1] == "first" and attempts < 20:
            attempts += 1
            self.gateway.fail()
            self.clock.pump([1.0] * 4)
        self.assertLessEqual(self.clock.seconds(), 30)
        self.gateway.fail()
        self.assertEqual(self.gateway.payloads.count("second"), 1)
        self.submit("third")
        self.assertEqual(self.gateway.payloads[-1], "third")
        self.assertEqual(self.recoveries, 0)

    def test_refusal_is_final(self) -> None:
        """What the gateway refuses is not tried again, and holds up nothing."""
        self.submit("first")
        self.submit("second")
        self.gateway.fail(GatewayRefused("no"))
        self.assertEqual(self.gateway.payloads, ["first", "second"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_newer_news_replaces_waiting_news(self) -> None:
        """Only the last in the queue is replaced, only by the same kind, and never what is on its way."""
        self.submit("presence 1", "presence")
        self.submit("presence 2", "presence")
        self.submit("presence 3", "presence")
        self.submit("chat")
        self.submit("presence 4", "presence")
        for _ in range(4):
            self.gateway.succeed()
        self.assertEqual(self.gateway.payloads, ["presence 1", "presence 3", "chat", "presence 4"])

    def test_stop(self) -> None:
        """Stopping gives up what is in flight and what waits; nothing is taken afterwards."""
        self.submit(1)
        self.submit(2)
        self.successResultOf(self.publisher.stopService())
        self.assertEqual(self.gateway.cancelled, 1)
        self.assertTrue(self.publisher.full)
        self.assertFalse(self.submit(3))
        self.assertFalse(self.submit(3, "presence"))
        self.assertEqual(len(self.gateway.calls), 1)

    def test_stop_between_attempts(self) -> None:
        """Stopping also ends a pause between two attempts."""
        self.submit(1)
        self.gateway.fail()
        self.successResultOf(self.publisher.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bug_is_logged(self) -> None:
        """An error that nobody foresaw is logged, and the next publication goes out."""
        self.submit(1)
        self.gateway.fail(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.submit(2)
        self.assertEqual(self.gateway.payloads, [1, 2])
