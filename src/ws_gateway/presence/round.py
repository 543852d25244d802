"""One walk over all connections of the node, in which the store is told of each."""

from collections.abc import Callable, Sequence

from ws_gateway.domain.messages import ConnectionView
from ws_gateway.presence.changes import KEYS_AT_ONCE, keys_of

__all__ = ["Round"]

_MOST_STEPS = 1_000
"""Of those who are gone meanwhile so many are passed over at a time."""


class Round:
    """See the module. It knows ids only, so it keeps nobody alive.

    :param ids: of whom the store is to be told.
    :param began: when.
    :param seconds: how long it is to take, evenly; 0 = as little as possible.
    """

    def __init__(self, ids: Sequence[str], began: float, seconds: float) -> None:
        self.began = began
        self.seconds = seconds
        self.refused = False
        self._ids = ids
        self._at = 0

    @property
    def told(self) -> int:
        """How far it is."""
        return self._at

    @property
    def over(self) -> bool:
        """Whether it is at its end."""
        return self._at >= len(self._ids)

    def due(self, now: float) -> bool:
        """Whether more is to be told by now."""
        return not self.over and now >= self.began + self.seconds * self._at / len(self._ids)

    def take(self, look: Callable[[str], ConnectionView | None]) -> list[ConnectionView]:
        """The next ones, not more than a call may carry.

        :param look: finds a connection; None if the store is not to be told of it.
        """
        views: list[ConnectionView] = []
        keys, last = 0, min(self._at + _MOST_STEPS, len(self._ids))
        while self._at < last and keys < KEYS_AT_ONCE:
            view = look(self._ids[self._at])
            self._at += 1
            if view is not None:
                views.append(view)
                keys += keys_of(view)
        return views
