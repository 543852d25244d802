"""`DELETE /internal/connections/{id}?code=&reason=`: close one connection. 204, or 404 if there is none."""

from twisted.web.server import Request

from ws_gateway.interfaces import IConnectionDirectory
from ws_gateway.web.kick import kick_from_query
from ws_gateway.web.problem import Refused
from ws_gateway.web.query import Query
from ws_gateway.web.resource import ApiResource
from ws_gateway.web.scope import check_scope

__all__ = ["Connection"]


class Connection(ApiResource):
    """One connection of this node."""

    def __init__(self, directory: IConnectionDirectory, connection_id: str) -> None:
        super().__init__()
        self._directory = directory
        self._connection_id = connection_id

    def render_DELETE(self, request: Request) -> bytes:
        query = Query(request)
        check_scope(query)
        kick = kick_from_query(query)
        if not self._directory.disconnect(kick.code, kick.reason, connection_id=self._connection_id):
            raise Refused(404, "there is no such connection on this node")
        request.setResponseCode(204)
        return b""
