"""Who came and went since the store was told last.

What is here is the difference between what is so and what the store knows, no list of messages: whoever came
and went in between leaves nothing.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from zope.interface import implementer

from ws_gateway.domain.messages import ConnectionView
from ws_gateway.interfaces import IConnection, IConnectionObserver

__all__ = ["KEYS_AT_ONCE", "Changes", "is_full", "keys_of"]

KEYS_AT_ONCE = 250
"""Keys of the store that one call may touch: about 50 connections. Redis needs 1 to 2 ms for them, and serves
nobody else meanwhile."""

MOST_GONE = 20_000
"""Who left while the store is away is remembered up to this number; the rest the store forgets by itself."""

T = TypeVar("T")


def keys_of(view: ConnectionView) -> int:
    """How many keys of the store a connection touches: its own, the node's, the user's, its subjects'."""
    return 3 + len(view.subjects)


def is_full(views: Sequence[ConnectionView]) -> bool:
    """Whether a call carries as much as it may."""
    return sum(map(keys_of, views)) >= KEYS_AT_ONCE


@implementer(IConnectionObserver)
class Changes:
    """See the module.

    :param too_many: called for each who went and is not remembered.
    """

    def __init__(self, too_many: Callable[[], object]) -> None:
        # Whoever waits longest is taken first: that costs nothing here, but much in an ordinary dict.
        self._came: OrderedDict[str, IConnection] = OrderedDict()
        self._gone: OrderedDict[str, ConnectionView] = OrderedDict()
        self._too_many = too_many

    def __len__(self) -> int:
        return len(self._came) + len(self._gone)

    @property
    def untold(self) -> int:
        """How many connections the store was not told of yet."""
        return len(self._came)

    def __contains__(self, connection_id: str) -> bool:
        """Whether it came and the store was not told yet."""
        return connection_id in self._came

    def came(self, connection: IConnection) -> None:
        self._came[connection.connection_id] = connection

    def went(self, connection: IConnection) -> None:
        if self._came.pop(connection.connection_id, None) is None:
            self._go(connection.view())

    def take_came(self) -> list[ConnectionView]:
        """The next of those who came, not more than a call may carry."""
        return _take(self._came, lambda connection: connection.view())

    def take_gone(self) -> list[ConnectionView]:
        """The next of those who went, not more than a call may carry."""
        return _take(self._gone, lambda view: view)

    def give_back(self, gone: Iterable[ConnectionView]) -> None:
        """The store could not be told that they went."""
        for view in gone:
            self._go(view)

    def _go(self, view: ConnectionView) -> None:
        if len(self._gone) >= MOST_GONE:
            self._gone.popitem(last=False)
            self._too_many()
        self._gone[view.connection_id] = view


def _take(waiting: OrderedDict[str, T], view_of: Callable[[T], ConnectionView]) -> list[ConnectionView]:
    views, keys = [], 0
    while waiting and keys < KEYS_AT_ONCE:
        view = view_of(waiting.popitem(last=False)[1])
        views.append(view)
        keys += keys_of(view)
    return views
