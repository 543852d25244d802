"""A token bucket: `rate` a second on average, `burst` at once."""

from ws_gateway.domain.views import RateUse

__all__ = ["TokenBucket"]


class TokenBucket:
    """Starts full. Time is an argument.

    :param rate: tokens a second; 0 or less switches the limit off.
    :param burst: what the bucket holds, at least 1.
    """

    __slots__ = ("_at", "_burst", "_rate", "_tokens")

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = max(burst, 1.0)
        self._tokens = self._burst
        self._at = now

    def take(self, now: float) -> bool:
        """Take one token, if there is one.

        :param now: seconds, never running backwards.
        """
        if self._rate <= 0:
            return True
        tokens = self._tokens + (now - self._at) * self._rate
        self._at = now
        if tokens > self._burst:
            tokens = self._burst
        if tokens < 1.0:
            self._tokens = tokens
            return False
        self._tokens = tokens - 1.0
        return True

    def describe(self, now: float) -> RateUse:
        """How much of it is used. Changes nothing."""
        left = min(self._tokens + (now - self._at) * self._rate, self._burst)
        return RateUse(max(self._rate, 0.0), self._burst, round(left, 1))
