"""The HTTP connection: what is read of a request, and how it ends."""

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHalfCloseableDescriptor, ISSLTransport
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request
from zope.interface import directlyProvides, implementer

from tests.unit.web.harness import KEY, Gateway, WebTestCase, read_answers, view
from ws_gateway.web.channel import LINGER_BYTES, LINGER_SECONDS
from ws_gateway.web.keyless import KeylessBodies
from ws_gateway.web.limits import HttpLimits
from ws_gateway.web.request import GatewayRequest

KEYED = f"X-Api-Key: {KEY}\r\n".encode()
CHUNKED = b"POST /internal/publish HTTP/1.1\r\nTransfer-Encoding: chunked\r\n"
BODY = b'{"subjects":["a"],"payload":1}'
KEYED_BODY = b'{"api_key":"%b","subjects":["a"],"payload":1}' % KEY.encode()


@implementer(IHalfCloseableDescriptor)
class HalfCloseable(StringTransport):
    """A transport that can be shut for writing."""

    half_closed = False

    def loseWriteConnection(self) -> None:
        self.half_closed = True


class Full(StringTransport):
    """A transport whose peer reads nothing."""

    def write(self, data: bytes) -> None:
        super().write(data)
        self.producer.pauseProducing()  # type: ignore[union-attr]


class ChannelTestCase(WebTestCase):
    def setUp(self) -> None:
        self.gateway = Gateway()
        self.channel, self.transport = self.gateway.connect()

    def statuses(self) -> list[int]:
        return [answer.status for answer in read_answers(self.transport.value())]

    def assert_ended(self, status: int) -> None:
        """There was one answer, with the connection's end."""
        (answer,) = read_answers(self.transport.value())
        self.assert_problem(answer, status)
        self.assertEqual(answer.header("connection"), "close")
        self.assertTrue(self.transport.disconnecting)


class BodyWantedTests(ChannelTestCase):
    def head(self, path: str, length: int, extra: bytes = b"", method: str = "POST") -> None:
        self.channel.dataReceived(
            f"{method} {path} HTTP/1.1\r\nContent-Length: {length}\r\n".encode() + extra + b"\r\n"
        )

    def test_too_large(self) -> None:
        """An announced body over the limit is 413 at once, key or not."""
        for extra in (b"", KEYED):
            self.setUp()
            self.head("/internal/publish", 300_000_000, extra)
            self.assert_ended(413)

    def test_at_the_limit(self) -> None:
        """A body of exactly the limit is read."""
        self.head("/internal/publish", 1000)
        self.channel.dataReceived(KEYED_BODY.ljust(1000))
        self.assertEqual(self.statuses(), [200])

    def test_over_the_limit_by_one(self) -> None:
        """A byte more is not."""
        self.head("/internal/publish", 1001)
        self.assert_ended(413)

    def test_no_key_no_body(self) -> None:
        """Without a key only the publish calls wait for their body; the others answer without it."""
        for path in (
            "/internal/disconnect",
            "/internal/users/4/disconnect",
            "/internal/nothing",
            "/internal",
        ):
            self.setUp()
            self.head(path, 50)
            self.assert_ended(401)
        for path in ("/internal/publish", "/internal/publish/batch"):
            self.setUp()
            self.head(path, 50)
            self.assertEqual(self.transport.value(), b"")

    def test_key_reads_body(self) -> None:
        """With a key the calls that have a body read it."""
        self.head("/internal/disconnect", 16, KEYED)
        self.assertEqual(self.transport.value(), b"")
        self.channel.dataReceived(b'{"user_id":"no"}')
        self.assertEqual(self.statuses(), [200])
        self.assertFalse(self.transport.disconnecting)

    def test_unknown_path(self) -> None:
        """A body for a path that does not exist is not read, whatever its size."""
        for length in (5, 300_000_000):
            self.setUp()
            self.head("/nothing", length)
            self.assert_ended(404)

    def test_unknown_method(self) -> None:
        """Nor is one for a method that the call does not have."""
        self.head("/internal/publish", 300_000_000, KEYED, method="PUT")
        self.assert_ended(405)

    def test_unwanted_body(self) -> None:
        """A call without a body answers before it."""
        self.head("/health", 5, method="GET")
        (answer,) = read_answers(self.transport.value())
        self.assertEqual((answer.status, answer.header("connection")), (200, "close"))
        self.assertTrue(self.transport.disconnecting)

    def test_nothing_configured(self) -> None:
        """Where no key is configured, no body is read at all."""
        self.gateway = Gateway(api_keys=[])
        self.channel, self.transport = self.gateway.connect()
        self.head("/internal/publish", 50)
        self.assert_ended(403)

    def test_body_after_answer(self) -> None:
        """What a peer sends after a refusal is no request."""
        self.head("/nothing", 40)
        self.channel.dataReceived(b"GET /health HTTP/1.1\r\n\r\n" * 3)
        self.assert_ended(404)


class KeylessTests(ChannelTestCase):
    """Bodies of those who have not shown a key."""

    def setUp(self) -> None:
        super().setUp()
        self.gateway.site.keyless = self.keyless = KeylessBodies(100)

    def begin(self, size: int, *, path: str = "/internal/publish", lines: bytes = b"") -> StringTransport:
        """A call whose body stalls after so many bytes."""
        channel, transport = self.gateway.connect()
        channel.dataReceived(b"POST %b HTTP/1.1\r\nContent-Length: 200\r\n%b\r\n" % (path.encode(), lines))
        channel.dataReceived(b"{".ljust(size))
        self.channel = channel
        return transport

    def answered(self, transport: StringTransport) -> list[int]:
        return [answer.status for answer in read_answers(transport.value())]

    def test_the_oldest_is_given_up(self) -> None:
        """When they are too much together the oldest get 503, others go on."""
        calls = [self.begin(30), self.begin(30, path="/internal/publish/batch"), self.begin(30)]
        self.assertEqual([self.answered(call) for call in calls], [[], [], []])
        calls.append(self.begin(50))
        self.assertEqual([self.answered(call) for call in calls], [[503], [503], [], []])
        self.assertEqual(self.keyless.waiting_bytes, 80)
        (answer,) = read_answers(calls[0].value())
        self.assert_problem(answer, 503)
        self.assertEqual((answer.header("connection"), answer.header("retry-after")), ("close", "1"))
        self.assertTrue(calls[0].disconnecting)

    def test_the_oldest_itself(self) -> None:
        """It is given up when it goes on and there is no room."""
        first = self.begin(40)
        oldest = self.channel
        second = self.begin(50)
        oldest.dataReceived(b" " * 20)
        self.assertEqual((self.answered(first), self.answered(second)), ([503], []))
        self.assertEqual(self.keyless.waiting_bytes, 50)

    def test_with_a_key(self) -> None:
        """A key in a header takes no part in it."""
        self.begin(90, lines=KEYED)
        self.assertEqual(len(self.keyless), 0)

    def test_forgotten(self) -> None:
        """A body that is complete, or whose connection is gone, takes no room."""
        self.begin(90)
        self.channel.connectionLost(Failure(ConnectionLost()))
        self.assertEqual((len(self.keyless), self.keyless.waiting_bytes), (0, 0))
        done = self.begin(90)
        self.channel.dataReceived(b" " * 110)
        self.assertEqual(self.answered(done), [503])
        self.gateway.site.keyless = self.keyless = KeylessBodies(300)
        done = self.begin(90)
        self.channel.dataReceived(b" " * 110)
        self.assertEqual(self.answered(done), [401])
        self.assertEqual((len(self.keyless), self.keyless.waiting_bytes), (0, 0))

    def test_too_large_in_chunks(self) -> None:
        """One that is refused for its size takes no room, either."""
        self.gateway.site.keyless = self.keyless = KeylessBodies(10_000)
        self.channel.dataReceived(CHUNKED + b"\r\n" + b"7d0\r\n" + b" " * 2000)
        self.assert_ended(413)
        self.assertEqual(self.keyless.waiting_bytes, 0)

    def test_room(self) -> None:
        """There is room for 32 MiB, and for two bodies of the largest size."""
        for most, room in ((1000, 32 * 1024 * 1024), (100_000_000, 200_000_000)):
            site = Gateway(limits=HttpLimits(max_body_bytes=most)).site
            reader = Reader()
            self.assertTrue(site.keyless.grow(reader, room))
            self.assertFalse(site.keyless.grow(reader, 1))


class Reader:
    """Somebody who reads a body."""

    def give_up(self) -> None:
        raise AssertionError("there is nobody else")


class ChunkTests(ChannelTestCase):
    def test_whole(self) -> None:
        """A body in chunks is put together; the connection goes on."""
        self.channel.dataReceived(CHUNKED + b"\r\n")
        half = len(KEYED_BODY) // 2
        for part in (KEYED_BODY[:half], KEYED_BODY[half:]):
            self.channel.dataReceived(b"%x;ext=1\r\n%b\r\n" % (len(part), part))
        self.assertEqual(self.statuses(), [])
        self.channel.dataReceived(b"0\r\nTrailer: x\r\n\r\n")
        self.assertEqual(self.statuses(), [200])
        self.channel.dataReceived(b"GET /health HTTP/1.1\r\n\r\n")
        self.assertEqual(self.statuses(), [200, 200])

    def test_overflow(self) -> None:
        """413 as soon as the chunks are over the limit, be it one chunk or many."""
        self.channel.dataReceived(CHUNKED + b"\r\n3e8\r\n" + b"x" * 1000 + b"\r\n")
        self.assertEqual(self.statuses(), [])
        self.channel.dataReceived(b"1\r\nx")
        self.assert_ended(413)
        self.setUp()
        self.channel.dataReceived(CHUNKED + KEYED + b"\r\nffffffff\r\n" + b"x" * 2000)
        self.assert_ended(413)
        self.assertEqual(self.gateway.delivery.delivered, [])

    def test_overflow_with_end(self) -> None:
        """A body over the limit is refused although its end came in the same packet."""
        self.channel.dataReceived(CHUNKED + KEYED + b"\r\n3e9\r\n" + b" " * 1001 + b"\r\n0\r\n\r\n")
        self.assert_ended(413)

    def test_malformed(self) -> None:
        """Chunks that are none end with 400."""
        self.channel.dataReceived(CHUNKED + KEYED + b"\r\nzz\r\n")
        self.assert_ended(400)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_unwanted(self) -> None:
        """Chunks that nobody wants are not read."""
        self.channel.dataReceived(CHUNKED.replace(b"/internal/publish", b"/nothing") + b"\r\n")
        self.assert_ended(404)


class ExpectTests(ChannelTestCase):
    INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"

    def begin(self, path: str, length: int, version: str = "1.1", expect: str = "100-Continue") -> None:
        head = f"POST {path} HTTP/{version}\r\nContent-Length: {length}\r\nExpect: {expect}\r\n\r\n"
        self.channel.dataReceived(head.encode())

    def test_wanted(self) -> None:
        """A body that is wanted is asked for."""
        self.begin("/internal/publish", len(KEYED_BODY))
        self.assertEqual(self.transport.value(), self.INTERIM)
        self.channel.dataReceived(KEYED_BODY)
        self.assertEqual(self.statuses(), [200])

    def test_not_wanted(self) -> None:
        """One that is not gets its final answer instead."""
        for path, length, status in [
            ("/internal/publish", 300_000_000, 413),
            ("/internal/disconnect", 5, 401),
            ("/nothing", 5, 404),
        ]:
            self.setUp()
            self.begin(path, length)
            self.assert_ended(status)
            self.assertNotIn(b"100 Continue", self.transport.value())

    def test_others(self) -> None:
        """HTTP/1.0 knows no interim answers; other expectations are not ours."""
        self.begin("/internal/publish", 5, version="1.0")
        self.assertEqual(self.transport.value(), b"")
        self.setUp()
        self.begin("/internal/publish", 5, expect="wonders")
        self.assertEqual(self.transport.value(), b"")


class DeadlineTests(ChannelTestCase):
    def test_dripping_body(self) -> None:
        """A body that drips is answered 408 when its time is over, however lively it drips."""
        self.channel.dataReceived(b"POST /internal/publish HTTP/1.1\r\nContent-Length: 100\r\n\r\n")
        for _ in range(29):
            self.gateway.clock.advance(1)
            self.channel.dataReceived(b"x")
        self.assertEqual(self.statuses(), [])
        self.gateway.clock.advance(1)
        self.assert_ended(408)

    def test_dripping_head(self) -> None:
        """A head that drips is dropped without an answer."""
        for index in range(29):
            self.channel.dataReceived(b"GET /health HTTP/1.1\r\n" if index == 0 else b"A: b\r\n")
            self.gateway.clock.advance(1)
        self.assertFalse(self.transport.disconnecting)
        self.gateway.clock.advance(1)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.transport.value(), b"")

    def test_dripping_first_line(self) -> None:
        """So is a first line that never ends."""
        self.channel.dataReceived(b"GE")
        self.gateway.clock.advance(29)
        self.channel.dataReceived(b"T")
        self.gateway.clock.advance(1)
        self.assertTrue(self.transport.disconnecting)

    def test_each_request_its_own(self) -> None:
        """The time of a request begins with its first byte, not with the connection."""
        for _ in range(5):
            self.channel.dataReceived(b"GET /health HT")
            self.gateway.clock.advance(20)
            self.channel.dataReceived(b"TP/1.1\r\n\r\nGET /health")
            self.gateway.clock.advance(20)
            self.channel.dataReceived(b" HTTP/1.1\r\n\r\n")
        self.assertEqual(self.statuses(), [200] * 10)
        self.assertFalse(self.transport.disconnecting)

    def test_slow_answer(self) -> None:
        """The time that an answer takes does not count."""
        self.gateway.delivery.waiting = []
        head = b"POST /internal/publish HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(KEYED_BODY)
        self.channel.dataReceived(head + KEYED_BODY[:5])
        self.channel.dataReceived(KEYED_BODY[5:])
        self.gateway.clock.advance(1000)
        self.gateway.delivery.waiting[0].callback([1])
        self.assertEqual(self.statuses(), [200])

    def test_keepalive(self) -> None:
        """A quiet connection ends after the keep-alive time, and not before."""
        self.channel.dataReceived(b"GET /health HTTP/1.1\r\n\r\n")
        self.gateway.clock.advance(119)
        self.channel.dataReceived(b"GET /health HTTP/1.1\r\n\r\n")
        self.gateway.clock.advance(119)
        self.assertFalse(self.transport.disconnecting)
        self.gateway.clock.advance(1)
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(self.statuses(), [200, 200])

    def test_nothing_left(self) -> None:
        """A connection that is lost leaves no timer behind, whatever it was doing."""
        for data in (b"", b"GE", b"GET /health HTTP/1.1\r\nA", CHUNKED + KEYED + b"\r\n5\r\n", b"\xff\r\n"):
            gateway = Gateway()
            channel, _ = gateway.connect()
            channel.dataReceived(data)
            channel.connectionLost(Failure(ConnectionLost()))
            self.assertEqual((data, gateway.clock.getDelayedCalls()), (data, []))


class UnreadAnswerTests(ChannelTestCase):
    """A peer that asks and does not read the answers."""

    GET = b"GET /health HTTP/1.1\r\n\r\n"

    def setUp(self) -> None:
        self.gateway = Gateway()
        self.channel, self.transport = self.gateway.site.buildProtocol(None), Full()
        self.channel.makeConnection(self.transport)

    def test_one_answer_at_a_time(self) -> None:
        """Of many requests in one packet one is answered, and no more are read until it is on its way."""
        self.channel.dataReceived(self.GET * 100)
        for count in (1, 2, 3):
            self.assertEqual(self.statuses(), [200] * count)
            self.assertEqual(self.transport.producerState, "paused")
            self.channel.resumeProducing()

    def test_what_comes_behind(self) -> None:
        """What was read already is kept, in order, and cut anywhere."""
        self.channel.dataReceived(self.GET + self.GET[:10])
        self.channel.dataReceived(self.GET[10:] + b"nonsense\r\n\r\n")
        self.channel.resumeProducing()
        self.assertEqual(self.statuses(), [200, 200])
        self.channel.resumeProducing()
        self.assertEqual(self.statuses(), [200, 200, 400])

    def test_reading_again(self) -> None:
        """When all is answered and read, the connection reads on."""
        self.channel.dataReceived(self.GET)
        self.assertEqual(self.transport.producerState, "paused")
        self.channel.resumeProducing()
        self.assertEqual(self.transport.producerState, "producing")
        self.channel.dataReceived(self.GET)
        self.assertEqual(self.statuses(), [200, 200])

    def test_nothing_is_read(self) -> None:
        """It is closed after the time of a quiet connection, and cut soon after."""
        self.channel.dataReceived(self.GET)
        self.gateway.clock.advance(120)
        self.assertTrue(self.transport.disconnecting)
        self.assertFalse(self.transport.disconnected)
        self.gateway.clock.advance(15)
        self.assertTrue(self.transport.disconnected)
        self.channel.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.gateway.clock.getDelayedCalls(), [])


class LingerTests(ChannelTestCase):
    def setUp(self) -> None:
        self.gateway = Gateway()
        self.channel = self.gateway.site.buildProtocol(None)
        self.transport = HalfCloseable()
        self.channel.makeConnection(self.transport)

    def refuse(self) -> None:
        self.channel.dataReceived(b"POST /nothing HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n")

    def test_half_closed(self) -> None:
        """With bytes outstanding the connection is shut for writing only, so that the answer arrives."""
        self.refuse()
        self.assertTrue(self.transport.half_closed)
        self.assertFalse(self.transport.disconnecting)
        self.assertEqual(self.transport.producerState, "producing")
        self.assertIsNone(self.transport.producer)
        self.channel.dataReceived(b"x" * 100_000)
        self.assertEqual(self.statuses(), [404])
        self.assertFalse(self.transport.disconnected)

    def test_not_for_long(self) -> None:
        """Then it is cut."""
        self.refuse()
        self.gateway.clock.advance(LINGER_SECONDS)
        self.assertTrue(self.transport.disconnected)

    def test_not_for_much(self) -> None:
        """Or earlier, if the peer keeps pouring."""
        self.refuse()
        for _ in range(LINGER_BYTES // 65536):
            self.channel.dataReceived(b"x" * 65536)
        self.assertFalse(self.transport.disconnected)
        self.channel.dataReceived(b"x")
        self.assertTrue(self.transport.disconnected)

    def test_lost(self) -> None:
        """A peer that closes leaves nothing behind."""
        self.refuse()
        self.channel.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.gateway.clock.getDelayedCalls(), [])

    def test_malformed(self) -> None:
        """Garbage lingers as well, once; what follows it is not looked at."""
        self.channel.dataReceived(b"garbage\r\nGET /health HTTP/1.1\r\n\r\n" * 2)
        self.channel.dataReceived(b"GET /health HTTP/1.1\r\n\r\n")
        self.assertEqual(self.statuses(), [400])
        self.assertTrue(self.transport.half_closed)

    def test_paused(self) -> None:
        """It reads on although a full buffer had stopped it while the answer was made."""
        gateway = Gateway([view(f"c{number}") for number in range(501)])
        channel, transport = gateway.site.buildProtocol(None), HalfCloseable()
        channel.makeConnection(transport)
        head = f"GET /internal/connections HTTP/1.1\r\nX-Api-Key: {KEY}\r\nContent-Length: 50000\r\n\r\n"
        channel.dataReceived(head.encode() + b"x" * 20_000)
        channel.pauseProducing()
        self.assertEqual(transport.producerState, "paused")
        gateway.clock.advance(0)
        self.assertEqual(read_answers(transport.value())[0].status, 200)
        self.assertTrue(transport.half_closed)
        self.assertEqual(transport.producerState, "producing")

    def test_tls(self) -> None:
        """Under TLS there is no half of a connection to close; it ends whole."""
        directlyProvides(self.transport, ISSLTransport)
        self.refuse()
        self.assertFalse(self.transport.half_closed)
        self.assertTrue(self.transport.disconnecting)

    def test_ordinary_close(self) -> None:
        """A connection without outstanding bytes is simply closed."""
        self.channel.dataReceived(b"GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")
        self.assertFalse(self.transport.half_closed)
        self.assertTrue(self.transport.disconnecting)


class HeadTests(ChannelTestCase):
    def test_malformed(self) -> None:
        """Heads that are none get a 400 document, no traceback, and the connection ends."""
        for data in (
            b"garbage\r\n",
            b"GET /health\r\n",
            b"GET  /health HTTP/1.1\r\n",
            b"GET /health HTTP/2.0\r\n",
            b"GET /he\x00alth HTTP/1.1\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n",
            b"GET /health HTTP/1.1\r\nno colon\r\n\r\n",
            b"GET /health HTTP/1.1\r\nA : b\r\n\r\n",
            b"GET /health HTTP/1.1\r\nA: b\x00\r\n\r\n",
            b"POST /internal/publish HTTP/1.1\r\nContent-Length: 1e3\r\n\r\n",
            b"POST /internal/publish HTTP/1.1\r\nContent-Length: -1\r\nA: b\r\n\r\n",
            b"POST /internal/publish HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\nA: b\r\n\r\nx",
            b"POST /internal/publish HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST /internal/publish HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
            b"GET /health HTTP/1.1\r\n" + b"A: b\r\n" * 501 + b"\r\n",
            b"GET /health HTTP/1.1\r\n" + b"A: %b\r\n" % (b"x" * 5000) * 4 + b"\r\n",
        ):
            self.setUp()
            self.channel.dataReceived(data)
            self.assert_ended(400)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_endless_line(self) -> None:
        """A line that does not end, or is too long, is 431."""
        for data in (b"GET /" + b"x" * 17_000, b"GET /" + b"x" * 17_000 + b" HTTP/1.1\r\n\r\n"):
            self.setUp()
            self.channel.dataReceived(data)
            self.assert_ended(431)

    def test_http_10(self) -> None:
        """HTTP/1.0 without Host is answered and closed."""
        self.channel.dataReceived(b"GET /health HTTP/1.0\r\n\r\n")
        self.assertTrue(self.transport.value().startswith(b"HTTP/1.0 200 OK\r\n"))
        self.assertTrue(self.transport.disconnecting)
        self.assertEqual(read_answers(self.transport.value())[0].header("connection"), "close")

    def test_close_asked(self) -> None:
        """`close` ends the connection, in any case and company."""
        for line, ended in [
            (b"Connection: Close", True),
            (b"Connection: keep-alive, close", True),
            (b"Connection: x\r\nConnection:close", True),
            (b"Connection: keep-alive", False),
            (b"Connection: closed", False),
        ]:
            self.setUp()
            self.channel.dataReceived(b"GET /health HTTP/1.1\r\n" + line + b"\r\n\r\n")
            self.assertEqual((line, self.transport.disconnecting), (line, ended))
            self.assertEqual(self.statuses(), [200])

    def test_whole_url(self) -> None:
        """A whole URL as the target counts by its path."""
        answer = self.gateway.ask("GET", "http://user:secret@gateway:8180/health?x=1")
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.gateway.ask("GET", "http://gateway").status, 404)

    def test_pipelined(self) -> None:
        """Requests in one packet are answered in order, the slow one first."""
        self.gateway.delivery.waiting = []
        publish = b"POST /internal/publish HTTP/1.1\r\nContent-Length: %d\r\n\r\n%b" % (
            len(KEYED_BODY),
            KEYED_BODY,
        )
        self.channel.dataReceived(publish + b"GET /health HTTP/1.1\r\n\r\n" + publish + b"GET /noth")
        self.assertEqual(self.statuses(), [])
        self.gateway.delivery.waiting[0].callback([7])
        self.assertEqual(self.statuses(), [200, 200])
        self.channel.dataReceived(b"ing HTTP/1.1\r\n\r\n")
        self.gateway.delivery.waiting[1].callback([8])
        answers = read_answers(self.transport.value())
        self.assertEqual([a.status for a in answers], [200, 200, 200, 404])
        self.assertEqual([a.document.get("sent") for a in answers], [7, None, 8, None])

    def test_byte_by_byte(self) -> None:
        """However a request is cut, it is the same request."""
        request = b"\r\nPOST /internal/publish HTTP/1.1\r\nHost: x\r\n" + KEYED
        request += b"Content-Length: %d\r\n\r\n%b" % (len(BODY), BODY)
        for byte in request * 2:
            self.channel.dataReceived(bytes([byte]))
        self.assertEqual(self.statuses(), [200, 200])
        self.assertEqual([p.payload for p in self.gateway.delivery.delivered], [b"1", b"1"])
        self.channel.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.gateway.clock.getDelayedCalls(), [])

    def test_http_11_alone(self) -> None:
        """Nothing but HTTP/1.1 is negotiated under TLS."""
        self.assertEqual(self.gateway.site.acceptableProtocols(), [b"http/1.1"])


class Takeover(Resource):
    """Stands for the resource that turns a connection into a WebSocket."""

    isLeaf = True
    unread = b""

    def render_GET(self, request: GatewayRequest) -> int:
        self.unread = request.channel.detach()
        return NOT_DONE_YET


class Broken(Resource):
    """Fails in every way."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        raise RuntimeError("secret detail")

    def render_POST(self, request: Request) -> bytes:
        request.write(b"half an ans")
        raise RuntimeError("secret detail")


class UpgradeTests(ChannelTestCase):
    def test_detach(self) -> None:
        """A connection that served requests can become something else, with what came behind the request."""
        takeover = Takeover()
        gateway = Gateway(upgrade=takeover)
        channel, transport = gateway.connect()
        channel.dataReceived(b"GET /health HTTP/1.1\r\n\r\nGET /w")
        channel.dataReceived(b"s?token=x HTTP/1.1\r\n\r\n\x81\x85frames")
        self.assertEqual(takeover.unread, b"\x81\x85frames")
        self.assertIsNone(transport.producer)
        self.assertEqual(transport.producerState, "producing")
        self.assertEqual(gateway.clock.getDelayedCalls(), [])

    def test_detach_late(self) -> None:
        """Bytes that came while the resource was thinking are not lost, though the transport was paused."""
        takeover = Broken()
        seen: list[GatewayRequest] = []
        takeover.render_GET = lambda request: seen.append(request) or NOT_DONE_YET  # type: ignore[assignment]
        gateway = Gateway(upgrade=takeover)
        channel, transport = gateway.connect()
        channel.dataReceived(b"GET /ws HTTP/1.1\r\n\r\nab")
        channel.dataReceived(b"c" * 20_000)
        self.assertEqual(transport.producerState, "paused")
        self.assertEqual(seen[0].channel.detach(), b"ab" + b"c" * 20_000)
        self.assertEqual(transport.producerState, "producing")

    def test_paths(self) -> None:
        """The WebSocket path may be anywhere that is not ours, with a slash at its end or without."""
        for ws_path in ("/ws", "/a/b/ws", "/", "/ws/"):
            gateway = Gateway(upgrade=Takeover(), ws_path=ws_path)
            for path in {ws_path, ws_path.rstrip("/") + "/"}:
                answer = gateway.ask("POST", path)
                self.assertEqual((ws_path, path, answer.status), (ws_path, path, 405))
        for ws_path in ("/health", "/internal/ws"):
            self.assertRaises(ValueError, Gateway, upgrade=Takeover(), ws_path=ws_path)

    def test_foreign_resource(self) -> None:
        """A resource of another make gets problem documents for its errors, too."""
        gateway = Gateway(upgrade=Broken())
        answer = gateway.ask("DELETE", "/ws")
        self.assert_problem(answer, 405)
        self.assertIn("GET", answer.header("allow") or "")
        self.assert_problem(gateway.ask("GET", "/ws"), 500)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_failure_in_the_middle(self) -> None:
        """An answer that fails half-way is cut; there is nothing better to say."""
        _, transport = Gateway(upgrade=Broken()).begin("POST", "/ws")
        self.assertTrue(transport.disconnecting)
        self.assertNotIn(b"secret detail", transport.value())
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_failing_traversal(self) -> None:
        """So does a tree that fails while it is searched."""
        broken = Broken()
        broken.isLeaf = False
        broken.getChildWithDefault = lambda *_: 1 / 0  # type: ignore[method-assign]
        self.assert_problem(Gateway(upgrade=broken).ask("GET", "/ws/x"), 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
