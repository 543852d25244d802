"""`GET /api/online?user_id=`: who is connected, as the gateway tells it at this moment.

200 `{"connections":[{connection_id,user_id,subjects,connected_at,last_seen_at}]}` without client addresses,
401 without the demo key if one is configured, 502 or 503 when the gateway does not help.
"""

from __future__ import annotations

from typing import Any

from twisted.web.server import Request

from ws_gateway.backend import Calls, Connection
from ws_gateway.demo.answers import DemoKey, Leaf, answer_later, answer_problem
from ws_gateway.demo.gateway import GatewayClient

__all__ = ["Online"]


class Online(Leaf):
    """Shows that a backend can ask for presence without keeping any."""

    def __init__(self, calls: Calls, gateway: GatewayClient, key: DemoKey) -> None:
        super().__init__()
        self._calls = calls
        self._gateway = gateway
        self._key = key

    def render_GET(self, request: Request) -> bytes | int:
        if not self._key.admits(request):
            return answer_problem(request, 401, "unauthorized")
        wanted = request.args.get(b"user_id", [b""])[0].decode("utf-8", "replace")
        found = self._gateway.send(self._calls.connections(user_id=wanted or None))
        return answer_later(request, found.addCallback(_document))


def _document(connections: list[Connection]) -> dict[str, Any]:
    return {
        "connections": [
            {
                "connection_id": connection.connection_id,
                "user_id": connection.user_id,
                "subjects": connection.subjects,
                "connected_at": connection.connected_at,
                "last_seen_at": connection.last_seen_at,
            }
            for connection in connections
        ]
    }
