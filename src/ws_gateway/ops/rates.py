"""How often things happen: counters, read once a second, for whoever looks.

meter = RateMeter(clock, {"messages": lambda: 17.0})
meter.startService()
meter.rates()  # (Rate(name="messages", per_second=.., total=17.0),)
"""

from collections import deque
from collections.abc import Callable, Mapping

from twisted.application.service import Service
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from ws_gateway.domain.views import Rate

__all__ = ["RateMeter"]

_log = Logger()

SECONDS = 5
"""Rates are averages over so long: short enough to see a change, long enough to be read."""

_Sample = tuple[float, tuple[float, ...]]


class RateMeter(Service):
    """See the module.

    :param counters: what is read, by name; each only grows.
    """

    name = "rates"

    def __init__(self, clock: IReactorTime, counters: Mapping[str, Callable[[], float]]) -> None:
        self._clock = clock
        self._counters = dict(counters)
        self._samples: deque[_Sample] = deque(maxlen=SECONDS + 1)
        self._call = LoopingCall(self._sample)
        self._call.clock = clock

    def startService(self) -> None:
        """Begin to read."""
        super().startService()  # type: ignore[no-untyped-call]
        done = self._call.start(1.0)
        done.addErrback(lambda failure: _log.failure("rates are not measured any more", failure))

    def stopService(self) -> None:
        """Read no more."""
        if self._call.running:
            self._call.stop()
        super().stopService()  # type: ignore[no-untyped-call]

    def rates(self) -> tuple[Rate, ...]:
        """Every rate; 0 until there are two readings."""
        if not self._samples:
            return tuple(Rate(name, 0.0, read()) for name, read in self._counters.items())
        (began, first), (ended, last) = self._samples[0], self._samples[-1]
        seconds = ended - began
        return tuple(
            Rate(name, round((new - old) / seconds, 1) if seconds > 0 else 0.0, new)
            for name, old, new in zip(self._counters, first, last, strict=True)
        )

    def _sample(self) -> None:
        self._samples.append((self._clock.seconds(), tuple(read() for read in self._counters.values())))
