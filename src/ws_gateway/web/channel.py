"""One HTTP/1.1 connection. Twisted's channel, with five things done differently:

- A request is judged when its head ends (`GatewayRequest.head_received`). A body that nobody wants is never
  read: the answer goes out at once and the connection ends. `Expect: 100-continue` is answered only if the
  body is wanted.
- A request has to be here, body included, `request_seconds` after its first byte, however busily it drips.
- The next request waits until the answer before it is on its way. Otherwise 64 KiB of small requests, sent by
  somebody who reads nothing, would become as many large answers in memory.
- What cannot be parsed gets a problem document.
- A connection that ends with unread bytes lingers: it is shut for writing, and what still comes is thrown
  away for a moment. Closed at once, the kernel would answer those bytes with a reset, and the peer would lose
  the answer that explains everything.
"""

# mypy: allow-untyped-calls
# (The parent is annotated in part.)

from typing import Any

from twisted.internet.interfaces import IDelayedCall, IHalfCloseableDescriptor, ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel

from ws_gateway.web.problem import Problem
from ws_gateway.web.request import BodyRefused, GatewayRequest

__all__ = ["GatewayChannel"]

_log = Logger()

LINGER_SECONDS = 5
LINGER_BYTES = 4 * 1024 * 1024

_LATE = Problem(408, "the request did not arrive in time")


class GatewayChannel(HTTPChannel):
    """Reads requests, one after the other."""

    request_seconds: float
    transport: Any  # whatever listens: TCP, UNIX or TLS; where they differ, they are asked

    _deadline: IDelayedCall | None = None
    _deadline_of = 0
    _served = 0
    _unread_body = False
    _lingering: IDelayedCall | None = None
    _thrown_away = 0

    def detach(self) -> bytes:
        """Let go of the transport, for a request that turns the connection into something else.

        Called while that request renders, when no timer of the channel runs. The transport is reading and has
        no producer afterwards. Whose `protocol` it gets, and what happens to the request, is the caller's
        affair.

        :returns: what the peer sent behind the request.
        """
        self.transport.unregisterProducer()
        self.transport.resumeProducing()
        unread: bytes = b"".join(self._dataBuffer) + self.clearLineBuffer()
        self._dataBuffer = []
        return unread

    def dataReceived(self, data: bytes) -> None:
        if self._lingering is not None:
            self._throw_away(data)
            return
        super().dataReceived(data)
        self._watch()

    def lineReceived(self, line: bytes) -> None:
        if self._lingering is None and not self.transport.disconnecting:
            super().lineReceived(line)

    def rawDataReceived(self, data: bytes) -> None:
        if self._lingering is not None:
            self._throw_away(data)
            return
        try:
            super().rawDataReceived(data)
        except BodyRefused as refused:
            self.answer_now(refused.problem)

    def lineLengthExceeded(self, line: bytes) -> None:
        self._end_with(Problem(431, "the head is too long"))

    def allHeadersReceived(self) -> None:
        request = self._request
        self.persistent = self.checkPersistence(request, self._version)
        wanted = request.head_received(self._command, self._path, self._version, self.length)
        if self.length == 0:
            return
        if not wanted:
            self._skip_body()
        elif self._version == b"HTTP/1.1" and _expects_continue(request):
            self._send100Continue()

    def allContentReceived(self) -> None:
        self._served += 1
        super().allContentReceived()

    def requestDone(self, request: GatewayRequest) -> None:
        self.paused = bool(self._waitingForTransport and self.persistent)
        super().requestDone(request)
        if self.paused:
            self._networkProducer.pauseProducing()

    def resumeProducing(self) -> None:
        """What was answered is on its way; go on with what came behind."""
        super().resumeProducing()
        if self.paused:
            self.paused = False
            self.dataReceived(b"")

    def checkPersistence(self, request: GatewayRequest, version: bytes) -> bool:
        lines = request.requestHeaders.getRawHeaders(b"Connection", ())
        options = [option.strip(b" \t").lower() for line in lines for option in line.split(b",")]
        if version == b"HTTP/1.1" and b"close" not in options:
            return True
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return False

    def timeoutConnection(self) -> None:
        """Nothing came for long enough. That is how most connections end, so it is no news."""
        _log.debug("a connection was quiet, or a head did not arrive in time")
        self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)
        self.loseConnection()

    def loseConnection(self) -> None:
        if self._unread_body and _can_half_close(self.transport):
            self._linger()
        else:
            super().loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._cancel_deadline()
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        super().connectionLost(reason)

    @property
    def _request(self) -> GatewayRequest:
        request: GatewayRequest = self.requests[-1]
        return request

    def _watch(self) -> None:
        """Keep one deadline over the request that is arriving, and none while nothing is."""
        arriving = not self._handlingRequest and bool(self.requests or self._buffer)
        if self._deadline is not None and not (arriving and self._deadline_of == self._served):
            self._cancel_deadline()
        if arriving and self._deadline is None and self._lingering is None:
            self._deadline_of = self._served
            self._deadline = self.callLater(self.request_seconds, self._expire)

    def _cancel_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        if self._reads_body:
            self.answer_now(_LATE)
        else:
            self.timeoutConnection()

    @property
    def _reads_body(self) -> bool:
        return not self.line_mode and not self._handlingRequest

    def _skip_body(self) -> None:
        """Take the request as complete; the connection ends with its answer."""
        self.length = 0
        self._transferDecoder = None
        self.persistent = False
        self._unread_body = True
        self._request.responseHeaders.setRawHeaders(b"Connection", [b"close"])

    def answer_now(self, problem: Problem) -> None:
        """Answer the request whose body is being read, without the rest of it."""
        self._request.refuse(problem)
        self._skip_body()
        self.allContentReceived()

    def _respondToBadRequestAndDisconnect(self) -> None:
        problem = Problem(400, "this is not a well-formed HTTP/1.1 request")
        if self._reads_body:
            self.answer_now(problem)
        else:
            self._end_with(problem)

    def _end_with(self, problem: Problem) -> None:
        """Answer a head that cannot be understood, so that there is no request to answer."""
        if self._lingering is not None or self.transport.disconnecting:
            return
        _log.info("an HTTP head was refused: {detail}", detail=problem.detail, status=problem.status)
        body = problem.document()
        head = (
            f"HTTP/1.1 {problem.status} {problem.title}\r\nContent-Type: application/problem+json\r\n"
            f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
        )
        self.transport.writeSequence([head.encode("ascii"), body])
        self._unread_body = True
        self.loseConnection()

    def _linger(self) -> None:
        if self._lingering is not None:
            return
        self._cancel_deadline()
        self.setTimeout(None)
        self._dataBuffer = []
        self.transport.unregisterProducer()
        self.transport.resumeProducing()
        self.transport.loseWriteConnection()
        self._lingering = self.callLater(LINGER_SECONDS, self.transport.abortConnection)

    def _throw_away(self, data: bytes) -> None:
        self._thrown_away += len(data)
        if self._thrown_away > LINGER_BYTES:
            self.transport.abortConnection()


def _expects_continue(request: GatewayRequest) -> bool:
    lines = request.requestHeaders.getRawHeaders(b"Expect", ())
    return any(line.lower() == b"100-continue" for line in lines)


def _can_half_close(transport: object) -> bool:
    """Under TLS a half-closed socket would cut what TLS still has to say."""
    return IHalfCloseableDescriptor.providedBy(transport) and not ISSLTransport.providedBy(transport)
