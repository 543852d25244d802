"""One request: its resource is found when the head ends, its body is read only if that resource wants one."""

# mypy: allow-untyped-calls
# (The parent is annotated in part.)

from io import BytesIO
from typing import Any
from urllib.parse import unquote_to_bytes

from twisted.python.failure import Failure
from twisted.web.error import UnsupportedMethod
from twisted.web.http import datetimeToString, parse_qs
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET, Request

from ws_gateway.web.access import log_access
from ws_gateway.web.answers import send
from ws_gateway.web.problem import Problem, problem_for
from ws_gateway.web.resource import ApiResource, ProblemPage

__all__ = ["BodyRefused", "GatewayRequest"]


class BodyRefused(Exception):
    """No more of this body is read.

    :ivar problem: why.
    """

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


_CROWDED = Problem(
    503,
    "too many bodies without a key in a header are being sent; send the key in X-Api-Key",
    headers=((b"Retry-After", b"1"),),
)


class GatewayRequest(Request):
    """A request that judges itself before its body, and answers every error with a problem document.

    Sends no `Server` header: what runs here is nobody's business.
    """

    defaultContentType = None

    content: BytesIO | None
    site: Any  # a GatewaySite, once the head is there

    _resource: IResource | None = None
    _limit = 0
    _size = 0
    _keyless = False
    _began = 0.0

    def head_received(self, method: bytes, target: bytes, version: bytes, length: int | None) -> bool:
        """The head is complete: find who answers.

        :param length: of the body; None: unknown, it comes in chunks.
        :returns: whether the body is to be read. If not, the answer does not wait for it.
        """
        site = self.site = self.channel.site  # type: ignore[attr-defined]
        self._began = site.reactor.seconds()
        self.method, self.uri, self.clientproto = method, target, version
        self._body = self.content = BytesIO()
        path, _, query = target.partition(b"?")
        self.path = path = _origin_path(path)
        self.args = parse_qs(query, 1) if query else {}
        self.prepath = []
        self.postpath = _segments(path)
        try:
            resource = self._resource = site.getResourceFor(self)
        except Exception:
            self.refuse(problem_for(Failure()))
            return False
        if not length and length is not None:
            return False
        if isinstance(resource, ApiResource):
            self._limit = resource.body_limit(method)
            self._keyless = resource.keyless
        else:
            self._limit = 0
        if length is not None and length > self._limit > 0:
            self.refuse(self.too_large)
            return False
        return self._limit > 0

    @property
    def too_large(self) -> Problem:
        """The problem of a body over the limit."""
        return Problem(413, f"the body must be at most {self._limit} bytes long")

    def refuse(self, problem: Problem) -> None:
        """Answer with a problem instead of what was asked for; nobody needs the body any more."""
        self._body = self.content = BytesIO()
        self._resource = ProblemPage(problem)

    def handleContentChunk(self, data: bytes) -> None:
        """A part of the body is here.

        :raises BodyRefused: it is too much, or too much together with those of others.
        """
        self._size += len(data)
        if self._size > self._limit:
            raise BodyRefused(self.too_large)
        if self._keyless and not self.site.keyless.grow(self, len(data)):
            raise BodyRefused(_CROWDED)
        self._body.write(data)

    def give_up(self) -> None:
        """See keyless.Reader."""
        channel: Any = self.channel
        channel.answer_now(_CROWDED)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """All that is wanted is here. (The parent reads the target and forms here; both are done, or not.)"""
        self._forget_body()
        self.process()

    def process(self) -> None:
        self.setHeader(b"Date", datetimeToString())
        self.render(self._resource)

    def render(self, resrc: Any) -> None:
        try:
            body = resrc.render(self)
            if body is not NOT_DONE_YET:
                send(self, body)
        except UnsupportedMethod as error:
            allow = b", ".join(sorted(error.allowedMethods))
            problem = Problem(405, "this path does not know the method", headers=((b"Allow", allow),))
            send(self, problem.render(self))
        except Exception:
            self.processingFailed(Failure())

    def processingFailed(self, reason: Failure) -> Failure:
        problem = problem_for(reason)
        if self.startedWriting:
            self.loseConnection()
        else:
            send(self, problem.render(self))
        return reason

    def answered(self) -> None:
        """The answer is complete: log it."""
        seconds = self.site.reactor.seconds() - self._began
        log_access(self.method, self.path, self.code, self.sentLength, seconds)

    def connectionLost(self, reason: Failure) -> None:
        self._forget_body()
        if self._resource is not None:
            seconds = self.site.reactor.seconds() - self._began
            log_access(self.method, self.path, 0, self.sentLength, seconds, gone=True)
        super().connectionLost(reason)

    def _forget_body(self) -> None:
        if self._keyless:
            self.site.keyless.forget(self)


def _origin_path(path: bytes) -> bytes:
    """The path of a target, which may be a whole URL (RFC 9112 section 3.2.2), login and all."""
    if path.startswith(b"/"):
        return path
    _, _, rest = path.partition(b"://")
    return b"/" + rest.partition(b"/")[2]


def _segments(path: bytes) -> list[bytes]:
    segments = path[1:].split(b"/")
    return [unquote_to_bytes(segment) for segment in segments] if b"%" in path else segments
