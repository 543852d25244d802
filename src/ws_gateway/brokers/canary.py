"""A sign of life that goes the way of publications: sent into the broker, expected back from it.

| state | meaning | left by |
|---|---|---|
| RESTING | none is under way | the interval is over: one is sent -> UNDER_WAY |
| UNDER_WAY | one is expected back | it comes, it cannot be sent, or the patience is over -> RESTING |

When the patience is over `silent` is called. It finds what no error tells: a broker that does not answer, a
connection that is dead though nobody closed it.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.brokers.counts import SourceCounts
from ws_gateway.errors import BrokerDown, BrokerRefused

__all__ = ["Canary", "Flight"]

_log = Logger()


class Flight(Enum):
    """How far a canary came."""

    UNSENT = "unsent"
    WRITTEN = "written"


class Canary:
    """Sends one at a time; see the module.

    :param interval: seconds from one to the next, over 0.
    :param patience: seconds after which one that did not come back is given up.
    :param send: writes a token into the broker; fires when the broker has it, or fails with BrokerDown or
        BrokerRefused. It can be cancelled.
    :param expected: whether the reading side reads at all; while it does not (it has enough to do), a canary
        that is late says nothing.
    :param silent: called when one did not come back, with how far it came.
    """

    def __init__(
        self,
        interval: float,
        patience: float,
        clock: IReactorTime,
        send: Callable[[bytes], Deferred[Any]],
        expected: Callable[[], bool],
        silent: Callable[[Flight], None],
        counts: SourceCounts,
    ) -> None:
        self._interval = interval
        self._patience = patience
        self._clock = clock
        self._send = send
        self._expected = expected
        self._silent = silent
        self._counts = counts
        self._number = 0
        self._flight: Flight | None = None
        self._sent_at = 0.0
        self._last = 0.0
        self._sending: Deferred[Any] | None = None
        self._timer: IDelayedCall | None = None
        self.trouble = ""
        counts.show_canary(self.seconds)

    def start(self) -> None:
        """Send the first one, now."""
        if self._timer is None:
            self._timer = self._clock.callLater(0, self._fly)

    def hurry(self) -> None:
        """Send the next one now: the way is open again."""
        if self._flight is None and self._timer is not None and self._timer.active():
            self._timer.reset(0)

    def stop(self) -> None:
        """Send nothing any more, expect nothing any more."""
        self._flight = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        sending, self._sending = self._sending, None
        if sending is not None:
            sending.cancel()

    def seen(self, token: bytes) -> None:
        """A canary came back; an old one, or one of a former life, is passed over."""
        if self._flight is None or token != b"%d" % self._number:
            return
        self._last = self._clock.seconds() - self._sent_at
        self.trouble = ""
        self._rest(max(self._interval - self._last, 0.0))

    def seconds(self) -> float:
        """How long the last one took, or the one that is under way takes so far, if that is more."""
        if self._flight is None:
            return self._last
        return max(self._last, self._clock.seconds() - self._sent_at)

    def _fly(self) -> None:
        self._number += 1
        self._flight = Flight.UNSENT
        self._sent_at = self._clock.seconds()
        self._timer = self._clock.callLater(self._patience, self._overdue)
        sending = self._sending = self._send(b"%d" % self._number)
        number = self._number
        sending.addCallbacks(self._written, self._unwritten, callbackArgs=(number,), errbackArgs=(number,))
        sending.addErrback(lambda failure: _log.failure("a canary could not be sent", failure))

    def _written(self, answer: Any, number: int) -> None:
        if number == self._number and self._flight is not None:
            self._flight = Flight.WRITTEN

    def _unwritten(self, failure: Failure, number: int) -> None:
        if number != self._number or self._flight is None:
            return
        # Whoever sent it knows, and does what is to be done.
        if failure.check(BrokerRefused):
            self.trouble = f"the broker refuses canaries: {failure.value}"
        elif failure.check(BrokerDown):
            self.trouble = f"no canary can be sent: {failure.value}"
        else:
            _log.failure("a canary could not be sent", failure)
        self._rest(self._interval)

    def _overdue(self) -> None:
        flight, seconds = self._flight, self._clock.seconds() - self._sent_at
        assert flight is not None
        self._rest(self._interval)
        if not self._expected():
            return
        self._last = seconds
        self._counts.canary_missed.inc()
        self.trouble = f"an entry of our own did not come back within {self._patience:.1f} s"
        self._silent(flight)

    def _rest(self, pause: float) -> None:
        self._flight = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = self._clock.callLater(pause, self._fly)
