"""The client side as a service: it turns the wheel, and sees everybody out."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.websocket.gate import Gate, request
from ws_gateway.testing.frames import close_frame
from ws_gateway.websocket.service import CLOSE_STEP, CLOSES_AT_ONCE, WebSocketService


class ServiceTests(SynchronousTestCase):
    def make(self, drain_seconds: float = 0) -> None:
        self.gate = Gate()
        self.clock = self.gate.clock
        self.service = WebSocketService(
            self.clock, self.gate.wheel, self.gate.registry, self.gate.admission, drain_seconds
        )
        self.service.startService()

    def begin(self, stage: Any) -> "Deferred[None]":
        return Deferred.fromCoroutine(stage)

    def test_the_wheel_turns(self) -> None:
        """Deadlines are met from the start to the stop of the service."""
        self.make()
        line = self.gate.line()
        self.gate.advance(10.5)
        self.assertTrue(line.disconnected)
        self.service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_broken_wheel(self) -> None:
        """A wheel that breaks is logged, not silent."""
        self.make()

        def fail() -> None:
            raise ZeroDivisionError

        self.gate.wheel._call.f = fail
        self.clock.advance(0.25)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_announce(self) -> None:
        """The announcement is made at once; whoever still comes is served for the time of draining."""
        for seconds in (0, 3):
            self.make(seconds)
            announcing = self.begin(self.service.announce())
            self.assertEqual(self.gate.admission.readiness()[1], "failed")
            self.assertEqual(self.gate.line(request()).status, 101)
            if seconds:
                self.gate.advance(2.75)
                self.assertNoResult(announcing)
                self.gate.advance(0.25)
            self.successResultOf(announcing)

    def test_announcement_is_cut_short(self) -> None:
        """A stop that has no time left may give up the draining."""
        self.make(100)
        announcing = self.begin(self.service.announce())
        announcing.cancel()
        self.failureResultOf(announcing)
        self.service.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_sessions(self) -> None:
        """Everybody is told 1012, paced; the stage is over when all are gone."""
        self.make()
        count = CLOSES_AT_ONCE * 2 + 10
        lines = [self.gate.client() for _ in range(count)]
        closing = self.begin(self.service.close_sessions())
        told: list[int] = []
        for _ in range(3):
            told.append(sum(line.received.close == (1012, "service restart") for line in lines))
            self.clock.advance(CLOSE_STEP)
        self.assertEqual(told, [CLOSES_AT_ONCE, CLOSES_AT_ONCE * 2, count])
        for line in lines[1:]:
            line.send(close_frame(1012))
            line.lose()
        self.clock.advance(CLOSE_STEP)
        self.assertNoResult(closing)
        self.gate.advance(6)
        self.assertTrue(lines[0].disconnected)
        lines[0].lose()
        self.clock.advance(CLOSE_STEP)
        self.successResultOf(closing)
        self.assertEqual({ending.cause.value for ending in self.gate.emitter.endings}, {"shutdown"})

    def test_nobody(self) -> None:
        """With nobody there, it is over at once."""
        self.make()
        self.successResultOf(self.begin(self.service.close_sessions()))
