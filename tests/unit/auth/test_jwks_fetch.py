"""One fetch through a real Agent, on fake endpoints and transports: bounded, and nothing stays behind."""

from typing import Any

from OpenSSL.SSL import Error as TLSError
from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.internet.error import (
    ConnectionDone,
    ConnectionLost,
    ConnectionRefusedError,
    DNSLookupError,
)
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransportWithDisconnection
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from ws_gateway.auth.jwks_connections import OwnConnections
from ws_gateway.auth.jwks_fetch import MAX_DOCUMENT, Fetcher, FetchFailed, Outcome, url_fetcher

_TIMEOUT = 5
_MOST = MAX_DOCUMENT + 1000


class Wire(StringTransportWithDisconnection):
    """A transport that can be aborted; like a real one it tells its protocol a little later."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def abortConnection(self) -> None:
        """Lose, but not within this call."""
        self._clock.callLater(0, self.loseConnection)

    def loseConnection(self) -> None:
        """Lose once."""
        if self.connected:
            super().loseConnection()


@implementer(IAgentEndpointFactory)
class Endpoints:
    """Every connection goes to a fake wire, unless it fails or never comes about."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.wires: list[Wire] = []
        self.error: Exception | None = None
        self.connecting: Deferred[Any] | None = None

    def endpointForURI(self, uri: object) -> "Endpoints":
        """One endpoint for all."""
        return self

    def connect(self, factory: Any) -> Deferred[Any]:
        """Connect at once, fail, or hang."""
        if self.error is not None:
            return fail(self.error)
        if self.connecting is not None:
            return self.connecting
        protocol = factory.buildProtocol(None)
        wire = Wire(self.clock)
        wire.protocol = protocol
        self.wires.append(wire)
        protocol.makeConnection(wire)
        return succeed(protocol)


class FetchTests(SynchronousTestCase):
    """The fetch as a whole."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.endpoints = Endpoints(self.clock)
        self.connections = OwnConnections(_MOST)
        agent = Agent.usingEndpointFactory(self.clock, self.endpoints, self.connections)
        self.fetcher = Fetcher(
            agent,
            "http://idp.example/keys?a=b",
            self.clock,
            _TIMEOUT,
            "ws-gateway/9",
            self.connections.abort,
        )

    @property
    def wire(self) -> Wire:
        """The connection."""
        return self.endpoints.wires[-1]

    def answer(self, *pieces: bytes) -> None:
        """The source says this."""
        for piece in pieces:
            self.wire.protocol.dataReceived(piece)

    def assert_failed(self, fetching: Deferred[bytes], outcome: Outcome, detail: str) -> None:
        """It failed like this, and left nothing behind."""
        failed = self.failureResultOf(fetching, FetchFailed).value
        self.assertIs(failed.outcome, outcome)
        self.assertIn(detail, failed.detail)
        self.assert_over()

    def assert_over(self) -> None:
        """No connection and no timer is left."""
        self.clock.advance(0)
        self.assertEqual([wire.connected for wire in self.endpoints.wires if wire.connected], [])
        self.assertEqual(self.connections.open, 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_request(self) -> None:
        """What is sent: no credentials, no gzip, a connection for this alone."""
        self.fetcher.fetch()
        head, _, rest = self.wire.value().partition(b"\r\n\r\n")
        first, *lines = head.split(b"\r\n")
        self.assertEqual(first, b"GET /keys?a=b HTTP/1.1")
        self.assertEqual(rest, b"")
        self.assertEqual(
            sorted(line.lower() for line in lines),
            [
                b"accept: application/jwk-set+json, application/json, */*",
                b"connection: close",
                b"host: idp.example",
                b"user-agent: ws-gateway/9",
            ],
        )

    def test_document(self) -> None:
        """With a length, in chunks, or until the end of the connection; whatever its type."""
        for answer in (
            (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Type: text/html\r\n\r\n{", b"..}"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n", b"3\r\n..}\r\n0\r\n\r\n"),
        ):
            fetching = self.fetcher.fetch()
            self.answer(*answer)
            self.assertEqual(self.successResultOf(fetching), b"{..}")
            self.assert_over()
        fetching = self.fetcher.fetch()
        self.answer(b"HTTP/1.0 200 OK\r\n\r\n{..}")
        self.assertNoResult(fetching)
        self.wire.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.successResultOf(fetching), b"{..}")

    def test_status(self) -> None:
        """Only 200 is good; redirects are not followed."""
        for code in (201, 204, 301, 302, 307, 401, 404, 500, 503):
            fetching = self.fetcher.fetch()
            self.answer(b"HTTP/1.1 %d Canary\r\nLocation: /other\r\nContent-Length: 2\r\n\r\n{}" % code)
            self.assert_failed(fetching, Outcome.STATUS, f"it answered {code}")
            self.assertEqual(len(self.endpoints.wires), 1)
            self.endpoints.wires.clear()

    def test_redirects_say_so(self) -> None:
        """The line for the operator tells why a redirect is no good."""
        fetching = self.fetcher.fetch()
        self.answer(b"HTTP/1.1 302 Found\r\nLocation: https://canary/\r\n\r\n")
        self.assert_failed(fetching, Outcome.STATUS, "302 (redirects are not followed)")

    def test_largest(self) -> None:
        """A document of exactly 1 MiB is read; one byte more is too large."""
        for size in (MAX_DOCUMENT, MAX_DOCUMENT + 1):
            fetching = self.fetcher.fetch()
            self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size, b"x" * (size - 1), b"x")
            if size == MAX_DOCUMENT:
                self.assertEqual(len(self.successResultOf(fetching)), size)
            else:
                self.assert_failed(fetching, Outcome.TOO_LARGE, "over 1024 KiB")

    def test_too_large_without_a_length(self) -> None:
        """A stream without end is cut at the limit, whatever still arrives."""
        fetching = self.fetcher.fetch()
        self.answer(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * MAX_DOCUMENT, b"x", b"x" * 500)
        self.assert_failed(fetching, Outcome.TOO_LARGE, "over 1024 KiB")

    def test_a_head_without_end(self) -> None:
        """The head counts: it cannot fill our memory either."""
        fetching = self.fetcher.fetch()
        self.answer(b"HTTP/1.1 200 OK\r\n")
        line = b"X-Canary: %s\r\n" % (b"x" * 1000)
        for _ in range(_MOST // len(line) + 1):
            self.answer(line)
        self.clock.advance(0)
        self.assert_failed(fetching, Outcome.BROKEN, "")

    def test_unreachable(self) -> None:
        """No connection, no name: nobody was troubled."""
        for error in (ConnectionRefusedError(), DNSLookupError("no such host")):
            self.endpoints.error = error
            self.assert_failed(self.fetcher.fetch(), Outcome.UNREACHABLE, type(error).__name__)

    def test_broken(self) -> None:
        """A connection that ends too early, or speaks something else; nothing of it is told."""
        for pieces in (
            (),
            (b"HTTP/1.1 200 OK\r\nContent-Le",),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", b"{canary"),
            (b"SSH-2.0-canary\r\n\r\n",),
            (b"HTTP/1.1 canary\r\n\r\n",),
        ):
            fetching = self.fetcher.fetch()
            self.answer(*pieces)
            if self.wire.connected:
                self.wire.connected = False
                self.wire.protocol.connectionLost(Failure(ConnectionLost()))
            failed = self.failureResultOf(fetching, FetchFailed).value
            self.assertIs(failed.outcome, Outcome.BROKEN)
            self.assertNotIn("canary", failed.detail)
            self.assert_over()

    def test_tls(self) -> None:
        """A certificate that is not trusted is a broken connection, and the reason is told."""
        fetching = self.fetcher.fetch()
        self.wire.connected = False
        self.wire.protocol.connectionLost(Failure(TLSError([("", "", "certificate verify failed")])))
        self.assert_failed(fetching, Outcome.BROKEN, "certificate verify failed")

    def test_timeout(self) -> None:
        """One time-out over all: connecting, head and body."""
        self.endpoints.connecting = Deferred()
        self.check_timeout(self.fetcher.fetch())
        self.endpoints.connecting = None
        for pieces in ((), (b"HTTP/1.1 200 OK\r\nContent-Le",), (b"HTTP/1.1 200 OK\r\n\r\n{",)):
            fetching = self.fetcher.fetch()
            self.answer(*pieces)
            self.check_timeout(fetching)

    def check_timeout(self, fetching: Deferred[bytes]) -> None:
        """It ends when the time is up, not earlier."""
        self.clock.advance(_TIMEOUT - 0.1)
        self.assertNoResult(fetching)
        self.clock.advance(0.1)
        self.assert_failed(fetching, Outcome.TIMEOUT, "did not answer within 5 s")

    def test_drip(self) -> None:
        """Bytes that trickle in win no time."""
        fetching = self.fetcher.fetch()
        self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(_TIMEOUT):
            self.assertNoResult(fetching)
            self.answer(b" ")
            self.clock.advance(1)
        self.assert_failed(fetching, Outcome.TIMEOUT, "did not answer")

    def test_cancelled(self) -> None:
        """Who gives up leaves no connection and no timer, whatever had come already."""
        for pieces in ((), (b"HTTP/1.1 200 OK\r\nContent-Le",), (b"HTTP/1.1 200 OK\r\n\r\n{",)):
            fetching = self.fetcher.fetch()
            self.answer(*pieces)
            fetching.cancel()
            self.failureResultOf(fetching)
            self.assert_over()
        self.endpoints.connecting = Deferred()
        fetching = self.fetcher.fetch()
        fetching.cancel()
        self.failureResultOf(fetching, CancelledError)
        self.assert_over()

    def test_again(self) -> None:
        """Each fetch has a connection of its own."""
        for count in (1, 2):
            fetching = self.fetcher.fetch()
            self.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            self.successResultOf(fetching)
            self.assertEqual(len(self.endpoints.wires), count)

    def test_built_for_a_reactor(self) -> None:
        """The real one is put together without touching the network."""
        self.assertIsInstance(url_fetcher(self.clock, "https://idp.example/", 5, "ws-gateway/9"), Fetcher)
