"""`GET /health`: `{"ok":true}`, because the process turns."""

from twisted.web.server import Request

from ws_gateway.web.resource import ApiResource

__all__ = ["Health"]


class Health(ApiResource):
    """Answers as long as the reactor does."""

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", b"application/json")
        return b'{"ok":true}'
