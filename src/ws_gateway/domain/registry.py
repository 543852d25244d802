"""Who is connected here: by id, by user and by subject. The only place where the two streets meet."""

from collections.abc import Iterable, Mapping, Sequence, Set
from itertools import count, islice
from types import MappingProxyType

from zope.interface import implementer

from ws_gateway.domain.messages import ConnectionView
from ws_gateway.domain.subjects import EVERYBODY
from ws_gateway.interfaces import IConnection, IConnectionDirectory, IConnectionObserver

__all__ = ["Registry"]

Members = dict[str, IConnection]

_NOBODY: Mapping[str, IConnection] = MappingProxyType({})


@implementer(IConnectionDirectory)
class Registry:
    """Connections in the order in which they came; every look-up costs nothing for those it does not find."""

    def __init__(self) -> None:
        self._all: Members = {}
        self._serials: dict[str, int] = {}
        self._next_serial = count(1)
        self._by_user: dict[str, Members] = {}
        self._by_subject: dict[str, Members] = {}
        self._observer: IConnectionObserver | None = None

    def __len__(self) -> int:
        return len(self._all)

    def observe(self, observer: IConnectionObserver) -> None:
        """Tell somebody, from now on, who comes and goes."""
        self._observer = observer

    def add(self, connection: IConnection) -> None:
        """A connection opened. Its id is new."""
        key = connection.connection_id
        self._all[key] = connection
        self._serials[key] = next(self._next_serial)
        self._by_user.setdefault(connection.user_id, {})[key] = connection
        for subject in connection.subjects:
            self._by_subject.setdefault(subject, {})[key] = connection
        if self._observer is not None:
            self._observer.came(connection)

    def remove(self, connection: IConnection) -> None:
        """A connection is gone. Removing one that is not here (any more) does nothing."""
        key = connection.connection_id
        if self._all.get(key) is not connection:
            return
        del self._all[key], self._serials[key]
        _take_out(self._by_user, connection.user_id, key)
        for subject in connection.subjects:
            _take_out(self._by_subject, subject, key)
        if self._observer is not None:
            self._observer.went(connection)

    def count_of_user(self, user_id: str) -> int:
        """How many connections a user has here."""
        return len(self._by_user.get(user_id, _NOBODY))

    def subject_count(self) -> int:
        """How many subjects somebody listens to."""
        return len(self._by_subject)

    def members(self, subject: str) -> Mapping[str, IConnection]:
        """The connections of a subject, by id; a live view, so do not keep it."""
        return self._all if subject == EVERYBODY else self._by_subject.get(subject, _NOBODY)

    def find(self, connection_id: str) -> IConnection | None:
        """The connection with an id, if it is here."""
        return self._all.get(connection_id)

    def ids(self) -> list[str]:
        """The ids of all connections, in the order in which they came; cheap, and holds none of them."""
        return list(self._all)

    def everyone(self) -> list[IConnection]:
        """All connections, as a copy."""
        return list(self._all.values())

    def page(
        self,
        subject: str | None = None,
        user_id: str | None = None,
        cursor: str | None = None,
        limit: int | None = None,
    ) -> tuple[list[ConnectionView], str | None]:
        """See IConnectionDirectory. The cursor is the serial number of the last connection shown."""
        after = _serial(cursor)
        found = self._matching(subject, user_id)
        serials = self._serials
        later = (one for one in found if serials[one.connection_id] > after) if after else iter(found)
        if limit is None:
            return [one.view() for one in later], None
        page = list(islice(later, limit))
        more = next(later, None) is not None
        following = str(serials[page[-1].connection_id]) if more and page else None
        return [one.view() for one in page], following

    def listening(self, subjects: Sequence[str], excluded: Set[str]) -> int:
        """See IConnectionDirectory."""
        if len(subjects) == 1:
            members = self.members(subjects[0])
            return len(members) - sum(1 for connection_id in excluded if connection_id in members)
        found = set().union(*[self.members(subject) for subject in subjects])
        return len(found - excluded if excluded else found)

    def count(self, connection_id: str | None = None, user_id: str | None = None) -> int:
        """See IConnectionDirectory."""
        return len(self._meant(connection_id, user_id))

    def disconnect(
        self, code: int, reason: str, connection_id: str | None = None, user_id: str | None = None
    ) -> int:
        """See IConnectionDirectory."""
        told = self._meant(connection_id, user_id)
        for connection in told:
            connection.kick(code, reason)
        return len(told)

    def _meant(self, connection_id: str | None, user_id: str | None) -> list[IConnection]:
        if connection_id is None:
            return list(self._by_user.get(user_id, _NOBODY).values()) if user_id is not None else []
        one = self._all.get(connection_id)
        return [one] if one is not None and user_id in (None, one.user_id) else []

    def _matching(self, subject: str | None, user_id: str | None) -> Iterable[IConnection]:
        if user_id is not None:
            mine = self._by_user.get(user_id, _NOBODY).values()
            return mine if subject is None else [one for one in mine if subject in one.subjects]
        return self._all.values() if subject is None else self._by_subject.get(subject, _NOBODY).values()


def _take_out(index: dict[str, Members], name: str, key: str) -> None:
    members = index.get(name)
    if members is not None:
        members.pop(key, None)
        if not members:
            del index[name]


def _serial(cursor: str | None) -> int:
    if cursor is None:
        return 0
    if not (cursor.isascii() and cursor.isdecimal() and len(cursor) <= 20):
        raise ValueError("not a cursor of ours")
    return int(cursor)
