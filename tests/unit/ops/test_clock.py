"""A reactor that does not care what the wall clock says."""

import time
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.ops.clock import count_monotonic_time


class MonotonicTests(SynchronousTestCase):
    """`count_monotonic_time`."""

    def setUp(self) -> None:
        self.reactor: Any = EPollReactor()
        self.addCleanup(self.reactor.disconnectAll)

    def test_time(self) -> None:
        """The reactor's time is the monotonic one, asked for once or twice."""
        for _ in range(2):
            count_monotonic_time(self.reactor)
            before = time.monotonic()
            now = self.reactor.seconds()
            self.assertTrue(before <= now <= time.monotonic())

    def test_what_is_scheduled(self) -> None:
        """It comes when it would have come, in its order; what is overdue comes at once."""
        came: list[str] = []
        late = self.reactor.callLater(1000, came.append, "late")
        self.reactor.callLater(0, came.append, "now")
        count_monotonic_time(self.reactor)
        self.assertTrue(100 < late.getTime() - time.monotonic() <= 1000)
        self.reactor.runUntilCurrent()
        self.assertEqual(came, ["now"])
        late.reset(0)
        self.reactor.runUntilCurrent()
        self.assertEqual(came, ["now", "late"])

    def test_what_is_scheduled_afterwards(self) -> None:
        """It counts by the same clock."""
        count_monotonic_time(self.reactor)
        call = self.reactor.callLater(1000, lambda: None)
        self.assertTrue(100 < call.getTime() - time.monotonic() <= 1000)
