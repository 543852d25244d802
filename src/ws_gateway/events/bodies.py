"""The two bodies of an HTTP exchange: ours goes out at once, the answer's is read away."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

__all__ = ["BytesProducer", "Remainder"]


@implementer(IBodyProducer)
class BytesProducer:
    """A request body in one piece. Keeps no position, so the same request can be sent twice."""

    def __init__(self, body: bytes) -> None:
        self.length = len(body)
        self._body = body

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(self._body)
        return succeed(None)

    def pauseProducing(self) -> None:
        """Nothing is left to hold back."""

    def resumeProducing(self) -> None:
        """Nothing is left to go on with."""

    def stopProducing(self) -> None:
        """Nothing is left to stop."""


class Remainder(Protocol):
    """Reads the rest of an answer and forgets it.

    :param cap: how many bytes are read before the connection is cut.
    :ivar over: fires when the body has ended or the connection was cut; cancelling it cuts.
    """

    transport: Any

    def __init__(self, cap: int) -> None:
        self._left = cap
        self.over: Deferred[None] = Deferred(lambda _: self._cut())

    def dataReceived(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self._cut()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end()

    def _cut(self) -> None:
        # What twisted.web gives us here is a push producer for the connection: stopping it closes it.
        if self.transport is not None:
            self.transport.stopProducing()
        self._end()

    def _end(self) -> None:
        if not self.over.called:
            self.over.callback(None)
