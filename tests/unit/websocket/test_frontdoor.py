"""One port for everything: one head is read, then somebody else goes on."""

from typing import Any

from attrs import evolve
from twisted.internet.address import UNIXAddress
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.web.harness import read_answers
from tests.unit.websocket.gate import TOKEN, Gate, Line, request
from ws_gateway.domain.messages import Identity
from ws_gateway.testing.frames import close_frame, frame
from ws_gateway.websocket.frontdoor import MAX_AFTER_REFUSAL, FrontDoor
from ws_gateway.websocket.head import MAX_HEAD_BYTES

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
PING = frame(b'{"type":"ping"}')


class NoHalfClose(StringTransport):
    """A transport that can only be closed whole."""

    send = Line.send
    received = Line.received

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self._held = b""
        self.protocol = protocol
        protocol.makeConnection(self)


class DoorTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.gate = Gate()
        self.gate.start()

    def assert_empty(self) -> None:
        """Nothing is left behind by anybody."""
        self.assertEqual((len(self.gate.registry), len(self.gate.wheel)), (0, 0))
        self.assertEqual(self.gate.authenticator.waiting, 0)

    def assert_problem(self, line: Line, status: int) -> None:
        """There was one answer, and then our half was closed."""
        (answer,) = read_answers(line.value())
        self.assertEqual(answer.status, status)
        self.assertEqual(answer.header("content-type"), "application/problem+json")
        self.assertEqual(answer.document["status"], status)
        self.assertTrue(line.half_closed)
        self.assertNotIn(b"canary", line.value())


class HeadTests(DoorTestCase):
    def test_cut_anywhere(self) -> None:
        """A head may come in any two pieces, and with frames behind it."""
        data = request() + PING
        for place in range(1, len(data)):
            line = self.gate.line(data[:place], data[place:])
            self.assertEqual((line.status, line.received.texts), (101, [b'{"type":"pong"}']), place)
            line.lose()
        self.assert_empty()

    def test_byte_by_byte(self) -> None:
        """It may come in single bytes."""
        line = self.gate.line(*[bytes([byte]) for byte in request() + PING])
        self.assertEqual((line.status, line.received.texts), (101, [b'{"type":"pong"}']))

    def test_empty_line_before(self) -> None:
        """Empty lines before the request are ignored, wherever they are cut."""
        for chunks in (
            [b"\r\n" + request()],
            [b"\r\n", request()],
            [b"\r", b"\n" + request()],
            [b"\r\nG", request()[1:]],
            [b"\r\n\r\n\r\n", b"\r\n\r", b"\n" + request()],
        ):
            self.assertEqual(self.gate.line(*chunks).status, 101, chunks[0])

    def test_large(self) -> None:
        """A head over 16 KiB is refused as soon as it is; one of 16 KiB is read."""
        for chunk in (1, 1000, 40_000):
            line = self.gate.line()
            data = b"GET /ws HTTP/1.1\r\nX: " + b"x" * 100_000
            sent = 0
            while sent < len(data) and not line.half_closed:
                line.send(data[sent : sent + chunk])
                sent += chunk
            self.assert_problem(line, 431)
            self.assertLessEqual(sent, max(MAX_HEAD_BYTES + chunk, 40_000))
        filler = MAX_HEAD_BYTES - len(request("/ws", TOKEN, "X-Fill: "))
        self.assertEqual(self.gate.line(request("/ws", TOKEN, "X-Fill: " + "x" * filler)).status, 101)
        line = self.gate.line(request("/ws", TOKEN, "X-Fill: " + "x" * (filler + 1)))
        self.assert_problem(line, 431)
        self.assertEqual(self.gate.refused("bad_request"), 4)

    def test_much_behind_a_small_head(self) -> None:
        """What stands behind the head does not count."""
        line = self.gate.line(request() + PING * 2000)
        self.assertEqual(len(line.received.texts), 2000)

    def test_garbage(self) -> None:
        """What can never be a request is refused at once, and nobody hears of it."""
        for data in (
            b"\x16\x03\x01\x02\x00",
            b"SSH-2.0-x\r\n",
            b"GET /\x00",
            b"GET / HTTP/1.1\nA: b\n\n",
            b"\r\n\r\nGET\r\n",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        ):
            self.assert_problem(self.gate.line(data), 400)
        self.assertEqual(self.gate.emitter.events, [])
        self.assertEqual(self.gate.refused("bad_request"), 6)

    def test_split_header_bytes(self) -> None:
        """`\\x85` in a value does not end a line: no header is smuggled in behind it."""
        line = self.gate.line(request("/ws", None, f"X-Name: a\x85Authorization: Bearer {TOKEN}"))
        self.assertEqual(line.received.close, (4401, "unauthorized"))

    def test_redirect(self) -> None:
        """`?redirect=` is a query like any other."""
        line = self.gate.line(request("/ws?redirect=https://evil.example&after=1"))
        self.assertEqual(line.status, 101)
        self.assertNotIn(b"evil", line.value())


class SlowTests(DoorTestCase):
    def test_too_slow(self) -> None:
        """The head must be there ten seconds after accept, however busily it drips."""
        line = self.gate.line()
        data = request()
        for place in range(40):
            self.assertFalse(line.half_closed)
            line.send(data[place : place + 1])
            self.gate.advance(0.25)
        self.gate.advance(0.5)
        self.assert_problem(line, 408)
        self.assertEqual(self.gate.refused("timeout"), 1)

    def test_silent(self) -> None:
        """Who says nothing at all is dropped without an answer."""
        line = self.gate.line()
        self.gate.advance(9.75)
        self.assertFalse(line.disconnected)
        self.gate.advance(0.75)
        self.assertTrue(line.disconnected)
        self.assertEqual(line.value(), b"")
        line.lose()
        self.assert_empty()

    def test_deadline_is_kept_while_judged(self) -> None:
        """The deadline of the judgement counts from accept, too."""
        self.gate.authenticator.hang()
        line = self.gate.line()
        self.gate.advance(7)
        line.send(request())
        self.gate.advance(2.5)
        self.assertEqual(line.value(), b"")
        self.gate.advance(1)
        self.assert_problem(line, 408)
        line.lose()
        self.assert_empty()

    def test_done_in_time(self) -> None:
        """Who was let in is not bound by the deadline any more."""
        line = self.gate.line(request())
        self.gate.advance(60)
        self.assertFalse(line.disconnecting)
        self.assertEqual(len(self.gate.registry), 1)

    def test_gone_early(self) -> None:
        """A connection that comes and goes leaves nothing behind and is no event."""
        for data in (b"", b"GET /ws", b"\r\n"):
            self.gate.line(*([data] if data else [])).lose()
        self.assert_empty()
        self.assertEqual(self.gate.emitter.events, [])


class OthersTests(DoorTestCase):
    """What is not for us goes to the HTTP side, with every byte."""

    def test_http(self) -> None:
        """Requests go to the site, pipelined ones too."""
        line = self.gate.line(HEALTH + HEALTH)
        self.assertEqual([answer.status for answer in read_answers(line.value())], [200, 200])
        line.send(HEALTH)
        self.assertEqual(len(read_answers(line.value())), 3)

    def test_body(self) -> None:
        """A body behind the head arrives."""
        body = b'{"subjects":["a"],"payload":1}'
        head = (
            b"POST /internal/publish HTTP/1.1\r\nX-Api-Key: canary-key\r\nContent-Length: %d\r\n\r\n"
            % len(body)
        )
        line = self.gate.line(head + body[:5], body[5:])
        self.gate.clock.advance(0)
        (answer,) = read_answers(line.value())
        self.assertEqual((answer.status, answer.document), (200, {"sent": 0}))

    def test_foreign_method(self) -> None:
        """A method that the parser does not know is answered by the HTTP side, with 405 or 501."""
        (answer,) = read_answers(self.gate.line(b"FROBNICATE /health HTTP/1.1\r\nHost: x\r\n\r\n").value())
        self.assertIn(answer.status, (405, 501))

    def test_lost(self) -> None:
        """The site hears of the end of its connection."""
        line = self.gate.line(HEALTH)
        line.lose()
        self.assert_empty()
        self.assertEqual([call for call in self.gate.clock.getDelayedCalls() if call.getTime() > 30], [])

    def test_no_deadline(self) -> None:
        """The door's deadline does not bind the site."""
        line = self.gate.line(HEALTH)
        self.gate.advance(30)
        line.send(HEALTH)
        self.assertEqual(len(read_answers(line.value())), 2)


class JudgedTests(DoorTestCase):
    def test_let_in(self) -> None:
        """Who is let in is connected, and gets its frames answered."""
        line = self.gate.line(request())
        self.assertEqual(self.gate.emitter.types, ["connected"])
        line.send(PING)
        self.assertEqual(line.received.texts, [b'{"type":"pong"}'])
        line.lose()
        self.assertEqual(self.gate.emitter.types, ["connected", "disconnected"])
        self.assert_empty()

    def test_unix_socket(self) -> None:
        """A peer without an address is let in like any other."""
        line = Line(self.gate.factory.buildProtocol(UNIXAddress(None)), UNIXAddress(None))
        line.send(request())
        self.assertEqual(line.status, 101)
        self.assertIsNone(self.gate.registry.everyone()[0].view().client_ip)

    def test_refused(self) -> None:
        """A refusal is one write, then our half is closed; the client gets time to go."""
        line = self.gate.line(request("/ws", None))
        self.assertEqual(line.received.close, (4401, "unauthorized"))
        self.assertTrue(line.half_closed)
        line.send(close_frame(4401))
        self.gate.advance(4.75)
        self.assertFalse(line.disconnected)
        self.gate.advance(0.75)
        self.assertTrue(line.disconnected)
        line.lose()
        self.assert_empty()
        self.assertEqual(self.gate.emitter.events, [])

    def test_refused_and_pouring(self) -> None:
        """Who goes on sending after a refusal is cut after 64 KiB."""
        line = self.gate.line(request("/ws", None))
        line.send(b"x" * MAX_AFTER_REFUSAL)
        self.assertFalse(line.disconnected)
        line.send(b"x")
        self.assertTrue(line.disconnected)

    def test_refused_and_pouring_at_once(self) -> None:
        """What came with the head counts."""
        line = self.gate.line(request("/ws", None) + b"x" * (MAX_AFTER_REFUSAL + 1))
        self.assertEqual(line.received.close, (4401, "unauthorized"))
        self.assertTrue(line.disconnected)

    def test_no_half_close(self) -> None:
        """A transport that cannot be half-closed is closed when the answer is written."""
        line = NoHalfClose(self.gate.factory.buildProtocol(None))
        line.send(request("/ws", None))
        self.assertTrue(line.disconnecting)
        self.assertEqual(line.received.close, (4401, "unauthorized"))

    def test_broken_judgement(self) -> None:
        """A defect of ours is logged and answered with 500, without a detail."""
        self.gate.authenticator.fail_with(ZeroDivisionError("canary detail"))
        self.assert_problem(self.gate.line(request()), 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.gate.emitter.events, [])

    def test_broken_opening(self) -> None:
        """So is a client whose connection cannot be built."""
        self.gate.authenticator._identities = {TOKEN: Identity("42", claims={"x": object()})}
        self.assert_problem(self.gate.line(request()), 500)
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.assertEqual(len(self.gate.registry), 0)

    def test_broken_hand_over(self) -> None:
        """A protocol that fails when it gets its transport ends the connection."""

        class Broken(Protocol):
            def connectionMade(self) -> None:
                raise ZeroDivisionError

        gate = Gate()
        door = FrontDoor(evolve(gate.house, open=lambda admitted: Broken()), gate.site)
        line = Line(door, None)
        line.send(request())
        self.assertTrue(line.disconnected)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class AwaitedKeyTests(DoorTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.gate.authenticator.hang()

    def test_comes(self) -> None:
        """When the key comes, the client goes on, with all that it sent meanwhile."""
        line = self.gate.line(request() + PING[:3])
        line.send(PING[3:] + PING)
        self.assertEqual((line.value(), line.producerState), (b"", "paused"))
        line.send(PING)
        self.gate.authenticator.release()
        self.assertEqual(line.producerState, "producing")
        line.send()
        self.assertEqual((line.status, line.received.texts), (101, [b'{"type":"pong"}'] * 3))
        line.lose()
        self.assert_empty()

    def test_quiet_client_is_watched(self) -> None:
        """Reading goes on while the client waits for its answer, so that its end is noticed."""
        line = self.gate.line(request())
        self.assertEqual(line.producerState, "producing")
        self.gate.authenticator.release()
        self.assertEqual(line.status, 101)

    def test_two_requests(self) -> None:
        """A second request meanwhile is no second handshake: the first is answered, once."""
        line = self.gate.line(request(), request("/ws", "other"))
        self.gate.authenticator.release()
        line.send()
        self.assertEqual(line.value().count(b"HTTP/1.1 "), 1)
        self.assertEqual((line.status, line.received.close and line.received.close[0]), (101, 1002))
        self.assertEqual(self.gate.emitter.types[0], "connected")
        self.assertEqual(len(self.gate.emitter.types), 1)

    def test_client_leaves(self) -> None:
        """A client that leaves meanwhile leaves nothing behind, and no event."""
        line = self.gate.line(request())
        self.assertEqual(self.gate.authenticator.waiting, 1)
        line.lose()
        self.assert_empty()
        self.gate.authenticator.release()
        self.assertEqual((line.value(), self.gate.emitter.events), (b"", []))

    def test_deadline(self) -> None:
        """A key that does not come in time is a refusal; when it comes later, nothing happens."""
        line = self.gate.line(request())
        self.gate.advance(10.5)
        self.assert_problem(line, 408)
        self.assertEqual((self.gate.authenticator.waiting, self.gate.refused("timeout")), (0, 1))
        self.gate.authenticator.release()
        self.assertEqual(len(read_answers(line.value())), 1)
        line.lose()
        self.assert_empty()

    def test_refused_while_paused(self) -> None:
        """A refusal of a client whose reading is paused is read on until it goes."""
        line = self.gate.line(request("/ws", "wrong"), b"x")
        self.gate.authenticator.release()
        self.assertEqual((line.received.close, line.producerState), ((4401, "unauthorized"), "producing"))
