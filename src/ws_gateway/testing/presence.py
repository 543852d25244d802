"""A presence store in memory, and the contract suite that proves it beside the real ones.

place = FakePlace()
one, other = FakePresenceStore(place, "one"), FakePresenceStore(place, "other")  # two nodes
place.clock.advance(120)  # and what nobody refreshed is forgotten
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from typing import TypeVar

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from zope.interface import implementer

from ws_gateway.domain.lost import Claim, LostConnection
from ws_gateway.domain.messages import ConnectionView
from ws_gateway.interfaces import IPresenceStore
from ws_gateway.testing.presence_suite import PresenceUnderTest, presence_store_contract_tests, seen

__all__ = ["FakePlace", "FakePresenceStore", "PresenceUnderTest", "presence_store_contract_tests", "seen"]

SWEPT_AT_ONCE = 100

_Key = tuple[str, str]

T = TypeVar("T")


@define(eq=False)
class _Entry:
    """What is remembered of a connection."""

    view: ConnectionView
    node: str
    until: float
    serial: int


@define(eq=False)
class _Index:
    """The ids of a user or a subject; some of them may be dead."""

    ids: dict[str, None] = field(factory=dict)
    until: float = 0.0


@define(eq=False)
class FakePlace:
    """Where the stores of several nodes keep what they know.

    :ivar clock: its time.
    :ivar failure: while this is set, every call fails with it.
    :ivar known: by node, what is told of its connections if it dies.
    :ivar owed: by node, what it has to tell the backend.
    """

    clock: Clock = field(factory=Clock)
    failure: Exception | None = None
    entries: dict[str, _Entry] = field(factory=dict, init=False)
    indexes: dict[_Key, _Index] = field(factory=dict, init=False)
    leases: dict[str, float] = field(factory=dict, init=False)
    known: dict[str, dict[str, ConnectionView]] = field(factory=dict, init=False)
    owed: dict[str, dict[str, LostConnection]] = field(factory=dict, init=False)
    serials: int = field(default=0, init=False)

    def lives(self, node: str) -> bool:
        """Whether a node has its lease."""
        return self.leases.get(node, 0.0) > self.clock.seconds()

    def shown(self, entry: _Entry | None) -> bool:
        """Whether a connection counts as connected."""
        return entry is not None and entry.until > self.clock.seconds() and self.lives(entry.node)

    def remembered(self, kind: str, name: str) -> set[str]:
        """The ids in an index, dead or alive.

        :param kind: `user` or `subject`.
        """
        index = self.indexes.get((kind, name))
        return set() if index is None or index.until <= self.clock.seconds() else set(index.ids)

    def forget(self, connection_id: str, view: ConnectionView) -> None:
        """Take a connection out of everything."""
        self.entries.pop(connection_id, None)
        for key in _keys(view):
            self.drop(key, connection_id)

    def drop(self, key: _Key, connection_id: str) -> None:
        """Take an id out of an index."""
        index = self.indexes.get(key)
        if index is not None:
            index.ids.pop(connection_id, None)
            if not index.ids:
                del self.indexes[key]


@implementer(IPresenceStore)
class FakePresenceStore:
    """The store as one node has it.

    :ivar waiting: while this is a list, answers to page() wait in it until the test fires them.
    """

    def __init__(self, place: FakePlace | None = None, node: str = "node-1") -> None:
        self.place = place or FakePlace()
        self.waiting: list[Deferred[None]] | None = None
        self._node = node

    def put(self, views: Sequence[ConnectionView], ttl: float) -> Deferred[None]:
        return self._do(lambda: self._put(views, ttl))

    def remove(self, views: Sequence[ConnectionView]) -> Deferred[None]:
        return self._do(lambda: self._remove(views))

    def renew(self, seconds: float) -> Deferred[bool]:
        return self._do(lambda: self._renew(seconds))

    def page(
        self, subject: str | None, user_id: str | None, cursor: str | None, limit: int
    ) -> Deferred[tuple[list[ConnectionView], str | None]]:
        if self.waiting is None:
            return self._do(lambda: self._page(subject, user_id, cursor, limit))
        gate: Deferred[None] = Deferred()
        self.waiting.append(gate)
        return gate.addCallback(lambda _: self._do(lambda: self._page(subject, user_id, cursor, limit)))

    def sweep(self) -> Deferred[int]:
        return self._do(lambda: len(self._take(SWEPT_AT_ONCE, 0)[0]))

    def claim(self, most: int, at_ms: int, again: bool) -> Deferred[Claim]:
        return self._do(lambda: self._claim(min(most, SWEPT_AT_ONCE), at_ms, again))

    def settle(self, connection_ids: Sequence[str]) -> Deferred[None]:
        return self._do(lambda: self._settle(connection_ids))

    def _do(self, work: Callable[[], T]) -> Deferred[T]:
        if self.place.failure is not None:
            return fail(self.place.failure)
        try:
            return succeed(work())
        except ValueError as error:
            return fail(error)

    def _put(self, views: Sequence[ConnectionView], ttl: float) -> None:
        place = self.place
        now = place.clock.seconds()
        for view in views:
            known = place.entries.get(view.connection_id)
            if known is None or known.until <= now:
                place.serials += 1
                known = _Entry(view, self._node, now, place.serials)
            place.known.setdefault(self._node, {})[view.connection_id] = view
            place.entries[view.connection_id] = evolve(known, view=view, node=self._node, until=now + ttl)
            for key in _keys(view):
                index = place.indexes.setdefault(key, _Index())
                if index.until <= now:
                    index.ids.clear()
                index.ids[view.connection_id] = None
                index.until = max(index.until, now + ttl)

    def _remove(self, views: Sequence[ConnectionView]) -> None:
        for view in views:
            self.place.known.get(self._node, {}).pop(view.connection_id, None)
            self.place.forget(view.connection_id, view)

    def _renew(self, seconds: float) -> bool:
        now = self.place.clock.seconds()
        held = self.place.leases.get(self._node, 0.0) > now
        self.place.leases[self._node] = now + seconds
        return held

    def _page(
        self, subject: str | None, user_id: str | None, cursor: str | None, limit: int
    ) -> tuple[list[ConnectionView], str | None]:
        place = self.place
        after = _serial(cursor)
        key = ("user", user_id) if user_id is not None else ("subject", subject)
        if key[1] is None:
            found = list(place.entries.values())
        else:
            named = (key[0], key[1])
            found = []
            for connection_id in place.remembered(*named):
                entry = place.entries.get(connection_id)
                if place.shown(entry):
                    assert entry is not None
                    found.append(entry)
                else:
                    place.drop(named, connection_id)
        later = sorted((entry for entry in found if entry.serial > after), key=lambda entry: entry.serial)
        walk = iter(later)
        page = list(islice(walk, limit))
        views = [
            entry.view
            for entry in page
            if place.shown(entry)
            and (subject is None or subject in entry.view.subjects)
            and (user_id is None or user_id == entry.view.user_id)
        ]
        return views, str(page[-1].serial) if next(walk, None) is not None else None

    def _claim(self, most: int, at_ms: int, again: bool) -> Claim:
        mine = self.place.owed.setdefault(self._node, {})
        looked: list[str] = []
        lost: list[LostConnection] = []
        if again:
            looked = list(islice(mine, most))
            debts = [mine.pop(connection_id) for connection_id in looked]
            lost = [debt for debt in debts if not self._lives(debt.connection_id)]
        taken, found = self._take(most - len(looked), at_ms)
        lost += found
        mine.update((debt.connection_id, debt) for debt in lost)
        return Claim(len(looked) + len(taken), tuple(lost))

    def _take(self, most: int, at_ms: int) -> tuple[list[str], list[LostConnection]]:
        """Whom dead nodes have left, and of whom the backend is to be told."""
        place = self.place
        looked: list[str] = []
        lost: list[LostConnection] = []
        for node in sorted({*place.known, *place.owed} - {self._node}):
            if place.lives(node):
                continue
            owed, known = place.owed.get(node, {}), place.known.get(node, {})
            while owed and len(looked) < most:
                connection_id, debt = owed.popitem()
                looked.append(connection_id)
                if not self._lives(connection_id):
                    lost.append(debt)
            while known and len(looked) < most:
                connection_id, view = known.popitem()
                looked.append(connection_id)
                entry = place.entries.get(connection_id)
                if entry is None or entry.node == node:
                    place.forget(connection_id, view)
                    lost.append(_lost(view, node, at_ms))
        return looked, lost

    def _lives(self, connection_id: str) -> bool:
        return self.place.shown(self.place.entries.get(connection_id))

    def _settle(self, connection_ids: Sequence[str]) -> None:
        for connection_id in connection_ids:
            self.place.owed.get(self._node, {}).pop(connection_id, None)


def _lost(view: ConnectionView, node: str, at_ms: int) -> LostConnection:
    return LostConnection(
        view.connection_id, view.user_id, view.subjects, view.connected_at, view.client_ip, node, at_ms
    )


def _keys(view: ConnectionView) -> list[_Key]:
    return [("user", view.user_id), *(("subject", subject) for subject in view.subjects)]


def _serial(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 20):
        raise ValueError("not a cursor of ours")
    return int(cursor)
