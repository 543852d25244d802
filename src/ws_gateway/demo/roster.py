"""Who is online, kept from two sources: events as they come, and now and then the gateway's own list.

The list is older than the events that arrive while it travels, so these are noted and applied to it again.
Connection ids are never reused: who left stays away.
"""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["Roster"]


class Roster:
    """A map of connections to users. Pure: no clock, no network."""

    def __init__(self) -> None:
        self._users: dict[str, str] = {}
        self._since: list[tuple[str, str | None]] | None = None

    @property
    def users(self) -> tuple[str, ...]:
        """The ids of all users with at least one connection, sorted."""
        return tuple(sorted(set(self._users.values())))

    def joined(self, connection_id: str, user_id: str) -> None:
        """A connection is there (its `connected`, or any later event of it)."""
        self._users[connection_id] = user_id
        if self._since is not None:
            self._since.append((connection_id, user_id))

    def left(self, connection_id: str) -> None:
        """A connection is gone; one that nobody knows is no error."""
        self._users.pop(connection_id, None)
        if self._since is not None:
            self._since.append((connection_id, None))

    def await_list(self) -> None:
        """The gateway's list is being asked for: note what happens from here on."""
        self._since = []

    def forget_list(self) -> None:
        """The list did not come after all."""
        self._since = None

    def replace(self, connections: Mapping[str, str]) -> bool:
        """The list is here: take it, then what happened since it was asked for.

        :param connections: connection id to user id.
        :returns: whether other users are online than before.
        """
        before = self.users
        self._users = dict(connections)
        for connection_id, user_id in self._since or ():
            if user_id is None:
                self._users.pop(connection_id, None)
            else:
                self._users[connection_id] = user_id
        self._since = None
        return self.users != before
