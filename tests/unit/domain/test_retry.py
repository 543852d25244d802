"""Back-off."""

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain.retry import Backoff


class BackoffTests(SynchronousTestCase):
    """Exponential, jittered, bounded."""

    def test_doubles(self) -> None:
        """Each failure doubles the delay until the maximum."""
        backoff = Backoff(base=0.5, maximum=30.0)
        almost_one = 1.0 - 2**-53
        delays = [backoff.delay(failures, almost_one) for failures in range(8)]
        for delay, full in zip(delays, [0.5, 1, 2, 4, 8, 16, 30, 30], strict=True):
            self.assertAlmostEqual(delay, full)

    def test_jitter(self) -> None:
        """Half of a delay is certain, the rest is chance."""
        backoff = Backoff(base=4.0, maximum=30.0)
        self.assertEqual(backoff.delay(0, 0.0), 2.0)
        self.assertEqual(backoff.delay(0, 0.5), 3.0)

    def test_any_number_of_failures(self) -> None:
        """An outage of weeks overflows nothing."""
        self.assertEqual(Backoff(0.5, 30.0).delay(1_000_000, 0.0), 15.0)

    def test_asked(self) -> None:
        """What the target asks for is waited for at least."""
        backoff = Backoff(base=0.5, maximum=30.0)
        self.assertEqual(backoff.delay(0, 0.0, asked=7.0), 7.0)
        self.assertEqual(backoff.delay(5, 0.0, asked=7.0), 8.0)
        self.assertEqual(backoff.delay(0, 0.0, asked=0.0), 0.25)

    def test_asked_too_much(self) -> None:
        """The maximum holds for what the target asks for too."""
        self.assertEqual(Backoff(0.5, 30.0).delay(0, 0.0, asked=86400.0), 30.0)

    def test_nonsense(self) -> None:
        """Delays of nothing would be a busy loop."""
        for base, maximum in ((0.0, 1.0), (-1.0, 1.0), (1.0, 0.0)):
            with self.assertRaises(ValueError):
                Backoff(base, maximum)
