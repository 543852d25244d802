"""The client side on loopback ports: what only a kernel can show, and what is left of a closed connection."""

import gc
import weakref
from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet import reactor, tcp
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.unit.websocket.gate import TOKEN, Gate, request
from ws_gateway.domain.outgoing import Batch, Outgoing
from ws_gateway.errors import KeysUnavailable
from ws_gateway.testing.frames import BINARY, PING, close_frame, frame, read_frames
from ws_gateway.websocket.protocol import READ_BYTES

ANY: Any = reactor


class Peer(Protocol):
    """A client that collects what the gateway says."""

    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[bytes] = Deferred()
        self._waiting: list[tuple[Callable[[bytes], bool], Deferred[bytes]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        for holds, fired in list(self._waiting):
            if holds(self.received):
                self._waiting.remove((holds, fired))
                fired.callback(self.received)

    def until(self, holds: Callable[[bytes], bool]) -> "Deferred[bytes]":
        """Fires when something holds for all that was received."""
        fired: Deferred[bytes] = Deferred()
        self._waiting.append((holds, fired))
        self.dataReceived(b"")
        return fired

    def behind(self) -> bytes:
        """What came behind the handshake's answer."""
        return self.received.partition(b"\r\n\r\n")[2]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(self.received)


def answered(received: bytes) -> bool:
    return b"\r\n\r\n" in received


def batch(*payloads: bytes) -> Batch:
    return Batch([Outgoing(payload) for payload in payloads])


def garbage() -> list[Any]:
    """What only the garbage collector could free."""
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return list(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()


def ours_in(objects: list[Any]) -> set[str]:
    """The types of the gateway and of Autobahn among some objects."""
    kinds = {type(one) for one in objects}
    return {
        kind.__qualname__ for kind in kinds if kind.__module__.split(".")[0] in ("ws_gateway", "autobahn")
    }


class SocketTestCase(TestCase):
    """A gateway on a port of its own."""

    timeout = 60

    def listen(self, **options: Any) -> "Deferred[None]":
        self.gate = Gate(reactor=ANY, **options)
        self.gate.start()
        self.addCleanup(self.gate.wheel.stop)

        def listening(port: Any) -> None:
            self.addCleanup(port.stopListening)
            self.port = port.getHost().port

        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        return endpoint.listen(self.gate.factory).addCallback(listening)

    async def connect(self) -> Peer:
        peer = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port), Peer())
        self.addCleanup(self.leave, peer)
        return peer

    async def client(self, *lines: str) -> Peer:
        """A client that was let in."""
        peer = await self.connect()
        peer.transport.write(request("/ws", TOKEN, *lines))
        await peer.until(answered)
        return peer

    async def leave(self, peer: Peer) -> None:
        """Go, and wait until the gateway has noticed."""
        peer.transport.abortConnection()
        await self.until(lambda: not len(self.gate.registry) and not len(self.gate.wheel))

    async def until(self, holds: Callable[[], bool]) -> None:
        while not holds():
            await deferLater(ANY, 0.002, lambda: None)

    def addCleanup(self, f: Any, *args: Any, **kwargs: Any) -> None:
        """A coroutine function does as well."""

        def call() -> Any:
            result = f(*args, **kwargs)
            return Deferred.fromCoroutine(result) if isinstance(result, Coroutine) else result

        super().addCleanup(call)


class FairnessTests(SocketTestCase):
    """One client does not hold up the others."""

    async def reads(self) -> None:
        await self.listen()
        peer = await self.client()
        (connection,) = self.gate.registry.everyone()
        sizes: list[int] = []
        take = connection.dataReceived  # type: ignore[attr-defined]

        def noting(data: bytes) -> None:
            sizes.append(len(data))
            take(data)

        self.patch(connection, "dataReceived", noting)
        peer.transport.write(frame(b"x" * 60_000))
        await self.until(lambda: bool(self.gate.emitter.messages))
        self.assertLessEqual(max(sizes), READ_BYTES)

    def test_reads(self) -> "Deferred[None]":
        """However much a client has sent, only a little of it is read in one turn."""
        return Deferred.fromCoroutine(self.reads())


class NoCycleTests(SocketTestCase):
    """A connection that ended is gone at once, without the garbage collector."""

    def setUp(self) -> "Deferred[None]":
        if gc.isenabled():
            self.addCleanup(gc.enable)
        gc.collect()
        gc.disable()
        # What other tests left behind in this process is none of ours.
        gc.freeze()
        self.addCleanup(gc.unfreeze)
        self.left: dict[str, weakref.ref[Any]] = {}
        return self.listen()

    def server_side(self) -> Any:
        """The gateway's end of the one connection."""
        (transport,) = [
            selectable
            for selectable in ANY.getReaders()
            if isinstance(selectable, tcp.Server) and selectable.getHost().port == self.port
        ]
        return transport

    def watch(self, transport: Any) -> None:
        """Remember what stands behind an open socket. (Sessions have slots and cannot be watched.)"""
        protocol = transport.protocol
        self.left[type(protocol).__name__] = weakref.ref(protocol)
        self.left["transport"] = weakref.ref(transport)
        if hasattr(protocol, "_writer"):
            self.left["writer"] = weakref.ref(protocol._writer)

    async def gone(self, *names: str) -> None:
        """Nobody holds on to anything that was watched."""
        await self.until(lambda: not len(self.gate.registry) and not len(self.gate.wheel))
        await deferLater(ANY, 0.01, lambda: None)
        self.assertEqual([name for name, one in self.left.items() if one() is not None], [])
        self.assertEqual(sorted(self.left), sorted([*names, "transport"]))
        self.assertEqual(ours_in(garbage()), set())

    def test_closed_by_client(self) -> "Deferred[None]":
        """A client that says something, hears something and closes properly."""

        async def run() -> None:
            peer = await self.client()
            self.watch(self.server_side())
            self.gate.registry.everyone()[0].send_many(batch(b"1"))
            peer.transport.write(frame(b'{"type":"ping"}') + frame(b"x", BINARY) + frame(b"", PING))
            await peer.until(lambda data: len(read_frames(data.partition(b"\r\n\r\n")[2]).frames) == 3)
            peer.transport.write(close_frame(1000))
            await peer.closed
            await self.gone("GatewayProtocol", "writer")

        return Deferred.fromCoroutine(run())

    def test_cut(self) -> "Deferred[None]":
        """A client that is cut off."""

        async def run() -> None:
            peer = await self.client()
            self.watch(self.server_side())
            peer.transport.abortConnection()
            await self.gone("GatewayProtocol", "writer")

        return Deferred.fromCoroutine(run())

    def test_kicked(self) -> "Deferred[None]":
        """A client that was kicked and answers."""

        async def run() -> None:
            peer = await self.client()
            self.watch(self.server_side())
            self.gate.registry.everyone()[0].kick(4403, "out")
            await peer.until(lambda data: read_frames(data.partition(b"\r\n\r\n")[2]).close is not None)
            peer.transport.write(close_frame(4403))
            await peer.closed
            await self.gone("GatewayProtocol", "writer")

        return Deferred.fromCoroutine(run())

    def test_violation(self) -> "Deferred[None]":
        """A client that breaks the protocol and then its connection."""

        async def run() -> None:
            peer = await self.client()
            self.watch(self.server_side())
            peer.transport.write(frame(b"\xff"))
            await peer.until(lambda data: read_frames(data.partition(b"\r\n\r\n")[2]).close is not None)
            peer.transport.abortConnection()
            await self.gone("GatewayProtocol", "writer")

        return Deferred.fromCoroutine(run())

    def test_cut_while_much_waits(self) -> "Deferred[None]":
        """A client that does not read, has much waiting for it, and is cut off."""

        async def run() -> None:
            peer = await self.client()
            peer.transport.pauseProducing()
            self.watch(self.server_side())
            for _ in range(200):
                self.gate.registry.everyone()[0].send_many(batch(b"1" * 100_000))
            peer.transport.abortConnection()
            await self.gone("GatewayProtocol", "writer")

        return Deferred.fromCoroutine(run())

    def test_refused(self) -> "Deferred[None]":
        """A client without a good token."""

        async def run() -> None:
            self.gate.authenticator.hang()
            peer = await self.connect()
            peer.transport.write(request("/ws", "wrong"))
            await self.until(lambda: self.gate.authenticator.waiting == 1)
            self.watch(self.server_side())
            self.gate.authenticator.release()
            await peer.until(answered)
            self.left["Leaving"] = weakref.ref(self.server_side().protocol)
            peer.transport.loseConnection()
            await self.gone("Entrance", "Leaving")

        return Deferred.fromCoroutine(run())

    def test_refused_at_once(self) -> "Deferred[None]":
        """A client without a good token, when all keys are at hand; and one whose head is nonsense."""

        async def run() -> None:
            for data in (request("/ws", "wrong"), request("/ws", None), b"GET\0 / HTTP/1.1\r\n\r\n"):
                peer = await self.connect()
                peer.transport.write(data)
                await peer.until(answered)
                self.watch(self.server_side())
                peer.transport.loseConnection()
                await self.gone("Leaving")
            self.gate.authenticator.fail_with(KeysUnavailable("no key yet", 3))
            peer = await self.connect()
            peer.transport.write(request())
            await peer.until(answered)
            self.assertIn(b" 503 ", peer.received)
            self.watch(self.server_side())
            peer.transport.loseConnection()
            await self.gone("Leaving")

        return Deferred.fromCoroutine(run())

    def test_late(self) -> "Deferred[None]":
        """A client whose key does not come in time."""

        async def run() -> None:
            self.gate.authenticator.hang()
            peer = await self.connect()
            peer.transport.write(request())
            await self.until(lambda: self.gate.authenticator.waiting == 1)
            self.watch(self.server_side())
            self.server_side().protocol.due(0)
            await peer.until(answered)
            self.assertIn(b" 408 ", peer.received)
            self.left["Leaving"] = weakref.ref(self.server_side().protocol)
            peer.transport.loseConnection()
            await self.gone("Entrance", "Leaving")

        return Deferred.fromCoroutine(run())

    def test_left_while_judged(self) -> "Deferred[None]":
        """A client that leaves while its key is awaited; its head goes with it."""

        async def run() -> None:
            self.gate.authenticator.hang()
            peer = await self.connect()
            peer.transport.write(request())
            await self.until(lambda: self.gate.authenticator.waiting == 1)
            self.watch(self.server_side())
            peer.transport.abortConnection()
            await self.gone("Entrance")
            self.assertEqual(self.gate.authenticator.waiting, 0)

        return Deferred.fromCoroutine(run())

    def test_after_http(self) -> "Deferred[None]":
        """A client whose connection served HTTP before."""

        async def run() -> None:
            peer = await self.connect()
            peer.transport.write(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
            await peer.until(lambda data: b'{"ok":true}' in data)
            channel = self.server_side().protocol
            self.left["GatewayChannel"] = weakref.ref(channel)
            del channel
            peer.transport.write(request())
            await peer.until(lambda data: b" 101 " in data)
            self.watch(self.server_side())
            peer.transport.write(close_frame())
            await peer.closed
            await self.gone("GatewayChannel", "GatewayProtocol", "writer")

        return Deferred.fromCoroutine(run())
