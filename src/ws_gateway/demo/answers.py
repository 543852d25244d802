"""How the demo answers: JSON, and problem documents (RFC 9457) for everything that goes wrong."""

from __future__ import annotations

import hmac
import json
from http import HTTPStatus
from typing import Any, ClassVar

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from ws_gateway.demo.gateway import GatewayDown, GatewayFault

__all__ = ["DemoKey", "Folder", "Leaf", "Missing", "answer_json", "answer_later", "answer_problem"]

_log = Logger()


def answer_json(
    request: Request, document: Any, status: int = 200, media_type: str = "application/json"
) -> bytes:
    """The body of an answer, its status and headers set; nothing that the demo says may be stored."""
    body = json.dumps(document, separators=(",", ":")).encode()
    request.setResponseCode(status)
    request.setHeader("Content-Type", media_type)
    request.setHeader("Content-Length", str(len(body)))
    request.setHeader("Cache-Control", "no-store")
    request.setHeader("X-Content-Type-Options", "nosniff")
    return body


def answer_problem(request: Request, status: int, detail: str) -> bytes:
    """The body of an answer that says no."""
    problem = {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}
    return answer_json(request, problem, status, "application/problem+json")


def answer_later(request: Request, answer: Deferred[Any]) -> int:
    """Answer when the gateway has answered us.

    :param answer: fires with a document. It is cancelled when the client goes away.
    :returns: what a `render_` method returns then.
    """
    gone = request.notifyFinish()
    gone.addErrback(lambda _: answer.cancel())

    def fail(failure: Failure) -> bytes | None:
        fault = failure.value
        if isinstance(fault, CancelledError):
            return None
        if isinstance(fault, GatewayFault):
            _log.warn("the gateway did not help: {detail}", detail=fault.detail)
            if isinstance(fault, GatewayDown):
                request.setHeader("Retry-After", "2")
                return answer_problem(request, 503, "the gateway cannot be reached")
            return answer_problem(request, 502, "the gateway refused")
        _log.failure("a bug in an answer", failure)
        return answer_problem(request, 500, "the demo failed")

    def finish(body: bytes | None) -> None:
        if body is not None:
            request.write(body)
            request.finish()

    answer.addCallback(lambda document: answer_json(request, document))
    answer.addErrback(fail)
    answer.addCallback(finish)
    answer.addErrback(lambda failure: _log.failure("an answer could not be written", failure))
    return NOT_DONE_YET


class DemoKey:
    """The key that callers of the demo's own API show in `X-Demo-Key`, if one is configured."""

    def __init__(self, key: str) -> None:
        self._key = key.encode()

    def admits(self, request: Request) -> bool:
        """Whether the caller showed the key; in constant time. Without a key everybody may."""
        shown = request.requestHeaders.getRawHeaders(b"X-Demo-Key", [b""])[0].strip()
        return not self._key or hmac.compare_digest(shown, self._key)


class Leaf(Resource):
    """A resource without children that answers other methods than its own by 405."""

    isLeaf = True
    methods: ClassVar[tuple[bytes, ...]] = (b"GET", b"HEAD")

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def render(self, request: Request) -> bytes | int:
        if request.postpath:
            return answer_problem(request, 404, "there is nothing here")
        if request.method not in self.methods:
            request.setHeader(b"Allow", b", ".join(self.methods))
            return answer_problem(request, 405, "this method is not for this address")
        answer: bytes | int = super().render(request)  # type: ignore[no-untyped-call]
        return answer


class Folder(Resource):
    """A part of a path: has children, and nothing of its own."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    def getChild(self, path: bytes, request: Request) -> Resource:
        return Missing()

    def render(self, request: Request) -> bytes | int:
        return answer_problem(request, 404, "there is nothing here")


class Missing(Leaf):
    """Everything that is not there."""

    def render(self, request: Request) -> bytes | int:
        return answer_problem(request, 404, "there is nothing here")
