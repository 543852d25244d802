"""`GET /api/ws/last-message`: what a client said last, and who.

200 `{"ok":true,"data":{connection_id,user_id,subjects,connected_at,message,raw,received_at}}`, 401 without
the demo key if one is configured, 404 `no message yet`.
"""

from __future__ import annotations

from twisted.web.server import Request

from ws_gateway.demo.answers import DemoKey, Leaf, answer_json, answer_problem
from ws_gateway.demo.room import Room

__all__ = ["LastMessage"]


class LastMessage(Leaf):
    """Shows that messages arrive."""

    def __init__(self, room: Room, key: DemoKey) -> None:
        super().__init__()
        self._room = room
        self._key = key

    def render_GET(self, request: Request) -> bytes:
        if not self._key.admits(request):
            return answer_problem(request, 401, "unauthorized")
        heard = self._room.last
        if heard is None:
            return answer_problem(request, 404, "no message yet")
        data = {
            "connection_id": heard.event.connection_id,
            "user_id": heard.event.user_id,
            "subjects": heard.event.subjects,
            "connected_at": heard.event.connected_at,
            "message": heard.event.message,
            "raw": heard.event.raw,
            "received_at": heard.received_at,
        }
        return answer_json(request, {"ok": True, "data": data})
