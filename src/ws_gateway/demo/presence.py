"""Who is connected to any node, in core mode: as the nodes keep it in Redis, or as events have told it."""

from __future__ import annotations

from twisted.internet.defer import Deferred, succeed

from ws_gateway.backend import Connection, Disconnected, Event
from ws_gateway.demo.gateway import GatewayDown, GatewayRefused
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IPresenceStore

__all__ = ["HeardConnections", "StoredConnections"]

_PAGE = 1000


class StoredConnections:
    """Presence in Redis: nodes that died are not in it, and who came while we were away is."""

    def __init__(self, store: IPresenceStore) -> None:
        self._store = store

    def connections(self, user_id: str | None) -> Deferred[list[Connection]]:
        """All, or those of one user."""
        return Deferred.fromCoroutine(self._ask(user_id))

    def hear(self, event: Event) -> None:
        """The nodes have told Redis."""

    async def _ask(self, user_id: str | None) -> list[Connection]:
        found: dict[str, Connection] = {}
        cursor: str | None = None
        while True:
            try:
                views, cursor = await self._store.page(None, user_id, cursor, _PAGE)
            except BrokerDown as error:
                raise GatewayDown(error.detail) from error
            except BrokerRefused as error:
                raise GatewayRefused(str(error)) from error
            for view in views:
                found[view.connection_id] = Connection(
                    connection_id=view.connection_id,
                    user_id=view.user_id,
                    subjects=view.subjects,
                    connected_at=view.connected_at,
                    last_seen_at=view.last_seen_at,
                )
            if cursor is None:
                return list(found.values())


class HeardConnections:
    """What events have told since we are there. A node that is killed never says who left."""

    def __init__(self) -> None:
        self._found: dict[str, Connection] = {}

    def hear(self, event: Event) -> None:
        """An event came."""
        if isinstance(event, Disconnected):
            self._found.pop(event.connection_id, None)
        else:
            self._found[event.connection_id] = Connection(
                connection_id=event.connection_id,
                user_id=event.user_id,
                subjects=tuple(event.subjects),
                connected_at=event.connected_at,
            )

    def connections(self, user_id: str | None) -> Deferred[list[Connection]]:
        """All, or those of one user."""
        return succeed([one for one in self._found.values() if user_id in (None, one.user_id)])
