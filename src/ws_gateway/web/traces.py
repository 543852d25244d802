"""Which trace a publish call belongs to: a publication's own `traceparent`, else the request's header."""

from collections.abc import Sequence

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.web.server import Request

from ws_gateway.domain.messages import Publication
from ws_gateway.domain.trace import valid_traceparent
from ws_gateway.interfaces import ISpan

__all__ = ["common_trace", "ending", "header_traceparent", "in_trace"]


def header_traceparent(request: Request) -> str | None:
    """The header, if it is there once and valid; W3C has a second line void both."""
    lines = request.requestHeaders.getRawHeaders(b"traceparent", ())
    return valid_traceparent(lines[0].decode("latin-1").strip(" \t")) if len(lines) == 1 else None


def in_trace(publication: Publication, traceparent: str | None) -> Publication:
    """The publication, in this trace unless it has its own."""
    if traceparent is None or publication.traceparent is not None:
        return publication
    return evolve(publication, traceparent=traceparent)


def common_trace(publications: Sequence[Publication]) -> str | None:
    """The one context that all of them name, if there is one."""
    first = publications[0].traceparent
    if first is None or any(publication.traceparent != first for publication in publications):
        return None
    return first


def ending(span: ISpan, answer: Deferred[bytes]) -> Deferred[bytes]:
    """End the span when the answer is there, or why there is none."""

    def done(body: bytes) -> bytes:
        span.end()
        return body

    def failed(failure: Failure) -> Failure:
        span.end(type(failure.value).__name__)
        return failure

    return answer.addCallbacks(done, failed)
