"""The webhook sink before receivers that misbehave, over real sockets."""

from __future__ import annotations

import datetime
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from twisted.web.client import BrowserLikePolicyForHTTPS

from ws_gateway.domain.messages import Receipt
from ws_gateway.errors import EventRefused, TargetDown
from ws_gateway.events.webhook import WebhookSink, webhook_sink
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.sinks import make_envelope

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Line(Protocol):
    """One connection of the receiver: reads requests, does with each what the script says next."""

    def __init__(self, receiver: Receiver) -> None:
        self.receiver = receiver
        self.gone: Deferred[None] = Deferred()
        self._buffer = b""
        self._next_drop: IDelayedCall | None = None

    def connectionMade(self) -> None:
        self.receiver.lines.append(self)

    def dataReceived(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
        if end and len(rest) >= length:
            self._buffer = rest[length:]
            self.receiver.requests.append((head, rest[:length]))
            act = self.receiver.script.popleft() if self.receiver.script else answer(OK)
            act(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._next_drop is not None:
            self._next_drop.cancel()
        self.gone.callback(None)

    def drip(self, data: bytes, rest: bytes) -> None:
        """Send something at once and then byte by byte, as long as the peer listens."""
        self.transport.write(data)
        self._next_drop = reactor.callLater(0.005, self.drip, rest[:1], rest[1:] + rest[:1])

    def resumeProducing(self) -> None:
        """Send more of something endless: we are its producer."""
        self.transport.write(self._piece)

    def stopProducing(self) -> None:
        """The peer has gone."""

    def endless(self, start: bytes, piece: bytes) -> None:
        """Send without end, as fast as the peer reads."""
        self._piece = piece
        self.transport.write(start)
        self.transport.registerProducer(self, False)


class Receiver(Factory):
    """A backend that reads requests right and answers them wrong."""

    noisy = False

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.requests: list[tuple[bytes, bytes]] = []
        self.script: deque[Callable[[Line], Any]] = deque()

    def buildProtocol(self, addr: object) -> Line:
        return Line(self)


class HungUp(Factory):
    """A plain HTTP server that gets something else: it says so and hangs up."""

    noisy = False

    def buildProtocol(self, addr: object) -> Protocol:
        protocol = Protocol()
        protocol.dataReceived = lambda _: answer_and_close(b"HTTP/1.1 400 Bad Request\r\n\r\n")(protocol)
        return protocol


def answer(data: bytes) -> Callable[[Line], None]:
    """Write bytes."""
    return lambda line: line.transport.write(data)


def answer_and_close(data: bytes) -> Callable[[Line], None]:
    """Write bytes and close."""

    def act(line: Line) -> None:
        line.transport.write(data)
        line.transport.loseConnection()

    return act


def status(line: bytes, *headers: bytes) -> Callable[[Line], None]:
    """Answer a status without a body."""
    return answer(b"\r\n".join([b"HTTP/1.1 " + line, b"Content-Length: 0", *headers, b"", b""]))


def hang(line: Line) -> None:
    """Say nothing."""


def hang_up(line: Line) -> None:
    """Close without an answer."""
    line.transport.loseConnection()


def certificate() -> tuple[bytes, bytes]:
    """A self-signed certificate for localhost, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return signed.public_bytes(serialization.Encoding.PEM), private


class ReceiverTestCase(TestCase):
    """A receiver and a sink for each test."""

    timeout = 30
    # For tests in which the time-out has to come; the others end long before.
    short = 0.15

    def setUp(self) -> None:
        self.receiver = Receiver()
        self.metrics = FakeMetrics()
        self.port = reactor.listenTCP(0, self.receiver, interface="127.0.0.1")
        self.sink = self.make_sink()

    async def tearDown(self) -> None:
        await self.sink.close()
        await maybeDeferred(self.port.stopListening)
        for line in self.receiver.lines:
            if not line.gone.called:
                line.transport.abortConnection()
                await line.gone

    def make_sink(self, timeout: float = 20, scheme: str = "http", **options: Any) -> WebhookSink:
        """A sink that posts to the receiver."""
        host = "127.0.0.1" if scheme == "http" else "localhost"
        return webhook_sink(
            reactor,
            f"{scheme}://{host}:{self.port.getHost().port}/internal/ws/events?from=gateway",
            ["secret"],
            time.time,
            timeout=timeout,
            concurrency=2,
            user_agent="ws-gateway/test",
            metrics=self.metrics,
            **{"connection_max_age": 60, **options},
        )

    async def deliver(self, *script: Callable[[Line], Any]) -> Receipt | Failure:
        """Deliver one event; the receiver does what the script says."""
        self.receiver.script.extend(script)
        [result] = await self.sink.deliver([make_envelope(len(self.receiver.requests))])
        return result

    def assert_down(self, result: Receipt | Failure, detail: str) -> TargetDown:
        """The result says that the target is down and why."""
        self.assertIsInstance(result, Failure)
        self.assertIs(result.type, TargetDown)
        self.assertIn(detail, result.value.detail)
        return result.value


class AnswerTests(ReceiverTestCase):
    """Answers, wrong and right."""

    async def test_request(self) -> None:
        """The request is a POST to the path and query, with the event as its body."""
        self.assertIsInstance(await self.deliver(), Receipt)
        [(head, body)] = self.receiver.requests
        self.assertTrue(head.startswith(b"POST /internal/ws/events?from=gateway HTTP/1.1\r\n"))
        self.assertEqual(body, make_envelope(0).body)
        self.assertIn(b"host: 127.0.0.1:%d" % self.port.getHost().port, head.lower())

    async def test_no_content(self) -> None:
        """204 without any body is delivered, and the connection is used again."""
        no_content = answer(b"HTTP/1.1 204 No Content\r\n\r\n")
        self.assertIsInstance(await self.deliver(no_content), Receipt)
        self.assertIsInstance(await self.deliver(no_content), Receipt)
        self.assertEqual(len(self.receiver.lines), 1)

    async def test_continue(self) -> None:
        """An interim answer is no answer."""
        interim = answer(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 422 No\r\nContent-Length: 0\r\n\r\n")
        result = await self.deliver(interim)
        self.assertIs(result.type, EventRefused)

    async def test_redirect(self) -> None:
        """A redirect is not followed."""
        result = await self.deliver(status(b"307 Temporary Redirect", b"Location: /elsewhere"))
        self.assert_down(result, "307")
        self.assertEqual(len(self.receiver.requests), 1)

    async def test_retry_after(self) -> None:
        """429 brings its Retry-After along, in seconds or as a date; nonsense is ignored."""
        asked = []
        for value in (b"7", b"Sun, 06 Nov 2094 08:49:37 GMT", b"later"):
            result = await self.deliver(status(b"429 Too Many Requests", b"Retry-After: " + value))
            asked.append(self.assert_down(result, "429").retry_after)
        self.assertEqual(asked[0], 7.0)
        self.assertGreater(asked[1], 1e9)
        self.assertIsNone(asked[2])

    async def test_garbage(self) -> None:
        """What is no HTTP is a target that is down; the receiver's words do not get into the detail."""
        result = await self.deliver(answer_and_close(b"SSH-2.0-canary\r\n\r\n"))
        error = self.assert_down(result, "")
        self.assertNotIn("canary", error.detail)

    async def test_too_long_a_promise(self) -> None:
        """A 200 whose body ends early is a 200; the connection is not used again."""
        cut = answer_and_close(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok")
        self.assertIsInstance(await self.deliver(cut), Receipt)
        self.assertIsInstance(await self.deliver(), Receipt)
        self.assertEqual(len(self.receiver.lines), 2)

    async def test_too_short_a_promise(self) -> None:
        """Bytes behind the promised body disturb no later answer."""
        more = answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nok and more")
        for _ in range(3):
            self.assertIsInstance(await self.deliver(more), Receipt)

    async def test_endless_body(self) -> None:
        """Of an answer without end only 64 KiB are taken; the status counts, the connection is cut."""
        piece = b"x" * 16384
        result = await self.deliver(
            lambda line: line.endless(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n", piece)
        )
        self.assertIsInstance(result, Receipt)
        [line] = self.receiver.lines
        await line.gone

    async def test_endless_head(self) -> None:
        """A head without end is cut off."""
        result = await self.deliver(
            lambda line: line.endless(b"HTTP/1.1 200 OK\r\n", b"X-Filler: " + b"x" * 1000 + b"\r\n")
        )
        self.assert_down(result, "")
        [line] = self.receiver.lines
        await line.gone

    async def test_endless_chunks(self) -> None:
        """Chunks of one byte each are cut off too."""
        start = b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n"
        result = await self.deliver(lambda line: line.endless(start, b"1\r\nx\r\n" * 1000))
        self.assert_down(result, "503")
        [line] = self.receiver.lines
        await line.gone

    async def test_metrics(self) -> None:
        """Taken events, failed requests and their duration are counted."""
        for name in ("webhook_publish_total", "webhook_publish_failed_total"):
            self.assertEqual(self.metrics.value(name), 0)
        await self.deliver()
        await self.deliver(status(b"500 Oops"))
        await self.deliver(status(b"503 Busy"))
        self.assertEqual(self.metrics.value("webhook_publish_total"), 1)
        self.assertEqual(self.metrics.value("webhook_publish_failed_total"), 2)
        self.assertEqual(len(self.metrics.observed("webhook_duration_seconds")), 3)


class SlowReceiverTests(ReceiverTestCase):
    """Receivers that take their time."""

    def setUp(self) -> None:
        super().setUp()
        self.sink = self.make_sink(timeout=self.short)

    async def test_hangs(self) -> None:
        """No answer in time is a target that is down, and the connection is cut."""
        self.assert_down(await self.deliver(hang), "no answer within 0.15 s")
        [line] = self.receiver.lines
        await line.gone

    async def test_drips_head(self) -> None:
        """A head that comes byte by byte does not stretch the time."""
        drip = b"X-Filler: x\r\n"
        result = await self.deliver(lambda line: line.drip(b"HTTP/1.1 200 OK\r\n", drip))
        self.assert_down(result, "no answer within")
        [line] = self.receiver.lines
        await line.gone

    async def test_drips_body(self) -> None:
        """A body that comes byte by byte is cut off in time; the status counts."""
        start = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n"
        self.assertIsInstance(await self.deliver(lambda line: line.drip(start, b"x")), Receipt)
        [line] = self.receiver.lines
        await line.gone

    async def test_hangs_on_kept_connection(self) -> None:
        """A time-out on a kept connection is not repeated: we gave up, the receiver did not hang up."""
        self.assertIsInstance(await self.deliver(), Receipt)
        self.assert_down(await self.deliver(hang), "no answer within")
        self.assertEqual(len(self.receiver.requests), 2)

    async def test_never_accepts(self) -> None:
        """The time includes connecting: a listener that accepts nobody is down in time."""
        # A TLS hello that nobody answers is as good as a connection that is never made.
        await self.sink.close()
        self.sink = self.make_sink(timeout=self.short, scheme="https")
        [result] = await self.sink.deliver([make_envelope()])
        self.assert_down(result, "no answer within")


class ConnectionTests(ReceiverTestCase):
    """Which connection a request takes."""

    async def test_kept(self) -> None:
        """Requests one after the other share a connection."""
        for _ in range(3):
            self.assertIsInstance(await self.deliver(), Receipt)
        self.assertEqual(len(self.receiver.lines), 1)

    async def test_closed_in_between(self) -> None:
        """A connection that the receiver closed after its answer is replaced."""
        self.assertIsInstance(await self.deliver(answer_and_close(OK)), Receipt)
        await self.receiver.lines[0].gone
        self.assertIsInstance(await self.deliver(), Receipt)
        self.assertEqual(len(self.receiver.requests), 2)

    async def test_connection_close(self) -> None:
        """`Connection: close` is believed."""
        close = answer_and_close(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        self.assertIsInstance(await self.deliver(close), Receipt)
        self.assertIsInstance(await self.deliver(close), Receipt)
        self.assertEqual(len(self.receiver.lines), 2)

    async def test_closed_as_the_request_left(self) -> None:
        """A kept connection that is closed instead of answering: once again at once, the same event."""
        self.assertIsInstance(await self.deliver(), Receipt)
        self.assertIsInstance(await self.deliver(hang_up), Receipt)
        self.assertEqual(len(self.receiver.lines), 2)
        _, first, second = self.receiver.requests
        self.assertEqual(first, second)
        self.assertEqual(self.metrics.value("webhook_publish_failed_total"), 0)

    async def test_closed_twice(self) -> None:
        """The new connection gets no third chance."""
        self.assertIsInstance(await self.deliver(), Receipt)
        self.assert_down(await self.deliver(hang_up, hang_up), "ConnectionDone")
        self.assertEqual(len(self.receiver.requests), 3)

    async def test_new_connection_closed(self) -> None:
        """A new connection that is closed without an answer is a target that is down."""
        self.assert_down(await self.deliver(hang_up), "ConnectionDone")
        self.assertEqual(len(self.receiver.requests), 1)

    async def test_refused(self) -> None:
        """Nobody listens."""
        await maybeDeferred(self.port.stopListening)
        self.assert_down(await self.deliver(), "ConnectionRefusedError")

    async def test_old_connection(self) -> None:
        """A connection past its age is closed while it is idle, and the next request takes a new one."""
        await self.sink.close()
        self.sink = self.make_sink(connection_max_age=0.05)
        self.assertIsInstance(await self.deliver(), Receipt)
        await self.receiver.lines[0].gone
        self.assertIsInstance(await self.deliver(), Receipt)
        self.assertEqual(len(self.receiver.lines), 2)

    async def test_grows_old_during_a_request(self) -> None:
        """A connection that grows old under a request serves it to the end and is closed then."""
        await self.sink.close()
        self.sink = self.make_sink(connection_max_age=0.02)

        def late(line: Line) -> None:
            reactor.callLater(0.06, line.transport.write, OK)

        self.assertIsInstance(await self.deliver(late), Receipt)
        await self.receiver.lines[0].gone

    async def test_close_cuts_everything(self) -> None:
        """close() ends kept connections and requests under way; their outcome is unknown."""
        self.receiver.script.append(hang)
        under_way = self.sink.deliver([make_envelope(1)])
        while not self.receiver.requests:
            await deferLater(reactor, 0.001)
        await self.deliver()
        await self.sink.close()
        [result] = await under_way
        self.assert_down(result, "the outcome is unknown")
        for line in self.receiver.lines:
            await line.gone


class TLSTests(ReceiverTestCase):
    """https."""

    async def setUp(self) -> None:
        super().setUp()
        await maybeDeferred(self.port.stopListening)
        self.pem, key = certificate()
        server = ssl.PrivateCertificate.loadPEM(self.pem + key)
        self.port = reactor.listenSSL(0, self.receiver, server.options(), interface="127.0.0.1")

    async def test_trusted(self) -> None:
        """A certificate of a trusted authority is good; the connection is kept like any other."""
        policy = BrowserLikePolicyForHTTPS(trustRoot=ssl.Certificate.loadPEM(self.pem))
        self.sink = self.make_sink(scheme="https", tls_policy=policy)
        self.assertIsInstance(await self.deliver(), Receipt)
        self.assertIsInstance(await self.deliver(), Receipt)
        self.assertEqual(len(self.receiver.lines), 1)

    async def test_endless_body(self) -> None:
        """An endless answer is cut off under TLS too."""
        policy = BrowserLikePolicyForHTTPS(trustRoot=ssl.Certificate.loadPEM(self.pem))
        self.sink = self.make_sink(scheme="https", tls_policy=policy)
        start = b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n"
        result = await self.deliver(lambda line: line.endless(start, b"x" * 16384))
        self.assertIsInstance(result, Receipt)
        await self.receiver.lines[0].gone

    async def test_untrusted(self) -> None:
        """Certificates are verified unless something else is asked for."""
        self.sink = self.make_sink(scheme="https")
        self.assert_down(await self.deliver(), "certificate verify failed")
        self.assertEqual(self.receiver.requests, [])

    async def test_plain_port(self) -> None:
        """https to a port that speaks plain HTTP is a target that is down."""
        await maybeDeferred(self.port.stopListening)
        self.port = reactor.listenTCP(0, HungUp(), interface="127.0.0.1")
        self.sink = self.make_sink(scheme="https")
        self.assert_down(await self.deliver(), "")
