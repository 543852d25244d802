"""`POST /internal/disconnect` `{"user_id"?,"connection_id"?,"code"?,"reason"?}`.

Answers `{"disconnected": n}`, and `"relayed": true` where the order went to all nodes; n is then how many of
this node fit.

At least one of the two ids is given; with both, only a connection that fits both is closed.
"""

from twisted.web.server import Request

from ws_gateway.domain.codec import decode_kick
from ws_gateway.web.body import read_json
from ws_gateway.web.disconnecting import DisconnectingResource
from ws_gateway.web.problem import Refused
from ws_gateway.web.query import Query
from ws_gateway.web.scope import reaches_cluster

__all__ = ["Disconnect"]


class Disconnect(DisconnectingResource):
    """Closes connections by ids of any form, which a path may not carry."""

    def render_POST(self, request: Request) -> bytes | int:
        cluster = reaches_cluster(Query(request), self._relay is not None)
        kick = decode_kick(read_json(request))
        if kick.user_id is None and kick.connection_id is None:
            raise Refused(422, "user_id or connection_id is missing", "user_id")
        return self._disconnect(request, kick, cluster)
