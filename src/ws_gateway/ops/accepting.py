"""Ports that wait when there are no descriptors, instead of spinning or cutting people off.

Twisted's own port, at the descriptor limit, accepts everybody who waits with its one spare descriptor and
closes them again, with a log line each; when that descriptor is taken by something else, it spins. These stop
accepting for a moment. Whoever comes waits in the kernel's queue meanwhile.

While a port accepts it holds some descriptors that nobody uses. It lets them go while it waits, so that
clients who are connected can be served: their events need connections, and so does another port, where
backends publish. It accepts again when it has got them back.
"""

# mypy: allow-untyped-calls
# (The parents are annotated in part.)

import errno
import os
from socket import AF_UNIX, NI_NUMERICHOST, NI_NUMERICSERV, getnameinfo, socket
from typing import Any

from twisted.internet import tcp, unix
from twisted.logger import Logger

from ws_gateway.domain.throttle import Throttle

__all__ = ["PAUSE_SECONDS", "SPARE", "Spare", "adopt"]

_log = Logger()

ACCEPTS_PER_TURN = 64
"""So that a crowd at the door holds up those who are in for a few milliseconds only."""

PAUSE_SECONDS = 0.5
SPARE = 32
"""Descriptors that a port holds back: enough for the requests of a webhook (WEBHOOK_CONCURRENCY)."""

_TELL_EVERY = 30.0
_GONE = frozenset({errno.ECONNABORTED, errno.EPERM})
"""The connection that was to be accepted is none any more, or a firewall has refused it."""


class Spare:
    """Descriptors held back.

    :param count: how many.
    """

    def __init__(self, count: int = SPARE) -> None:
        self._count = count
        self._held: list[int] = []

    def hold(self) -> bool:
        """Take what is missing.

        :returns: whether all are there. If not, those that are there are let go, too.
        """
        try:
            while len(self._held) < self._count:
                self._held.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError:
            self.release()
            return False
        return True

    def release(self) -> None:
        """Let all go."""
        while self._held:
            os.close(self._held.pop())


class _Port(tcp.Port):
    """See the module."""

    reactor: Any
    factory: Any

    def startListening(self) -> None:
        self._spare = Spare()
        self._pause: Any = None
        self._throttle = Throttle(_TELL_EVERY)
        super().startListening()
        if not self._spare.hold():
            self._wait("no descriptors to spare")

    def doRead(self) -> None:
        """Accept whoever waits, a number of them in one turn of the reactor."""
        for _ in range(ACCEPTS_PER_TURN):
            try:
                accepted, address = self.socket.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in _GONE:
                    continue
                self._wait(os.strerror(error.errno or 0))
                return
            try:
                self._welcome(accepted, address)
            except Exception:
                _log.failure("a connection could not be begun")
                accepted.close()

    def connectionLost(self, reason: Any) -> None:
        """The port is closed."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._spare.release()
        super().connectionLost(reason)

    def _welcome(self, accepted: socket, address: Any) -> None:
        if len(address) == 4:  # IPv6, whose scope is a part of the host as text
            address = (getnameinfo(address, NI_NUMERICHOST | NI_NUMERICSERV)[0], *address[1:])
        protocol = self.factory.buildProtocol(self._buildAddr(address))
        self.sessionno += 1
        transport = self.transport(accepted, protocol, address, self, self.sessionno, self.reactor)
        protocol.makeConnection(transport)

    def _wait(self, why: str) -> None:
        self.stopReading()
        self._spare.release()
        suppressed = self._throttle.admit(self.reactor.seconds())
        if suppressed is not None:
            _log.warn(
                "accepting pauses: {why} ({suppressed} more pauses since the last line)",
                why=why,
                suppressed=suppressed,
            )
        self._pause = self.reactor.callLater(PAUSE_SECONDS, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        if self.disconnecting:
            return
        if self._spare.hold():
            self.startReading()
        else:
            self._pause = self.reactor.callLater(PAUSE_SECONDS, self._go_on)


class _UNIXPort(_Port, unix.Port):
    """The same on a socket of the file system."""


def adopt(reactor: Any, server: socket, factory: Any, mode: int | None = None) -> Any:
    """Accept on a socket that listens already. The port has a copy of its own.

    :param reactor: one that waits for descriptors.
    :param mode: of a `unix:` socket, which Twisted would otherwise open to everybody.
    :returns: an IListeningPort.
    """
    server.setblocking(False)
    port: Any
    if server.family == AF_UNIX:
        port = _UNIXPort._fromListeningDescriptor(reactor, server.fileno(), factory)
        if mode is not None:
            port.mode = mode
    else:
        port = _Port._fromListeningDescriptor(reactor, server.fileno(), server.family, factory)
    port.startListening()
    return port
