"""Answers that are too long to be held: written piece by piece, as fast as the client reads.

Until the first piece is there, a failure is a problem document like any other. Later the answer has begun,
and the one honest way to say that it will never be whole is to break the connection.
"""

from collections.abc import AsyncIterator
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import implementer

from ws_gateway.web.answers import send
from ws_gateway.web.problem import problem_for

__all__ = ["STALL_SECONDS", "stream_json"]

_log = Logger()

STALL_SECONDS = 30
"""How long a client may read nothing of what waits for it."""


def stream_json(request: Request, pieces: AsyncIterator[bytes], clock: IReactorTime) -> int:
    """Send a JSON document in pieces. The work ends when the client leaves.

    :returns: what `render` has to return.
    """
    stream = _Stream(request, clock)
    work = Deferred.fromCoroutine(stream.send(pieces))
    work.addErrback(stream.failed)
    work.addErrback(lambda failure: _log.failure("an HTTP answer could not be ended", failure=failure))
    stream.ends_with(work)
    return NOT_DONE_YET


@implementer(IPushProducer)
class _Stream:
    """One answer under way."""

    def __init__(self, request: Request, clock: IReactorTime) -> None:
        self._request = request
        self._clock = clock
        self._begun = False
        self._gone = False
        self._paused: Deferred[None] | None = None
        self._left = request.notifyFinish()
        self._left.addErrback(self._client_left)

    def ends_with(self, work: Deferred[None]) -> None:
        """Give the work up when the client leaves."""
        self._left.addErrback(lambda _: work.cancel())

    async def send(self, pieces: AsyncIterator[bytes]) -> None:
        """Write all pieces."""
        async for piece in pieces:
            if not self._begun:
                self._begin()
            self._request.write(piece)
            if self._request.method == b"HEAD":
                break  # all that is asked for is written
            if self._paused is not None:
                await self._paused.addTimeout(STALL_SECONDS, self._clock)
        self._request.unregisterProducer()
        self._request.finish()

    def failed(self, failure: Failure) -> None:
        """Say that there will be no whole answer."""
        if self._gone:
            if not failure.check(CancelledError):
                _log.failure("an HTTP answer failed when its client had left", failure=failure)
            return
        if not self._begun:
            send(self._request, problem_for(failure).render(self._request))
            return
        if failure.check(TimeoutError):
            _log.warn("the client of an HTTP answer reads nothing: its connection is cut")
        else:
            problem = problem_for(failure)
            _log.warn("an HTTP answer was cut in the middle: {detail}", detail=problem.detail)
        channel: Any = self._request.channel
        channel.transport.abortConnection()

    def pauseProducing(self) -> None:
        """See IPushProducer."""
        if self._paused is None:
            self._paused = Deferred()

    def resumeProducing(self) -> None:
        """See IPushProducer."""
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.callback(None)

    def stopProducing(self) -> None:
        """See IPushProducer: the client has left, of which the request tells as well."""

    def _begin(self) -> None:
        self._begun = True
        self._request.setHeader(b"Content-Type", b"application/json")
        self._request.setHeader(b"Cache-Control", b"no-store")
        self._request.registerProducer(self, True)

    def _client_left(self, failure: Failure) -> Failure:
        self._gone = True
        return failure
