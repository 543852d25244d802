"""Answers on their way out: whole, with a length, never cached."""

import orjson
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request

from ws_gateway.web.problem import problem_for

__all__ = ["answer_with", "json_body", "send"]

_log = Logger()

_BODILESS = (204, 304)


def json_body(request: Request, document: object) -> bytes:
    """A JSON answer.

    :returns: its body; the header says what it is.
    """
    request.setHeader(b"Content-Type", b"application/json")
    return orjson.dumps(document)


def send(request: Request, body: bytes) -> None:
    """Write an answer and finish the request."""
    request.setHeader(b"Cache-Control", b"no-store")
    if request.code not in _BODILESS:
        request.setHeader(b"Content-Length", b"%d" % len(body))
    request.write(body)
    request.finish()


def answer_with(request: Request, body: Deferred[bytes], give_up: bool = False) -> int:
    """Send what a Deferred brings, be it there already or not; a failure becomes a problem document.

    :param body: fires with the body of the answer.
    :param give_up: cancel the Deferred when the client leaves. Without it the work goes on, unseen.
    :returns: what `render` has to return.
    """
    present = True

    def left(_: Failure) -> None:
        nonlocal present
        present = False
        if give_up:
            body.cancel()

    def failed(failure: Failure) -> bytes:
        if not present and failure.check(CancelledError):
            return b""
        return problem_for(failure).render(request)

    def ready(answer: bytes) -> None:
        if present:
            send(request, answer)

    request.notifyFinish().addErrback(left)
    body.addErrback(failed).addCallback(ready)
    body.addErrback(lambda failure: _log.failure("an HTTP answer could not be sent", failure=failure))
    return NOT_DONE_YET
