"""Kept connections to one target, as `twisted.web.client.Agent` asks for them.

What `HTTPConnectionPool` does not do, and a webhook needs:

- a kept connection that the receiver closed as the request left is replaced at once, for POST too: the same
  request goes out once more on a new connection (every event carries an id that stays the same);
- no connection is used longer than a maximum age, so names are looked up again and a moved target is found;
- an answer has a maximum size, head included;
- all connections, busy ones too, can be closed.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, cast

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory, connectionDone
from twisted.python.failure import Failure
from twisted.web._newclient import HTTP11ClientProtocol, Request, RequestNotSent
from twisted.web.client import RequestTransmissionFailed, ResponseNeverReceived
from twisted.web.iweb import IResponse

__all__ = ["KeptConnections"]

# The head of an answer may be as long as its body may be (events.webhook reads 64 KiB of it).
_MAX_ANSWER = 128 * 1024

# What a request fails with when a kept connection turns out to be dead.
_STALE = (RequestNotSent, RequestTransmissionFailed, ResponseNeverReceived)


class _Connection(HTTP11ClientProtocol):
    """A client connection that reports its end and does not read for ever."""

    transport: Any

    def __init__(self, quiescent: Callable[[_Connection], None], lost: Callable[[_Connection], None]) -> None:
        super().__init__(quiescent)  # type: ignore[no-untyped-call]
        self._lost = lost
        self._read = 0

    def request(self, request: Request) -> Deferred[IResponse]:
        self._read = 0
        return super().request(request)

    def dataReceived(self, data: bytes) -> None:
        self._read += len(data)
        if self._read > _MAX_ANSWER:
            self.transport.abortConnection()
        else:
            super().dataReceived(data)  # type: ignore[no-untyped-call]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost(self)
        super().connectionLost(reason)  # type: ignore[no-untyped-call]


class _Reused:
    """A kept connection for one more request; a new one takes over if it turns out to be dead."""

    def __init__(self, connection: _Connection, connect: Callable[[], Deferred[_Connection]]) -> None:
        self._connection = connection
        self._connect = connect

    def request(self, request: Request) -> Deferred[IResponse]:
        def again(failure: Failure) -> Deferred[IResponse]:
            if not failure.check(*_STALE) or _cancelled(failure):
                return fail(failure)
            return self._connect().addCallback(lambda connection: connection.request(request))

        return self._connection.request(request).addErrback(again)


def _cancelled(failure: Failure) -> bool:
    """Whether we gave the request up ourselves."""
    reasons = getattr(failure.value, "reasons", ())
    return any(reason.check(CancelledError) for reason in reasons)


class KeptConnections:
    """A pool for Agent.

    :param max_idle: how many unused connections are kept.
    :param max_age: seconds after which a connection is not used again.
    """

    persistent = True

    def __init__(self, clock: IReactorTime, max_idle: int, max_age: float) -> None:
        self._clock = clock
        self._max_idle = max_idle
        self._max_age = max_age
        self._idle: dict[Hashable, list[_Connection]] = {}
        # Every open connection; None once it is too old to be used again.
        self._retirements: dict[_Connection, IDelayedCall | None] = {}
        self._closed: Deferred[None] | None = None

    @property
    def open(self) -> int:
        """How many connections are open, used or not."""
        return len(self._retirements)

    @property
    def idle(self) -> int:
        """How many connections wait for a request."""
        return sum(len(connections) for connections in self._idle.values())

    def getConnection(
        self, key: Hashable, endpoint: IStreamClientEndpoint
    ) -> Deferred[_Connection] | Deferred[_Reused]:
        """A connection for one request: the one used last, else a new one."""
        idle = self._idle.get(key)
        while idle:
            connection = idle.pop()
            if connection.state == "QUIESCENT":
                return succeed(_Reused(connection, lambda: self._connect(key, endpoint)))
        return self._connect(key, endpoint)

    def close(self) -> Deferred[None]:
        """Cut all connections.

        :returns Deferred[None]: fires when they are gone.
        """
        self._max_idle = 0
        self._idle.clear()
        self._closed = Deferred()
        closed = self._closed
        for connection in list(self._retirements):
            connection.transport.abortConnection()
        self._check_closed()
        return closed

    def _connect(self, key: Hashable, endpoint: IStreamClientEndpoint) -> Deferred[_Connection]:
        factory = _ConnectionFactory(lambda connection: self._put(key, connection), self._connection_lost)
        connecting = cast("Deferred[_Connection]", endpoint.connect(factory))
        return connecting.addCallback(self._connected, key)

    def _connected(self, connection: _Connection, key: Hashable) -> _Connection:
        self._retirements[connection] = self._clock.callLater(self._max_age, self._retire, key, connection)
        return connection

    def _put(self, key: Hashable, connection: _Connection) -> None:
        if self._retirements.get(connection) is None:
            connection.transport.loseConnection()
            return
        idle = self._idle.setdefault(key, [])
        idle.append(connection)
        if len(idle) > self._max_idle:
            idle.pop(0).transport.loseConnection()

    def _retire(self, key: Hashable, connection: _Connection) -> None:
        self._retirements[connection] = None
        idle = self._idle.get(key, [])
        if connection in idle:
            idle.remove(connection)
            connection.transport.loseConnection()

    def _connection_lost(self, connection: _Connection) -> None:
        retirement = self._retirements.pop(connection, None)
        if retirement is not None:
            retirement.cancel()
        for idle in self._idle.values():
            if connection in idle:
                idle.remove(connection)
        self._check_closed()

    def _check_closed(self) -> None:
        if self._closed is not None and not self._retirements:
            closed, self._closed = self._closed, None
            closed.callback(None)


class _ConnectionFactory(Factory):
    """Builds connections that know their pool."""

    noisy = False

    def __init__(self, quiescent: Callable[[_Connection], None], lost: Callable[[_Connection], None]) -> None:
        self._quiescent = quiescent
        self._lost = lost

    def buildProtocol(self, addr: IAddress | None) -> _Connection:
        return _Connection(self._quiescent, self._lost)
