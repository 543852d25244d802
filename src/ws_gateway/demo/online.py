"""`GET /api/online?user_id=`: who is connected, as the gateway or its presence in Redis tells it now.

200 `{"connections":[{connection_id,user_id,subjects,connected_at,last_seen_at}]}` without client addresses,
401 without the demo key if one is configured, 502 or 503 when the gateway does not help.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.server import Request

from ws_gateway.backend import Connection
from ws_gateway.demo.answers import DemoKey, Leaf, answer_later, answer_problem

__all__ = ["Connections", "Online"]

Connections = Callable[[str | None], Deferred[list[Connection]]]
"""Tells who is connected, all or one user; fails with GatewayFault."""


class Online(Leaf):
    """Shows that a backend can ask for presence without keeping any."""

    def __init__(self, connections: Connections, key: DemoKey) -> None:
        super().__init__()
        self._connections = connections
        self._key = key

    def render_GET(self, request: Request) -> bytes | int:
        if not self._key.admits(request):
            return answer_problem(request, 401, "unauthorized")
        wanted = request.args.get(b"user_id", [b""])[0].decode("utf-8", "replace")
        found = self._connections(wanted or None)
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
