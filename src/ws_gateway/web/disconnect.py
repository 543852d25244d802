"""`POST /internal/disconnect` `{"user_id"?,"connection_id"?,"code"?,"reason"?}`.

Answers `{"disconnected": n}`.

At least one of the two ids is given; with both, only a connection that fits both is closed.
"""

from twisted.web.server import Request

from ws_gateway.interfaces import IConnectionDirectory
from ws_gateway.web.answers import json_body
from ws_gateway.web.body import BodyResource, read_json
from ws_gateway.web.kick import kick_from_body
from ws_gateway.web.problem import Refused
from ws_gateway.web.query import Query
from ws_gateway.web.scope import check_scope

__all__ = ["Disconnect"]


class Disconnect(BodyResource):
    """Closes connections by ids of any form, which a path may not carry."""

    def __init__(self, directory: IConnectionDirectory, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._directory = directory

    def render_POST(self, request: Request) -> bytes:
        check_scope(Query(request))
        kick = kick_from_body(read_json(request))
        if kick.user_id is None and kick.connection_id is None:
            raise Refused(422, "user_id or connection_id is missing", "user_id")
        count = self._directory.disconnect(
            kick.code, kick.reason, connection_id=kick.connection_id, user_id=kick.user_id
        )
        return json_body(request, {"disconnected": count})
