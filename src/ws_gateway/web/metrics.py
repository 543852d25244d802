"""`GET /metrics`: for Prometheus, in the form that its `Accept` asks for."""

from collections.abc import Callable

from twisted.web.server import Request

from ws_gateway.web.guard import KeyRing, bearer_tokens
from ws_gateway.web.problem import Problem
from ws_gateway.web.resource import ApiResource

__all__ = ["Metrics", "RenderMetrics"]

RenderMetrics = Callable[[str | None], tuple[bytes, str]]
"""From an `Accept` header, or None, to a body and its content type."""

_TOKEN_ASKED = Problem(
    401,
    "the metrics token is missing or wrong",
    headers=((b"WWW-Authenticate", b'Bearer realm="ws-gateway metrics"'),),
)


class Metrics(ApiResource):
    """Shows all instruments.

    :param tokens: what a bearer token has to fit; without any, everybody may look.
    """

    def __init__(self, render_metrics: RenderMetrics, tokens: KeyRing) -> None:
        super().__init__()
        self._render_metrics = render_metrics
        self._tokens = tokens

    def render_GET(self, request: Request) -> bytes:
        if self._tokens and not any(self._tokens.fits(candidate) for candidate in bearer_tokens(request)):
            return _TOKEN_ASKED.render(request)
        lines = request.requestHeaders.getRawHeaders(b"Accept")
        accept = None if lines is None else b", ".join(lines).decode("latin-1")
        body, content_type = self._render_metrics(accept)
        request.setHeader(b"Content-Type", content_type.encode("ascii"))
        return body
