"""Connections for requests that are rare: a new one for each, bounded in what is read, and cut on demand.

twisted.web bounds neither the head of an answer nor the time in which a closed connection goes away.
"""

from collections.abc import Hashable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import HTTP11ClientProtocol

__all__ = ["OwnConnections"]


class OwnConnections:
    """A pool for Agent.

    :param most: bytes that are read from one connection before it is cut.
    """

    persistent = False

    def __init__(self, most: int) -> None:
        self._most = most
        self._open: set[_Connection] = set()

    @property
    def open(self) -> int:
        """How many connections are open."""
        return len(self._open)

    def getConnection(self, key: Hashable, endpoint: IStreamClientEndpoint) -> Deferred[Any]:
        """A connection for one request."""
        factory = Factory.forProtocol(lambda: _Connection(self._open, self._most))
        factory.noisy = False
        return endpoint.connect(factory)

    def abort(self) -> None:
        """Cut all that are open."""
        for connection in list(self._open):
            connection.transport.abortConnection()


class _Connection(HTTP11ClientProtocol):
    """A client connection that belongs to a group while it is open, and does not read for ever."""

    transport: Any

    def __init__(self, group: "set[_Connection]", most: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._group = group
        self._left = most

    def connectionMade(self) -> None:
        self._group.add(self)
        super().connectionMade()

    def dataReceived(self, data: bytes) -> None:
        self._left -= len(data)
        if self._left < 0:
            self.transport.abortConnection()
        else:
            super().dataReceived(data)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._group.discard(self)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]
