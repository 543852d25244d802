"""One port for WebSockets and HTTP: read one head, then decide who goes on with the connection.

```
FrontDoor --head for WS_PATH--> Entrance --admitted--> the WebSocket protocol
    |                              '-----refused-----> an answer, then the end
    '-----anything else----------> the HTTP site (which hands later requests for WS_PATH to an Entrance, too)
```

Only a client that is let in ever gets a WebSocket protocol, and that one sees nothing of the request but what
its answer needs: no token, cookie or foreign header reaches it. Whoever takes over gets every byte behind the
head.
"""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from attrs import frozen
from twisted.internet import tcp, unix
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.errors import RefusalReason
from ws_gateway.websocket.admit import Admission, Admitted, Refused
from ws_gateway.websocket.answers import problem_answer
from ws_gateway.websocket.deadlines import Wheel
from ws_gateway.websocket.head import (
    MAX_HEAD_BYTES,
    BadHead,
    ForeignMethod,
    Head,
    end_of_head,
    parse_head,
)

__all__ = ["Entrance", "FrontDoor", "FrontDoorFactory", "House"]

_log = Logger()

_BAD = problem_answer(HTTPStatus.BAD_REQUEST, "this is no HTTP request")
_LARGE = problem_answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "the request head is over 16 KiB")
_SLOW = problem_answer(HTTPStatus.REQUEST_TIMEOUT, "the request head did not come in time")
_BROKEN = problem_answer(HTTPStatus.INTERNAL_SERVER_ERROR, "the handshake failed")

MAX_AFTER_REFUSAL = 64 * 1024
"""Bytes that a refused client may still send before we stop listening to it."""


@frozen
class House:
    """What every door of one gateway shares.

    :ivar open: builds the WebSocket protocol of an admitted client.
    :ivar handshake_timeout: seconds from accept to a complete, judged head.
    :ivar close_timeout: seconds that a refused client has to go away.
    """

    admission: Admission
    open: Callable[[Admitted], Protocol]
    wheel: Wheel
    handshake_timeout: float = 10
    close_timeout: float = 5


def peer_ip(transport: Any) -> str | None:
    """The address of the other end, None where it has none."""
    peer = transport.getPeer()
    return peer.host if isinstance(peer, IPv4Address | IPv6Address) else None


def hand_over(old: Any, new: IProtocol, transport: Any, data: bytes) -> None:
    """Let another protocol go on with a connection, from these bytes on.

    Plain transports simply get another protocol. Others (TLS) hold on to theirs, so that one passes on.
    """
    if type(transport) in (tcp.Server, unix.Server):
        transport.protocol = new
    else:
        old.dataReceived = lambda chunk: new.dataReceived(chunk)
        old.connectionLost = lambda reason=connectionDone: new.connectionLost(reason)
    new.makeConnection(transport)
    if data:
        new.dataReceived(data)


class FrontDoor(Protocol):
    """Collects one head: 16 KiB, one deadline from accept."""

    transport: Any

    def __init__(self, house: House, site: Any) -> None:
        self._house = house
        self._site = site
        self._data = b""
        self._next_look = 0
        self._slot = 0
        self._accepted = 0.0

    def connectionMade(self) -> None:
        """Start the clock."""
        self._accepted = self._house.wheel.now()
        self._slot = self._house.wheel.watch(self, self._accepted + self._house.handshake_timeout)

    def dataReceived(self, data: bytes) -> None:
        """Look for the end of the head."""
        # Empty lines before a request are ignored (RFC 9112 section 2.2).
        self._data = data = self._data + data if self._data else data.lstrip(b"\r\n")
        end = end_of_head(data)
        if (end or len(data)) > MAX_HEAD_BYTES:
            self._refuse(_LARGE, RefusalReason.BAD_REQUEST)
            return
        if not end and len(data) < self._next_look:
            return
        self._next_look = 2 * len(data)  # a head that drips must not cost more than one that comes at once
        try:
            head = parse_head(data[:end] if end else data)
        except ForeignMethod:
            self._to(self._site.buildProtocol(self.transport.getPeer()))
        except BadHead:
            self._refuse(_BAD, RefusalReason.BAD_REQUEST)
        else:
            if head is not None and end:
                self._decide(head, data[end:])
            elif end:
                # The parser wants more behind the end, as after the preface of HTTP/2: none will ever do.
                self._refuse(_BAD, RefusalReason.BAD_REQUEST)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Gone before it said what it wanted: a probe or a scan, nothing to tell anybody."""
        self._forget()

    def due(self, now: float) -> None:
        """The head did not come in time. Whoever sent nothing at all gets no answer."""
        self._refuse(_SLOW if self._data else b"", RefusalReason.TIMEOUT)

    def _decide(self, head: Head, rest: bytes) -> None:
        house = self._house
        if not house.admission.concerns(head):
            self._to(self._site.buildProtocol(self.transport.getPeer()))
            return
        self._data = b""
        self._to(Entrance(house, head, rest, self._accepted + house.handshake_timeout))

    def _to(self, protocol: Any) -> None:
        self._forget()
        data, self._data = self._data, b""
        hand_over(self, protocol, self.transport, data)

    def _refuse(self, answer: bytes, reason: RefusalReason) -> None:
        self._forget()
        self._data = b""
        self._house.admission.count(reason)
        leaving = Leaving(self._house.wheel, self._house.close_timeout, answer)
        hand_over(self, leaving, self.transport, b"")

    def _forget(self) -> None:
        self._house.wheel.forget(self, self._slot)


class Entrance(Protocol):
    """Has a complete head for `WS_PATH` and waits for its judgement.

    :param rest: the bytes that came behind the head.
    :param deadline: monotonic seconds by which the judgement must be there.
    """

    transport: Any

    def __init__(self, house: House, head: Head, rest: bytes, deadline: float) -> None:
        self._house = house
        self._head: Head | None = head
        self._data = rest
        self._deadline = deadline
        self._slot = 0
        self._paused = False
        self._judging: Deferred[Any] | None = None

    def connectionMade(self) -> None:
        """Ask. Mostly the answer is there at once; else we read on, to notice when the client leaves."""
        head, self._head = self._head, None
        assert head is not None
        judging: Deferred[Any] = Deferred.fromCoroutine(
            self._house.admission.judge(head, peer_ip(self.transport))
        )
        if not judging.called:
            self._judging = judging
            self._slot = self._house.wheel.watch(self, self._deadline)
        judging.addCallback(self._house.open)
        judging.addCallbacks(self._go_on, self._refuse)
        judging.addErrback(self._broken)

    def dataReceived(self, data: bytes) -> None:
        """A client that does not wait for its answer is read no further; what it sent is kept."""
        self._data += data
        self.transport.pauseProducing()
        self._paused = True

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client left while a key was awaited: nothing may be left behind."""
        self._house.wheel.forget(self, self._slot)
        self._stop_judging()

    def due(self, now: float) -> None:
        """The key did not come in time."""
        self._stop_judging()

    def _stop_judging(self) -> None:
        if self._judging is not None:
            self._judging.cancel()

    def _refuse(self, failure: Failure) -> None:
        answer = self._answer(failure)
        # The traceback leads back to us: a cycle that would wait, head and all, for the garbage collector.
        failure.tb = None
        if failure.value is not None:
            failure.value.__traceback__ = None
        self._go_on(Leaving(self._house.wheel, self._house.close_timeout, answer))

    def _answer(self, failure: Failure) -> bytes:
        """Whatever went wrong has an answer."""
        if isinstance(failure.value, Refused):
            return failure.value.answer
        if failure.check(CancelledError):
            self._house.admission.count(RefusalReason.TIMEOUT)
            return _SLOW
        _log.failure("a handshake could not be judged", failure)
        self._house.admission.count(RefusalReason.BAD_REQUEST)
        return _BROKEN

    def _broken(self, failure: Failure) -> None:
        """A defect of ours; the client must not hang in between."""
        _log.failure("a connection could not be handed over", failure)
        self.transport.abortConnection()

    def _go_on(self, protocol: Protocol) -> None:
        transport, data = self.transport, self._data
        self._data = b""
        waited, self._judging = self._judging, None
        if waited is not None:
            self._house.wheel.forget(self, self._slot)
            if getattr(transport, "disconnected", False):
                return
        hand_over(self, protocol, transport, data)
        if self._paused:
            transport.resumeProducing()


class Leaving(Protocol):
    """Sends an answer and sees the client out: half-closed at once, cut when it does not go.

    Cutting at once could take the answer away from the client while its bytes still arrive.
    """

    transport: Any

    def __init__(self, wheel: Wheel, timeout: float, answer: bytes) -> None:
        self._wheel = wheel
        self._timeout = timeout
        self._answer = answer
        self._slot = 0
        self._heard = 0

    def connectionMade(self) -> None:
        """Say it and close our half."""
        self._slot = self._wheel.watch(self, self._wheel.now() + self._timeout)
        if not self._answer:
            self.transport.abortConnection()
            return
        self.transport.write(self._answer)
        self._answer = b""
        close_half = getattr(self.transport, "loseWriteConnection", self.transport.loseConnection)
        close_half()

    def dataReceived(self, data: bytes) -> None:
        """Whatever it is, it is too late; a Close frame among it is answered by the end of the connection."""
        self._heard += len(data)
        if self._heard > MAX_AFTER_REFUSAL:
            self.transport.abortConnection()

    def due(self, now: float) -> None:
        """Patience ends."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is gone."""
        self._wheel.forget(self, self._slot)


class FrontDoorFactory(Factory):
    """Makes a door for every connection.

    :param site: builds the HTTP side of a connection.
    """

    noisy = False

    def __init__(self, house: House, site: Any) -> None:
        self._house = house
        self._site = site

    def buildProtocol(self, addr: object) -> FrontDoor:
        """A new connection."""
        return FrontDoor(self._house, self._site)
