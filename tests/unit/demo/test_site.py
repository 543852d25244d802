"""Requests as bytes: bodies without end, and clients that leave."""

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Request

from ws_gateway.demo.answers import Folder, Leaf, answer_json, answer_later
from ws_gateway.demo.site import DemoSite


class Echo(Leaf):
    """Says how long the body was."""

    methods = (b"POST",)

    def render_POST(self, request: Request) -> bytes:
        assert request.content is not None
        return answer_json(request, len(request.content.read()))


class Later(Leaf):
    """Answers when the test says so."""

    def __init__(self) -> None:
        super().__init__()
        self.cancelled = 0
        self.answer: Deferred[object] = Deferred(self._cancel)

    def _cancel(self, _: object) -> None:
        self.cancelled += 1

    def render_GET(self, request: Request) -> bytes | int:
        return answer_later(request, self.answer)


class SiteTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        root = Folder()
        self.later = Later()
        root.putChild(b"echo", Echo())
        root.putChild(b"later", self.later)
        self.site = DemoSite(root, Clock())
        self.transport = StringTransport()
        self.protocol = self.site.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def say(self, data: bytes) -> bytes:
        self.protocol.dataReceived(data)
        return self.transport.value()


class BodyTests(SiteTestCase):
    def test_body(self) -> None:
        """A body up to 2 MiB is read."""
        size = 2 * 1024 * 1024
        self.say(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        self.assertTrue(self.say(b"x" * size).endswith(b"\r\n\r\n%d" % size))

    def test_too_long(self) -> None:
        """A longer body gets 413 after it came, announced or in chunks, and the connection goes on."""
        size = 2 * 1024 * 1024 + 1
        self.say(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        self.assertTrue(self.say(b"x" * size).startswith(b"HTTP/1.1 413 "))
        self.transport.clear()
        self.say(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        self.say(b"%x\r\n%b\r\n" % (size, b"x" * size))
        self.assertTrue(self.say(b"0\r\n\r\n").startswith(b"HTTP/1.1 413 "))
        self.transport.clear()
        self.say(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\n\r\nx")
        self.assertTrue(self.transport.value().startswith(b"HTTP/1.1 200 "))

    def test_far_too_long(self) -> None:
        """Who announces or sends far more is cut off."""
        self.say(b"POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 300000000\r\n\r\n")
        self.say(b"x")
        self.assertTrue(self.transport.disconnecting)

    def test_far_too_long_in_chunks(self) -> None:
        """A body in chunks without end is cut off, and never kept."""
        self.say(b"POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        chunk = b"100000\r\n" + b"x" * 0x100000 + b"\r\n"
        for _ in range(16):
            self.say(chunk)
        self.assertFalse(self.transport.disconnecting)
        self.say(chunk)
        self.assertTrue(self.transport.disconnecting)


class LaterTests(SiteTestCase):
    def test_client_leaves(self) -> None:
        """A client that leaves cancels what it waits for, and nothing is written to it."""
        self.say(b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
        self.protocol.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.later.cancelled, 1)
        self.assertEqual(self.transport.value(), b"")

    def test_bug(self) -> None:
        """An error that nobody foresaw is logged, and the client hears nothing of it."""
        self.say(b"GET /later HTTP/1.1\r\nHost: x\r\n\r\n")
        self.later.answer.errback(ZeroDivisionError("inner"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertTrue(self.transport.value().startswith(b"HTTP/1.1 500 "))
        self.assertNotIn(b"inner", self.transport.value())
