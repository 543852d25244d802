"""Whether a browser sends a request on behalf of another site.

A browser that was given the key once, in its login dialog (HTTP Basic), adds it to every later request to
this origin, also to those that a foreign page makes it send. So a key that came this way changes nothing
unless the request comes from our own page. `Sec-Fetch-Site` says so where the browser sends it, which is
over TLS and on localhost; everywhere else `Origin` does. Backends send neither.
"""

from twisted.web.server import Request

from ws_gateway.domain.origins import OriginRule

__all__ = ["SAME_HOST", "is_foreign"]

SAME_HOST = OriginRule(["about:nowhere"])
"""Pages of the same host, and whoever is no browser."""

_OURS = ("same-origin", "none")
_SAFE = (b"GET", b"HEAD")


def is_foreign(request: Request) -> bool:
    """Whether this request would change something, and another site's page is behind it."""
    if request.method in _SAFE:
        return False
    site = _only(request, "Sec-Fetch-Site")
    if site is not None:
        return site.lower() not in _OURS
    return not SAME_HOST.allows(_only(request, "Origin"), _only(request, "Host"))


def _only(request: Request, name: str) -> str | None:
    """The header as one value; several lines make one that nobody knows."""
    lines = request.requestHeaders.getRawHeaders(name)
    return None if lines is None else ", ".join(lines)
