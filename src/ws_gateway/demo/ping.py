"""`GET /api/ping`: 200 `{"ok":true}` as long as the process turns."""

from __future__ import annotations

from twisted.web.server import Request

from ws_gateway.demo.answers import Leaf, answer_json

__all__ = ["Ping"]


class Ping(Leaf):
    """For health checks."""

    def render_GET(self, request: Request) -> bytes:
        return answer_json(request, {"ok": True})
