"""`/internal/users/{user_id}/connections` and `/internal/users/{user_id}/disconnect`: all of one user.

The id is percent-decoded, a slash being `%2F`. Where a proxy refuses that, the same is had from
`/internal/connections?user_id=` and `/internal/disconnect`.
"""

from twisted.internet.interfaces import IReactorTime
from twisted.web.resource import IResource
from twisted.web.server import Request

from ws_gateway.interfaces import IConnectionDirectory
from ws_gateway.web.answers import json_body
from ws_gateway.web.body import BodyResource, read_json
from ws_gateway.web.connections import Connections
from ws_gateway.web.kick import kick_from_body
from ws_gateway.web.path import MALFORMED_PATH, path_text
from ws_gateway.web.query import Query
from ws_gateway.web.resource import Branch
from ws_gateway.web.scope import check_scope

__all__ = ["Users"]


class Users(Branch):
    """Has every user as a child, be they connected or not."""

    def __init__(self, directory: IConnectionDirectory, clock: IReactorTime, max_bytes: int) -> None:
        super().__init__()
        self._directory = directory
        self._clock = clock
        self._max_bytes = max_bytes

    def getChild(self, path: bytes, request: Request) -> IResource:
        if not path:
            return super().getChild(path, request)
        user_id = path_text(path)
        if user_id is None:
            return MALFORMED_PATH
        user = Branch()
        user.putChild(b"connections", UserConnections(self._directory, self._clock, user_id))
        user.putChild(b"disconnect", UserDisconnect(self._directory, self._max_bytes, user_id))
        return user


class UserConnections(Connections):
    """Lists the connections of one user."""

    def __init__(self, directory: IConnectionDirectory, clock: IReactorTime, user_id: str) -> None:
        super().__init__(directory, clock)
        self._owner = user_id

    def getChild(self, path: bytes, request: Request) -> IResource:
        return Branch.getChild(self, path, request)

    def _user_id(self, query: Query) -> str:
        return self._owner


class UserDisconnect(BodyResource):
    """`POST` closes all connections of one user; `code` and `reason` may stand in a body."""

    def __init__(self, directory: IConnectionDirectory, max_bytes: int, user_id: str) -> None:
        super().__init__(max_bytes)
        self._directory = directory
        self._user_id = user_id

    def render_POST(self, request: Request) -> bytes:
        check_scope(Query(request))
        kick = kick_from_body(read_json(request))
        count = self._directory.disconnect(kick.code, kick.reason, user_id=self._user_id)
        return json_body(request, {"disconnected": count})
