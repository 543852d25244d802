"""Problem documents (RFC 9457): the one form in which the HTTP side says no.

`{"type":"about:blank","title":<the status in words>,"status":<int>,"detail":<one sentence>}`, and `field`
where one member, parameter or header of the request is to blame. Nothing internal stands in them.
"""

from http import HTTPStatus

import orjson
from attrs import frozen
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import Request

from ws_gateway.domain.codec import PublicationInvalid
from ws_gateway.errors import Overloaded

__all__ = ["Problem", "Refused", "problem_for"]

_log = Logger()

_RETRY_AFTER_SECONDS = b"1"


@frozen
class Problem:
    """Why a request is not answered as it wished.

    :ivar detail: one sentence for the backend's developer.
    :ivar field: what in the request is to blame; empty if it is the whole.
    :ivar headers: further header lines of the answer.
    """

    status: int
    detail: str
    field: str = ""
    headers: tuple[tuple[bytes, bytes], ...] = ()

    @property
    def title(self) -> str:
        return HTTPStatus(self.status).phrase

    def document(self) -> bytes:
        """The problem as the body of an answer."""
        members = {"type": "about:blank", "title": self.title, "status": self.status, "detail": self.detail}
        if self.field:
            members["field"] = self.field
        return orjson.dumps(members)

    def render(self, request: Request) -> bytes:
        """Make this the answer of a request.

        :returns: its body.
        """
        request.setResponseCode(self.status, self.title.encode("ascii"))
        request.setHeader(b"Content-Type", b"application/problem+json")
        for name, value in self.headers:
            request.responseHeaders.addRawHeader(name, value)
        return self.document()


class Refused(Exception):
    """Raised while a request is read, where the answer is a problem document."""

    def __init__(self, status: int, detail: str, field: str = "") -> None:
        super().__init__(detail)
        self.problem = Problem(status, detail, field)


def problem_for(failure: Failure) -> Problem:
    """What the peer gets to hear of a failure. One that nobody foresaw is logged here and stays inside."""
    error = failure.value
    if isinstance(error, Refused):
        return error.problem
    if isinstance(error, PublicationInvalid):
        return Problem(error.status, error.detail, error.field)
    if isinstance(error, Overloaded):
        return Problem(
            503,
            "too many publications are waiting; nothing of this call was taken, try again",
            headers=((b"Retry-After", _RETRY_AFTER_SECONDS),),
        )
    _log.failure("an HTTP request failed", failure=failure)
    return Problem(500, "the gateway failed on this request; its log says why")
