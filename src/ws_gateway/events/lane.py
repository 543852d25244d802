"""The events of one key that wait for one sink: a line in which only the first may move."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from attrs import define, field

from ws_gateway.domain.messages import Envelope

__all__ = ["Lane", "Waiting"]


@define(eq=False)
class Waiting(Envelope):
    """An envelope that has not reached all sinks yet; all its lanes share it.

    :ivar number: its place among all events of this process; a smaller one is older.
    :ivar size: what it counts against the bound in bytes.
    :ivar sinks_left: how many sinks have neither taken it nor given it up.
    :ivar accepted: whom to tell when none is left.
    """

    number: int = 0
    size: int = 0
    sinks_left: int = 0
    accepted: Callable[[], None] | None = field(default=None, repr=False)

    # Two that look alike are two.
    __eq__ = object.__eq__
    __hash__ = object.__hash__


@define(eq=False)
class Lane:
    """A line that exists only while an event waits in it.

    Most lanes hold one event in their whole short life, so the queue behind the head is made when needed.

    :ivar attempts: how often the head failed with EventFailed while the target counted as up.
    :ivar setbacks: how often the target went, or stayed, down with the head; a probe that the target failed
        on counts for several.
    """

    key: str
    head: Waiting
    attempts: int = 0
    setbacks: int = 0
    _behind: deque[Waiting] | None = None

    def __len__(self) -> int:
        return 1 if self._behind is None else 1 + len(self._behind)

    def append(self, waiting: Waiting) -> None:
        """Stand at the end."""
        if self._behind is None:
            self._behind = deque()
        self._behind.append(waiting)

    def advance(self) -> bool:
        """The head leaves.

        :returns: whether another took its place; without one the lane is over.
        """
        if not self._behind:
            return False
        self.head = self._behind.popleft()
        self.attempts = self.setbacks = 0
        return True
