"""`GET /demo/token?user=NAME`: a token for the chat page, in demo mode only.

200 `{"token","user_id","expires_at"}`, 400 for what cannot be a name. `user_id` is the name as the demo
uses it.
"""

from __future__ import annotations

from twisted.web.server import Request

from ws_gateway.demo.answers import Leaf, answer_json, answer_problem
from ws_gateway.demo.tokens import TokenIssuer, user_name

__all__ = ["DemoToken"]


class DemoToken(Leaf):
    """Gives anybody any name. No browser page of another origin can read the answer."""

    def __init__(self, issuer: TokenIssuer) -> None:
        super().__init__()
        self._issuer = issuer

    def render_GET(self, request: Request) -> bytes:
        asked = request.args.get(b"user", [b""])[0].decode("utf-8", "replace")
        name = None if "\ufffd" in asked else user_name(asked)
        if name is None:
            return answer_problem(request, 400, "user is a name of 1 to 32 printable characters")
        token = self._issuer.issue(name)
        return answer_json(request, {"token": token.jwt, "user_id": name, "expires_at": token.expires_at})
