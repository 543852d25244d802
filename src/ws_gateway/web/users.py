"""`/internal/users/{user_id}/connections` and `/internal/users/{user_id}/disconnect`: all of one user.

The id is percent-decoded, a slash being `%2F`. Where a proxy refuses that, the same is had from
`/internal/connections?user_id=` and `/internal/disconnect`.
"""

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource
from twisted.web.server import Request

from ws_gateway.domain.codec import decode_kick
from ws_gateway.domain.messages import Kick
from ws_gateway.interfaces import IConnectionDirectory, IPresenceStore, IRelay
from ws_gateway.web.body import read_json
from ws_gateway.web.connections import ConnectionList
from ws_gateway.web.disconnecting import DisconnectingResource
from ws_gateway.web.path import MALFORMED_PATH, path_text
from ws_gateway.web.query import Query
from ws_gateway.web.resource import Branch
from ws_gateway.web.scope import reaches_cluster

__all__ = ["Users"]


class Users(Branch):
    """Has every user as a child, be they connected or not."""

    def __init__(
        self,
        directory: IConnectionDirectory,
        presence: IPresenceStore | None,
        clock: IReactorTime,
        relay: IRelay | None,
        max_bytes: int,
    ) -> None:
        super().__init__()
        self._directory = directory
        self._presence = presence
        self._clock = clock
        self._relay = relay
        self._max_bytes = max_bytes

    def getChild(self, path: bytes, request: Request) -> IResource:
        if not path:
            return super().getChild(path, request)
        user_id = path_text(path)
        if user_id is None:
            return MALFORMED_PATH
        user = Branch()
        user.putChild(b"connections", UserConnections(self._directory, self._presence, self._clock, user_id))
        user.putChild(b"disconnect", UserDisconnect(self._directory, self._relay, self._max_bytes, user_id))
        return user


class UserConnections(ConnectionList):
    """Lists the connections of one user."""

    def __init__(
        self,
        directory: IConnectionDirectory,
        presence: IPresenceStore | None,
        clock: IReactorTime,
        user_id: str,
    ) -> None:
        super().__init__(directory, presence, clock)
        self._owner = user_id

    def _user_id(self, query: Query) -> str:
        return self._owner


class UserDisconnect(DisconnectingResource):
    """`POST` closes all connections of one user; `code` and `reason` may stand in a body."""

    def __init__(
        self, directory: IConnectionDirectory, relay: IRelay | None, max_bytes: int, user_id: str
    ) -> None:
        super().__init__(directory, relay, max_bytes)
        self._user_id = user_id

    def render_POST(self, request: Request) -> bytes | int:
        cluster = reaches_cluster(Query(request), self._relay is not None)
        said = decode_kick(read_json(request))
        return self._disconnect(request, Kick(said.code, said.reason, self._user_id), cluster)
