"""`DELETE /internal/connections/{id}?code=&reason=`: close one connection.

204 if it is on this node, where it is closed at once. Else, with a broker, 202 `{"relayed":true}`: all nodes
are told, and nobody knows whether one of them has it. Without a broker, or with `scope=node`, 404.
"""

from twisted.web.server import Request

from ws_gateway.domain.codec import encode_kick
from ws_gateway.interfaces import IConnectionDirectory, IRelay
from ws_gateway.web.answers import answer_with, json_body
from ws_gateway.web.kick import kick_from_query
from ws_gateway.web.problem import Refused
from ws_gateway.web.query import Query
from ws_gateway.web.resource import ApiResource
from ws_gateway.web.scope import reaches_cluster

__all__ = ["Connection"]


class Connection(ApiResource):
    """One connection.

    :param relay: the way to all nodes; None: there are no others.
    """

    def __init__(self, directory: IConnectionDirectory, relay: IRelay | None, connection_id: str) -> None:
        super().__init__()
        self._directory = directory
        self._relay = relay
        self._connection_id = connection_id

    def render_DELETE(self, request: Request) -> bytes | int:
        query = Query(request)
        cluster = reaches_cluster(query, self._relay is not None)
        kick = kick_from_query(query, self._connection_id)
        if self._directory.disconnect(kick.code, kick.reason, connection_id=self._connection_id):
            request.setResponseCode(204)
            return b""
        if not cluster or self._relay is None:
            raise Refused(404, "there is no such connection on this node")
        return answer_with(
            request, self._relay.relay([encode_kick(kick)]).addCallback(lambda _: _relayed(request))
        )


def _relayed(request: Request) -> bytes:
    request.setResponseCode(202)
    return json_body(request, {"relayed": True})
