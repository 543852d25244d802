"""A way to a server that a test can cut, close and fall silent on."""

from __future__ import annotations

from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

__all__ = ["TcpProxy"]


class _Far(Protocol):
    """The side of the server."""

    def __init__(self, near: _Near) -> None:
        self.near = near

    def dataReceived(self, data: bytes) -> None:
        if not self.near.is_mute:
            self.near.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.near.transport.loseConnection()


class _Near(Protocol):
    """The side of the client.

    :ivar is_mute: whether answers vanish on their way.
    """

    def __init__(self, proxy: TcpProxy) -> None:
        self.proxy = proxy
        self.far: _Far | None = None
        self.early: list[bytes] = []
        self.is_mute = False

    def connectionMade(self) -> None:
        if not self.proxy.is_open:
            self.transport.abortConnection()
            return
        self.proxy.connections.append(self)
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.proxy.target)
        connecting = connectProtocol(endpoint, _Far(self))
        connecting.addCallbacks(self.connected_far, lambda failure: self.transport.abortConnection())

    def connected_far(self, far: _Far) -> None:
        self.far = far
        if self not in self.proxy.connections:
            far.transport.abortConnection()
        for data in self.early:
            far.transport.write(data)

    def dataReceived(self, data: bytes) -> None:
        if self.far is None:
            self.early.append(data)
        else:
            self.far.transport.write(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self in self.proxy.connections:
            self.proxy.connections.remove(self)
        if self.far is not None:
            self.far.transport.abortConnection()


class TcpProxy:
    """Listens on a port of its own and passes everything on to another one of this machine.

    :ivar connections: those that there are.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.is_open = True
        self.connections: list[_Near] = []
        factory = Factory.forProtocol(lambda: _Near(self))
        factory.noisy = False
        self._listening: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")  # type: ignore[attr-defined]
        self.port: int = self._listening.getHost().port

    def close(self) -> None:
        """Cut what there is and refuse what comes."""
        self.is_open = False
        for connection in list(self.connections):
            connection.transport.abortConnection()

    def open(self) -> None:
        """Let them through again."""
        self.is_open = True

    def mute(self) -> None:
        """Let no answer through on the connections that there are: nothing is closed, nothing arrives. New
        connections work."""
        for connection in self.connections:
            connection.is_mute = True

    def stop(self) -> Deferred[Any]:
        """Listen no more."""
        self.close()
        return maybeDeferred(self._listening.stopListening)
