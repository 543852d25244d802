"""`GET /demo/chat` and the files that belong to it, in demo mode only.

The page gets the address of its WebSocket in a `meta` element, and a policy that allows nothing but the
page's own files and that one address.
"""

from __future__ import annotations

import hashlib
import html
import re
from collections.abc import Sequence
from importlib.resources import files

from twisted.web.resource import Resource
from twisted.web.server import Request

from ws_gateway.demo.answers import Leaf

__all__ = ["ChatPage", "add_chat"]

_FILES = {
    "chat.css": "text/css; charset=utf-8",
    "chat.js": "text/javascript; charset=utf-8",
    "connection.js": "text/javascript; charset=utf-8",
    "frames.js": "text/javascript; charset=utf-8",
}
_NAME = re.compile(r"[A-Za-z0-9._-]+\Z")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+\Z")


def add_chat(parent: Resource, ws_urls: Sequence[str], ws_port: int) -> None:
    """Put the page and its files under `parent`."""
    parent.putChild(b"chat", ChatPage(_read("chat.html"), ws_urls, ws_port))
    for name, media_type in _FILES.items():
        parent.putChild(name.encode(), _File(_read(name), media_type))


class ChatPage(Leaf):
    """The page itself."""

    def __init__(self, template: bytes, ws_urls: Sequence[str], ws_port: int) -> None:
        """
        :param ws_urls: where the page connects: to the first, or to the one that the query names (`node=2`);
            none: to the host that serves it, at `ws_port`.
        """
        super().__init__()
        self._template = template
        self._ws_urls = ws_urls
        self._ws_port = ws_port

    def render_GET(self, request: Request) -> bytes:
        ws_url = self._chosen(request) or _derived(request, self._ws_port)
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:;"
            f" connect-src 'self' {ws_url};"
            " base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        body = self._template.replace(b"{{ws_url}}", html.escape(ws_url).encode())
        request.setHeader("Content-Security-Policy", policy)
        request.setHeader("Referrer-Policy", "no-referrer")
        request.setHeader("Cross-Origin-Opener-Policy", "same-origin")
        return _static(request, body, "text/html; charset=utf-8")

    def _chosen(self, request: Request) -> str:
        """One of ours: an address in the query would have the token sent to whoever made the link."""
        number = request.args.get(b"node", [b"1"])[0]
        at = int(number) - 1 if number.isdigit() and len(number) < 5 else 0
        return self._ws_urls[at if 0 <= at < len(self._ws_urls) else 0] if self._ws_urls else ""


class _File(Leaf):
    def __init__(self, body: bytes, media_type: str) -> None:
        super().__init__()
        self._body = body
        self._media_type = media_type

    def render_GET(self, request: Request) -> bytes:
        return _static(request, self._body, self._media_type)


def _static(request: Request, body: bytes, media_type: str) -> bytes:
    request.setHeader("Content-Type", media_type)
    request.setHeader("X-Content-Type-Options", "nosniff")
    request.setHeader("Cache-Control", "no-cache")
    tag = b'"%b"' % hashlib.sha256(body).hexdigest()[:32].encode()
    return b"" if request.setETag(tag) else body


def _derived(request: Request, port: int) -> str:
    """The gateway beside us: the host as the visitor's browser knows it. A strange `Host` is not repeated."""
    host = request.getRequestHostname().decode("latin-1")
    if ":" in host and _IPV6.match(host):
        host = f"[{host}]"
    elif not _NAME.match(host):
        host = request.getHost().host
    return f"{'wss' if request.isSecure() else 'ws'}://{host}:{port}/ws"


def _read(name: str) -> bytes:
    return files("ws_gateway.demo").joinpath(name).read_bytes()
