"""How often something may be said, and how much was left unsaid."""

__all__ = ["Throttle"]


class Throttle:
    """Lets one through in each interval and counts the others, for log lines that a flood would repeat.

        suppressed = self._throttle.admit(self._clock.seconds())
        if suppressed is not None:
            _log.warn("the queue is full ({suppressed} more of this kind)", suppressed=suppressed)

    :param interval: seconds between two that are let through.
    :param burst: how many may come at once, after as many intervals of silence.
    """

    __slots__ = ("_interval", "_next", "_slack", "_suppressed")

    def __init__(self, interval: float, burst: int = 1) -> None:
        self._interval = interval
        self._slack = interval * (burst - 1)
        self._next: float | None = None
        self._suppressed = 0

    def admit(self, now: float) -> int | None:
        """Ask for one more.

        :param now: seconds, never running backwards.
        :returns: None to keep silent; otherwise how many were kept silent since the last one let through.
        """
        due = now if self._next is None else self._next
        if now < due - self._slack:
            self._suppressed += 1
            return None
        self._next = max(due, now) + self._interval
        return self.settle()

    def settle(self) -> int:
        """How many were kept silent since the last one that was let through; counting starts again.

        For the owner's end, so that none goes untold.
        """
        suppressed, self._suppressed = self._suppressed, 0
        return suppressed
