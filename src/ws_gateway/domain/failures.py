"""How often the clients of one address may fail before nobody asks them any more.

A sliding window, and an exact one: the times of the last failures of an address are kept, as many as it may
have. It is blocked while the oldest of them is younger than the window. What it tries meanwhile does not
count, so the block ends by itself, and no address fails more often than allowed within any window.

Nothing runs in between: an address is forgotten when another one fails, once its last failure is older than
the window, or when there are too many addresses: then the one that failed longest ago goes.
"""

from collections import OrderedDict, deque
from collections.abc import Hashable

__all__ = ["FailureLimit"]


class FailureLimit:
    """See the module. Time is an argument: seconds, never running backwards.

    :param most: failures that an address may have within the window; 0 switches the limit off.
    :param window: seconds.
    :param addresses: how many are remembered.
    """

    def __init__(self, most: int, window: float = 60.0, addresses: int = 10_000) -> None:
        self._most = most
        self._window = window
        self._addresses = addresses
        self._failures: OrderedDict[Hashable, deque[float]] = OrderedDict()

    def __len__(self) -> int:
        """How many addresses are remembered."""
        return len(self._failures)

    def blocked(self, address: Hashable, now: float) -> float:
        """:returns: seconds until an address may try again; 0 if it may now."""
        times = self._failures.get(address)
        if times is None or len(times) < self._most:
            return 0.0
        return max(0.0, times[0] + self._window - now)

    def failed(self, address: Hashable, now: float) -> None:
        """A client of this address failed."""
        if self._most <= 0:
            return
        self._forget_old(now)
        times = self._failures.get(address)
        if times is None:
            times = self._failures[address] = deque(maxlen=self._most)
            if len(self._failures) > self._addresses:
                self._failures.popitem(last=False)
        times.append(now)
        self._failures.move_to_end(address)

    def _forget_old(self, now: float) -> None:
        while self._failures:
            oldest = next(iter(self._failures))
            if self._failures[oldest][-1] + self._window > now:
                return
            del self._failures[oldest]
