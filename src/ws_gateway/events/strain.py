"""Whether clients should be slowed down before an event is lost.

They should while the queue is filling though its targets take what they are given. They should not while a
target is down: slowing down would not help, and clients would stand still for nothing. A hiccup is no outage:
a connection that is made anew takes a moment, in which a burst could fill the whole queue.
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf

from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["HICCUP_SECONDS", "Strain"]

HICCUP_SECONDS = 2.0
"""How long a target may be down without counting as down."""


class Strain:
    """See the module.

    :param above: bytes in the queue from which on clients are slowed down, until half of them are left.
    :param flows: whether every target is up.
    :param size: bytes in the queue.
    :param tell: told True when clients should be slowed down, False when no longer.
    :ivar mark: bytes in the queue above which judge() has something to judge; until then no event asks.
    """

    __slots__ = ("_above", "_clock", "_down", "_flows", "_is_on", "_size", "_stopped", "_tell", "mark")

    def __init__(
        self,
        above: float,
        clock: IReactorTime,
        flows: Callable[[], bool],
        size: Callable[[], int],
        tell: Callable[[bool], None],
    ) -> None:
        self._above = self.mark = above
        self._clock = clock
        self._flows = flows
        self._size = size
        self._tell = tell
        self._is_on = False
        self._stopped = False
        # While a target is down: what tells that the hiccup is over; it stays here when it has told.
        self._down: IDelayedCall | None = None

    @property
    def is_on(self) -> bool:
        """Whether clients are slowed down."""
        return self._is_on

    def judge(self) -> None:
        """The mark was passed, something left the queue, or a target went down or came back."""
        hopeful = self._hopeful()
        above = self._above / 2 if self._is_on else self._above
        is_on = hopeful and self._size() > above
        self.mark = self._above if hopeful and not is_on else inf
        if is_on is not self._is_on:
            self._is_on = is_on
            self._tell(is_on)

    def stop(self) -> None:
        """Nobody is slowed down any more."""
        self._stopped = True
        if self._down is not None and self._down.active():
            self._down.cancel()
        self.judge()

    def _hopeful(self) -> bool:
        """Whether what waits will leave soon."""
        if self._stopped:
            return False
        if self._flows():
            if self._down is not None and self._down.active():
                self._down.cancel()
            self._down = None
            return True
        if self._down is None:
            self._down = self._clock.callLater(HICCUP_SECONDS, self.judge)
        return bool(self._down.active())
