"""The HTTP side on a loopback port: what only a kernel can show, resets and half-closed connections."""

import socket
import struct
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.unit.web.harness import KEY, Gateway, read_answers
from ws_gateway.web.channel import GatewayChannel
from ws_gateway.web.limits import HttpLimits
from ws_gateway.web.site import GatewaySite

ANY: Any = reactor


class Peer(Protocol):
    """Collects what the gateway says until it closes."""

    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[bytes] = Deferred()
        self._waiting: list[tuple[int, Deferred[bytes]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        for wanted, fired in list(self._waiting):
            if self.received.count(b"HTTP/1.") >= wanted:
                self._waiting.remove((wanted, fired))
                fired.callback(self.received)

    def answers(self, wanted: int) -> "Deferred[bytes]":
        """Fires when so many answers have begun to arrive."""
        fired: Deferred[bytes] = Deferred()
        self._waiting.append((wanted, fired))
        self.dataReceived(b"")
        return fired

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(self.received)


class WatchedSite(GatewaySite):
    """Knows when its connections are over, so that a test leaves none behind.

    :ivar ended: one Deferred for each connection.
    """

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.ended: list[Deferred[None]] = []

    def buildProtocol(self, addr: Any) -> GatewayChannel:
        channel = super().buildProtocol(addr)
        ended: Deferred[None] = Deferred()
        lose = channel.connectionLost

        def lost(reason: Failure = connectionDone) -> None:
            lose(reason)
            ended.callback(None)

        channel.connectionLost = lost  # type: ignore[method-assign]
        self.ended.append(ended)
        return channel


class SocketTests(TestCase):
    timeout = 60

    def setUp(self) -> "Deferred[None]":
        self.gateway = Gateway()
        limits = HttpLimits(max_body_bytes=1000, request_seconds=0.2)
        self.site = WatchedSite(self.gateway.root, ANY, limits, self.gateway.metrics)
        self.addCleanup(lambda: gatherResults(self.site.ended))

        def listening(port: Any) -> None:
            self.addCleanup(port.stopListening)
            self.port = port.getHost().port

        endpoint = TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")
        return endpoint.listen(self.site).addCallback(listening)

    async def connect(self) -> Peer:
        peer = await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", self.port), Peer())
        self.addCleanup(peer.transport.abortConnection)
        return peer

    async def talk(self, *parts: bytes) -> bytes:
        """Everything that the gateway says to some bytes, until it closes."""
        peer = await self.connect()
        for part in parts:
            peer.transport.write(part)
        return await peer.closed

    def run_async(self, coroutine: Any) -> "Deferred[None]":
        return Deferred.fromCoroutine(coroutine)

    async def healthy(self) -> None:
        """The gateway still answers, and nothing was logged as an error."""
        answer = await self.talk(b"GET /health HTTP/1.0\r\n\r\n")
        self.assertEqual(read_answers(answer)[0].document, {"ok": True})
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_announced_but_not_sent(self) -> "Deferred[None]":
        """300 MB without a key are refused when they are announced; nothing of them has to be sent."""

        async def run() -> None:
            for path, status in [(b"/internal/publish", 413), (b"/nothing", 404), (b"/internal/x", 401)]:
                head = b"POST %b HTTP/1.1\r\nHost: x\r\nContent-Length: 314572800\r\n\r\n" % path
                (answer,) = read_answers(await self.talk(head))
                self.assertEqual((path, answer.status), (path, status))
            await self.healthy()

        return self.run_async(run())

    def test_answer_survives_pouring(self) -> "Deferred[None]":
        """A peer that sends its 2 MB before it reads still gets the answer, not a reset."""

        async def run() -> None:
            head = b"POST /internal/publish HTTP/1.1\r\nHost: x\r\nContent-Length: 2000000\r\n\r\n"
            (answer,) = read_answers(await self.talk(head, b"x" * 2_000_000))
            self.assertEqual(answer.status, 413)
            chunked = b"POST /internal/publish HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
            (answer,) = read_answers(await self.talk(chunked, b"1e8480\r\n" + b"x" * 2_000_000))
            self.assertEqual(answer.status, 413)

        return self.run_async(run())

    def test_endless_pouring(self) -> "Deferred[None]":
        """A peer that never stops is cut."""

        async def run() -> None:
            peer = await self.connect()
            peer.transport.write(b"POST /nothing HTTP/1.1\r\nContent-Length: 314572800\r\n\r\n")
            peer.transport.write(b"x" * 50_000_000)
            await peer.closed
            await self.healthy()

        return self.run_async(run())

    def test_slow_body(self) -> "Deferred[None]":
        """A body that stalls ends with 408 and a closed connection."""

        async def run() -> None:
            head = b"POST /internal/publish HTTP/1.1\r\nContent-Length: 100\r\n\r\nxx"
            (answer,) = read_answers(await self.talk(head))
            self.assertEqual(answer.status, 408)
            self.assertEqual(await self.talk(b"GET /health HTTP/1.1\r\nHo"), b"")
            await self.healthy()

        return self.run_async(run())

    def test_expect(self) -> "Deferred[None]":
        """A client that waits for 100 gets it, and then its answer."""

        async def run() -> None:
            body = b'{"api_key":"%b","subjects":["a"],"payload":1}' % KEY.encode()
            peer = await self.connect()
            head = b"POST /internal/publish HTTP/1.1\r\nExpect: 100-continue\r\nConnection: close\r\n"
            peer.transport.write(head + b"Content-Length: %d\r\n\r\n" % len(body))
            await peer.answers(1)
            self.assertEqual(peer.received, b"HTTP/1.1 100 Continue\r\n\r\n")
            peer.transport.write(body)
            (answer,) = read_answers(await peer.closed)
            self.assertEqual(answer.document, {"sent": 1})

        return self.run_async(run())

    def test_pipelined(self) -> "Deferred[None]":
        """Requests in one packet are answered in order."""

        async def run() -> None:
            requests = b"GET /health HTTP/1.1\r\n\r\nHEAD /ready HTTP/1.1\r\n\r\nGET /x HTTP/1.0\r\n\r\n"
            answers = read_answers(await self.talk(requests), ["GET", "HEAD", "GET"])
            self.assertEqual([answer.status for answer in answers], [200, 200, 404])

        return self.run_async(run())

    def test_garbage(self) -> "Deferred[None]":
        """Garbage and TLS are answered with 400 or a closed connection, and no traceback anywhere."""

        async def run() -> None:
            hello = bytes.fromhex("16030100c8010000c40303") + bytes(range(256)) * 2
            for data in (b"\r\n\r\n\r\n", b"\x00" * 100_000, hello, b"SSH-2.0-x\r\n", b"GET\r\n"):
                said = await self.talk(data)
                self.assertNotIn(b"Traceback", said)
                self.assertLessEqual({answer.status for answer in read_answers(said)}, {400, 431})
            await self.healthy()

        return self.run_async(run())

    def test_resets(self) -> "Deferred[None]":
        """Connections that come and go, or are reset wherever they are, leave no trace."""

        async def run() -> None:
            self.gateway.delivery.waiting = []
            body = b'{"api_key":"%b","subjects":["a"],"payload":1}' % KEY.encode()
            whole = b"POST /internal/publish HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
            refused = b"POST /nothing HTTP/1.1\r\nContent-Length: 99\r\n\r\n"
            for data in (b"", b"G", whole[:-5], whole, refused):
                with socket.create_connection(("127.0.0.1", self.port)) as client:
                    client.sendall(data)
                    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await self.healthy()
            for waiting in self.gateway.delivery.waiting:
                waiting.callback([1])
            await self.healthy()

        return self.run_async(run())
