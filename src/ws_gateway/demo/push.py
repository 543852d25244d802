"""`POST /api/push-demo/{user}`: sends `{"hello":"world"}` to all connections of a user.

200 `{"sent":true}` when the gateway took it (also for a user who is not connected), 401 without the demo key
if one is configured, 404 for what cannot be a user, 502 or 503 when the gateway does not help.
"""

from __future__ import annotations

from twisted.web.resource import Resource
from twisted.web.server import Request

from ws_gateway.backend import Calls
from ws_gateway.demo.answers import DemoKey, Folder, Leaf, Missing, answer_later, answer_problem
from ws_gateway.demo.gateway import IGateway

__all__ = ["PushDemo"]

_LONGEST_SUBJECT = 512


class PushDemo(Folder):
    """The last part of the path names the user."""

    def __init__(self, calls: Calls, gateway: IGateway, key: DemoKey) -> None:
        super().__init__()
        self._calls = calls
        self._gateway = gateway
        self._key = key

    def getChild(self, path: bytes, request: Request) -> Resource:
        subject = _subject(path)
        return Missing() if subject is None else _PushTo(subject, self._calls, self._gateway, self._key)


class _PushTo(Leaf):
    methods = (b"POST",)

    def __init__(self, subject: str, calls: Calls, gateway: IGateway, key: DemoKey) -> None:
        super().__init__()
        self._subject = subject
        self._calls = calls
        self._gateway = gateway
        self._key = key

    def render_POST(self, request: Request) -> bytes | int:
        if not self._key.admits(request):
            return answer_problem(request, 401, "unauthorized")
        sent = self._gateway.send(self._calls.publish([self._subject], {"hello": "world"}))
        return answer_later(request, sent.addCallback(lambda _: {"sent": True}))


def _subject(user: bytes) -> str | None:
    """The user's own subject, or None if there can be no such user."""
    try:
        subject = "user:" + user.decode()
    except UnicodeDecodeError:
        return None
    plain = not any(ord(sign) < 32 or 127 <= ord(sign) < 160 for sign in subject)
    return subject if user and plain and len(subject.encode()) <= _LONGEST_SUBJECT else None
