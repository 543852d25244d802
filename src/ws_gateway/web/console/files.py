"""The page and its files: nothing secret in them, nothing loaded from elsewhere."""

import re
from importlib.resources import files

from twisted.web.server import Request

from ws_gateway.web.resource import ApiResource

__all__ = ["FILES", "File", "Page"]

FILES = {
    "console.css": b"text/css; charset=utf-8",
    "console.js": b"text/javascript; charset=utf-8",
    "feed.js": b"text/javascript; charset=utf-8",
    "parts.js": b"text/javascript; charset=utf-8",
}
"""What belongs to the page, with its media type."""

_HOST = re.compile(rb"[A-Za-z0-9._-]+(:[0-9]+)?|\[[0-9A-Fa-f:.]+\](:[0-9]+)?")


class File(ApiResource):
    """One file of this package, read once.

    :param name: one of FILES, or the page itself.
    """

    isLeaf = True

    def __init__(self, name: str, media_type: bytes) -> None:
        super().__init__()
        self._body = files("ws_gateway.web.console").joinpath(name).read_bytes()
        self._media_type = media_type

    def render_GET(self, request: Request) -> bytes:
        request.setHeader(b"Content-Type", self._media_type)
        request.setHeader(b"X-Content-Type-Options", b"nosniff")
        request.setHeader(b"Cross-Origin-Resource-Policy", b"same-origin")
        return self._body


class Page(File):
    """The page itself, with the rules for the browser that shows it."""

    isLeaf = False

    def __init__(self) -> None:
        super().__init__("console.html", b"text/html; charset=utf-8")

    def render_GET(self, request: Request) -> bytes:
        policy = (
            b"default-src 'none'; script-src 'self'; style-src 'self'; img-src data:;"
            b" connect-src 'self'%b; base-uri 'none'; form-action 'none'; frame-ancestors 'none';"
            b" require-trusted-types-for 'script'; trusted-types 'none'"
        )
        request.setHeader(b"Content-Security-Policy", policy % _sockets(request))
        request.setHeader(b"Referrer-Policy", b"no-referrer")
        request.setHeader(b"Cross-Origin-Opener-Policy", b"same-origin")
        request.setHeader(b"X-Frame-Options", b"DENY")
        return super().render_GET(request)


def _sockets(request: Request) -> bytes:
    """The feed's origin, for browsers in which 'self' means HTTP only. A strange `Host` is not repeated."""
    host = request.getHeader(b"Host") or b""
    return b" ws://%b wss://%b" % (host, host) if _HOST.fullmatch(host) else b""
