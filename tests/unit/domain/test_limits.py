"""The token bucket."""

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain.limits import TokenBucket


class TokenBucketTests(SynchronousTestCase):
    def taken(self, bucket: TokenBucket, now: float, tries: int) -> int:
        return sum(bucket.take(now) for _ in range(tries))

    def test_starts_full(self) -> None:
        """The burst may come at once, and not one more."""
        self.assertEqual(self.taken(TokenBucket(10, 20, 5.0), 5.0, 100), 20)

    def test_fills_at_the_rate(self) -> None:
        """Tokens come back at the rate, fractions kept."""
        bucket = TokenBucket(2, 4, 0.0)
        self.taken(bucket, 0.0, 4)
        self.assertFalse(bucket.take(0.25))
        self.assertTrue(bucket.take(0.5))
        self.assertFalse(bucket.take(0.75))
        self.assertEqual(self.taken(bucket, 2.0, 10), 3)

    def test_holds_the_burst(self) -> None:
        """However long nobody came, only the burst has gathered."""
        bucket = TokenBucket(10, 20, 0.0)
        self.taken(bucket, 0.0, 20)
        self.assertEqual(self.taken(bucket, 1e9, 100), 20)

    def test_refusals_cost_nothing(self) -> None:
        """Trying while empty does not put off the next token."""
        bucket = TokenBucket(1, 1, 0.0)
        self.assertTrue(bucket.take(0.0))
        for step in range(1, 8):
            self.assertFalse(bucket.take(step / 8))
        self.assertTrue(bucket.take(1.0))

    def test_least_burst(self) -> None:
        """A burst below one would let nothing through, ever: it counts as one."""
        bucket = TokenBucket(1, 0, 0.0)
        self.assertTrue(bucket.take(0.0))
        self.assertFalse(bucket.take(0.5))
        self.assertTrue(bucket.take(1.0))

    def test_off(self) -> None:
        """A rate of 0 or less is no limit."""
        for rate in (0, -1):
            self.assertEqual(self.taken(TokenBucket(rate, 1, 0.0), 0.0, 1_000), 1_000)
