from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain.throttle import Throttle


class ThrottleTests(SynchronousTestCase):
    """One in each interval."""

    def test_first_and_rest(self):
        """The first is let through at once, whatever the clock says; the rest is counted."""
        throttle = Throttle(10)
        self.assertEqual(throttle.admit(-5.0), 0)
        self.assertEqual([throttle.admit(now) for now in (-5.0, 0.0, 4.9)], [None, None, None])
        self.assertEqual(throttle.admit(5.0), 3)
        self.assertIsNone(throttle.admit(14.9))
        self.assertEqual(throttle.admit(100.0), 1)
        self.assertEqual(throttle.admit(200.0), 0)

    def test_settle(self):
        """At the end the owner learns what was kept silent, once."""
        throttle = Throttle(10)
        throttle.admit(0.0)
        throttle.admit(1.0)
        self.assertEqual(throttle.settle(), 1)
        self.assertEqual(throttle.settle(), 0)
        self.assertEqual(throttle.admit(10.0), 0)

    def test_burst(self):
        """Some may come at once; then one in each interval, until silence makes room for a burst again."""
        throttle = Throttle(10, burst=3)
        self.assertEqual([throttle.admit(0.0) for _ in range(5)], [0, 0, 0, None, None])
        self.assertEqual(throttle.admit(10.0), 2)
        self.assertEqual([throttle.admit(19.9), throttle.admit(20.0), throttle.admit(20.0)], [None, 1, None])
        self.assertEqual([throttle.admit(1000.0) for _ in range(4)], [1, 0, 0, None])
