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
from ws_gateway.errors import BrokerDown, BrokerRefused, Overloaded

__all__ = ["RETRY_SOON", "Problem", "Refused", "problem_for"]

_log = Logger()

RETRY_SOON = ((b"Retry-After", b"1"),)
"""For what is over in a moment, or may be."""


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

    def __init__(
        self, status: int, detail: str, field: str = "", headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(detail)
        self.problem = Problem(status, detail, field, headers)


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
            headers=RETRY_SOON,
        )
    if isinstance(error, BrokerDown):
        # The broker's link tells of an outage once; each call is an access line with its status anyway.
        _log.debug("a call could not be relayed: {detail}", detail=error.detail)
        return Problem(
            503,
            "the broker is not there or did not answer: the call was not relayed, or nobody knows; try again",
            headers=RETRY_SOON,
        )
    if isinstance(error, BrokerRefused):
        _log.warn("a call was not relayed: {code}: {detail}", code=error.code, detail=error.detail)
        return Problem(
            503, f"the broker refused the call, which was not relayed: {error.code}", headers=RETRY_SOON
        )
    _log.failure("an HTTP request failed", failure=failure)
    return Problem(500, "the gateway failed on this request; its log says why")
