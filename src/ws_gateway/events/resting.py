"""Lanes whose head failed and waits for its next attempt: any number of them, one timer."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from itertools import count

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from ws_gateway.events.lane import Lane

__all__ = ["RestingLanes"]


class RestingLanes:
    """A timetable.

    :param wake: gets each lane when its time has come.
    """

    def __init__(self, clock: IReactorTime, wake: Callable[[Lane], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._heap: list[tuple[float, int, Lane]] = []
        self._tiebreak = count()
        self._timer: IDelayedCall | None = None
        self._timer_at = 0.0

    def __len__(self) -> int:
        return len(self._heap)

    def rest(self, lane: Lane, delay: float) -> None:
        """Keep a lane for so many seconds."""
        heappush(self._heap, (self._clock.seconds() + delay, next(self._tiebreak), lane))
        self._arm()

    def stop(self) -> None:
        """Wake nobody any more."""
        self._heap.clear()
        self._disarm()

    def _arm(self) -> None:
        due = self._heap[0][0]
        if self._timer is not None:
            if self._timer_at <= due:
                return
            self._disarm()
        self._timer_at = due
        self._timer = self._clock.callLater(max(0.0, due - self._clock.seconds()), self._ring)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self) -> None:
        self._timer = None
        now = self._clock.seconds()
        while self._heap and self._heap[0][0] <= now:
            self._wake(heappop(self._heap)[2])
        if self._heap and self._timer is None:
            self._arm()
