"""One client: callbacks of Autobahn become inputs, effects become calls."""

from typing import Any

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.websocket.gate import QUIET, TOKEN, WALL, Gate, Line, request
from ws_gateway.domain.messages import ConnectionView, DisconnectCause
from ws_gateway.domain.outgoing import Batch, Outgoing
from ws_gateway.domain.session import SessionRules
from ws_gateway.interfaces import IConnection
from ws_gateway.testing.frames import BINARY, CONTINUATION, PING, PONG, TEXT, close_frame, frame
from ws_gateway.websocket.protocol import MAX_AFTER_CLOSE
from ws_gateway.websocket.queue import DropStrategy, QueueLimits
from ws_gateway.websocket.surroundings import Surroundings

ASK = frame(b'{"type":"ping"}')
ANSWER = b'{"type":"pong"}'


def batch(*payloads: bytes) -> Batch:
    return Batch([Outgoing(payload) for payload in payloads])


class ProtocolTestCase(SynchronousTestCase):
    def make(self, session: SessionRules = QUIET, **options: Any) -> Line:
        """A gate, and a client that was let in."""
        self.gate = Gate(session=session, **options)
        self.gate.start()
        line = self.gate.client()
        (self.connection,) = self.gate.registry.everyone()
        return line

    def writes(self, line: Line) -> list[bytes]:
        """From now on, what is written in one go."""
        written: list[bytes] = []
        write = line.write

        def noting(data: bytes) -> None:
            written.append(data)
            write(data)

        line.write = noting  # type: ignore[method-assign]
        return written

    def ended(self, line: Line) -> tuple[int, str, DisconnectCause]:
        """What the backend is told when the connection is over. Nobody is sent anything behind a Close."""
        if self.connection.state != self.connection.STATE_OPEN:
            self.assertEqual(self.connection.send_many(batch(b"behind it")), 0)
        line.lose()
        self.assertEqual(self.connection.send_many(batch(b"too late")), 0)
        (ending,) = self.gate.emitter.endings
        return ending.code, ending.reason, ending.cause


class OpeningTests(ProtocolTestCase):
    def test_interface(self) -> None:
        """A client's protocol is a connection."""
        self.make()
        verifyObject(IConnection, self.connection)

    def test_registered(self) -> None:
        """Whoever is let in is registered, counted and reported; whoever goes is not registered any more."""
        line = self.make()
        self.assertEqual(self.gate.emitter.types, ["connected"])
        self.assertEqual(self.gate.registry.count_of_user("42"), 1)
        self.assertEqual(self.gate.metrics.value("ws_connections_total"), 1)
        line.lose()
        self.assertEqual(self.gate.emitter.types, ["connected", "disconnected"])
        self.assertEqual((len(self.gate.registry), len(self.gate.wheel)), (0, 0))
        self.assertEqual(self.gate.metrics.value("ws_disconnects_total"), 1)

    def test_no_delay(self) -> None:
        """Small frames leave at once."""
        self.assertTrue(self.make().no_delay)

    def test_nothing_unsolicited(self) -> None:
        """An ordinary client hears nothing that it did not ask for."""
        line = self.make()
        self.gate.advance(120)
        self.assertEqual(line.received.frames, [])

    def test_no_secret_is_kept(self) -> None:
        """Neither the token nor any other header is kept anywhere behind an open connection."""
        self.gate = Gate()
        self.gate.line(
            request(
                f"/ws?token={TOKEN}", TOKEN, f"Cookie: a={TOKEN}", f"Sec-WebSocket-Protocol: bearer, {TOKEN}"
            )
        )
        (connection,) = self.gate.registry.everyone()
        found = reachable(connection)
        self.assertEqual([one for one in found if isinstance(one, str | bytes) and self.holds(one)], [])
        self.assertGreater(len(found), 100)

    def test_slim(self) -> None:
        """What only the handshake needed is gone."""
        self.make()
        kept = {"_wskey", "http_response_data", "websocket_extensions", "websocket_protocols"} & set(
            vars(self.connection)
        )
        self.assertEqual(kept, set())

    def holds(self, one: str | bytes) -> bool:
        return (TOKEN in one) if isinstance(one, str) else (TOKEN.encode() in one)

    def test_lost_before_open(self) -> None:
        """A connection that is lost before it was open is nobody's business."""
        gate = Gate(compression=True)
        offer = "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=99"
        line = gate.line(request("/ws", TOKEN, offer))
        self.assertEqual((line.status, line.disconnecting), (400, True))
        line.lose()
        self.assertEqual((gate.emitter.events, len(gate.registry)), ([], 0))
        self.assertEqual(gate.metrics.value("ws_disconnects_total"), 0)


def reachable(start: object) -> list[object]:
    """Everything that an object refers to through attributes and containers, classes and modules left out."""
    found: list[object] = []
    seen: set[int] = set()
    waiting = [start]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, type | Surroundings | StringTransport):
            continue
        seen.add(id(one))
        found.append(one)
        if isinstance(one, dict):
            waiting += [*one, *one.values()]
        elif isinstance(one, list | tuple | set | frozenset):
            waiting += one
        waiting += getattr(one, "__dict__", {}).values()
        for kind in type(one).__mro__:
            slots = getattr(kind, "__slots__", ())
            for name in (slots,) if isinstance(slots, str) else slots:
                if hasattr(one, name):
                    waiting.append(getattr(one, name))
    return found


class MessageTests(ProtocolTestCase):
    def test_texts(self) -> None:
        """Texts become events, in order, whether they come through the lane or through Autobahn."""
        line = self.make()
        line.send(
            frame(b'{"a":1}') + frame(b'{"a":', fin=False) + frame(b"2}", CONTINUATION) + frame(b'{"a":3}')
        )
        self.assertEqual(
            [event.raw for event in self.gate.emitter.messages], ['{"a":1}', '{"a":2}', '{"a":3}']
        )
        self.assertEqual([event.seq for event in self.gate.emitter.messages], [1, 2, 3])
        self.assertEqual(self.gate.metrics.value("ws_messages_total"), 3)
        self.assertEqual(line.received.frames, [])

    def test_binary(self) -> None:
        """Binary messages become events with base64."""
        line = self.make()
        line.send(frame(b"\x00\xff", BINARY))
        self.assertEqual(self.gate.emitter.messages[0].raw, "AP8=")

    def test_answers_are_joined(self) -> None:
        """All answers to one chunk leave in one write, in order with pongs."""
        line = self.make()
        written = self.writes(line)
        line.send(ASK * 3)
        self.assertEqual((len(written), line.received.texts), (1, [ANSWER] * 3))
        line.send(ASK + frame(b"hi", PING) + ASK)
        self.assertEqual(line.received.frames[3:], [(0x81, ANSWER), (0x8A, b"hi"), (0x81, ANSWER)])
        self.assertEqual(b"".join(written), line.value().removeprefix(b"\r\n\r\n"))

    def test_rate_limit(self) -> None:
        """Excess messages are answered, counted, and are no events."""
        line = self.make(SessionRules(ping_interval=0, rate_limit=1, rate_burst=2))
        line.send(frame(b"1") * 5)
        self.assertEqual(line.received.texts, [b'{"type":"rate_limited"}'] * 3)
        self.assertEqual(self.gate.metrics.value("ws_rate_limited_total"), 3)
        self.assertEqual(len(self.gate.emitter.messages), 2)

    def test_flood(self) -> None:
        """A flood ends with 4429; what comes behind it in the same chunk is ignored."""
        line = self.make(SessionRules(ping_interval=0, rate_limit=1, rate_burst=1, rate_close_after=3))
        line.send(frame(b"1") * 50 + ASK)
        self.assertEqual(line.received.close, (4429, "too many messages"))
        self.assertEqual(len(line.received.texts), 3)
        self.assertEqual(self.ended(line), (4429, "too many messages", DisconnectCause.RATE_LIMITED))

    def test_goes_on_behind_our_close(self) -> None:
        """What was under way at our Close is skipped and the answering Close still heard; a flood is cut."""
        line = self.make()
        self.connection.kick(4403, "out")
        line.send(frame(b"x" * 1000) * 500)
        self.assertFalse(line.disconnecting)
        line.send(frame(b"x") + close_frame(4403))
        self.assertTrue(line.disconnecting)
        line = self.make()
        self.connection.kick(4403, "out")
        for _ in range(MAX_AFTER_CLOSE // 65536):
            line.send(b"\x81" * 65536)
        self.assertFalse(line.disconnecting)
        line.send(b"\x81")
        self.assertTrue(line.disconnecting)
        self.assertEqual(self.gate.emitter.messages, [])
        self.assertEqual(self.ended(line), (4403, "out", DisconnectCause.KICKED))

    def test_skipped_at_the_lane(self) -> None:
        """Messages behind our Close cost the lane's price, not Autobahn's: it is a flood's that we end."""
        line = self.make()
        self.connection.kick(4403, "out")
        self.patch(self.connection, "processData", lambda: self.fail("Autobahn was asked"))
        line.send(frame(b"x") * 100)
        self.assertEqual(self.connection.data, b"")  # type: ignore[attr-defined]

    def test_back_to_the_lane(self) -> None:
        """A frame that is cut in two goes through Autobahn, and those behind it through the lane again."""
        line = self.make()
        process, steps = self.connection.processData, []  # type: ignore[attr-defined]

        def step() -> bool:
            steps.append(len(self.connection.data))  # type: ignore[attr-defined]
            more: bool = process()
            return more

        self.patch(self.connection, "processData", step)
        line.send(ASK * 3 + ASK[:9])
        self.assertEqual(len(line.received.texts), 3)
        line.send(ASK[9:] + ASK * 1000)
        self.assertEqual(line.received.texts, [ANSWER] * 1004)
        self.assertLess(len(steps), 5)

    def test_pong(self) -> None:
        """A pong that nobody asked for is a sign of life and nothing else."""
        line = self.make()
        self.gate.advance(10)
        before = self.connection.view().last_seen_at
        line.send(frame(b"", PONG))
        self.assertEqual(self.connection.view().last_seen_at, before + 10)
        self.assertEqual(line.received.frames, [])

    def test_failing_emitter(self) -> None:
        """An answer that is ready goes out even if the frame behind it makes something of ours fail."""
        line = self.make()

        def fail(event: object) -> None:
            raise ZeroDivisionError

        self.gate.emitter.emit = fail  # type: ignore[method-assign, assignment]
        self.assertRaises(ZeroDivisionError, line.send, ASK + frame(b"x"))
        self.assertEqual(line.received.texts, [ANSWER])


class PublicationTests(ProtocolTestCase):
    def test_sent(self) -> None:
        """Publications of a batch arrive in order, in one write."""
        line = self.make()
        written = self.writes(line)
        self.assertEqual(self.connection.send_many(batch(b"1", b'{"a":2}')), 2)
        self.assertEqual(
            line.received.texts, [b'{"type":"event","payload":1}', b'{"type":"event","payload":{"a":2}}']
        )
        self.assertEqual(len(written), 1)

    def test_closing(self) -> None:
        """A connection that closes takes nothing."""
        line = self.make()
        self.connection.kick(4403, "out")
        self.assertEqual(self.connection.send_many(batch(b"1")), 0)
        line.lose()
        self.assertEqual(self.connection.send_many(batch(b"1")), 0)
        self.assertEqual(line.received.texts, [])

    def test_slow(self) -> None:
        """A client that does not read ends with 4408, later, without what waits for it; it is counted."""
        line = self.make(queue_limits=QueueLimits(2, 1000, DropStrategy.CLOSE))
        line.producer.pauseProducing()
        self.assertEqual(self.connection.send_many(batch(b"1", b"2")), 2)
        self.assertEqual(self.connection.send_many(batch(b"3")), 0)
        self.assertEqual(len(self.gate.registry), 1)
        self.gate.clock.advance(0)
        line.producer.resumeProducing()
        self.assertEqual((line.received.close, line.received.texts), ((4408, "too slow"), []))
        self.assertEqual(self.gate.metrics.value("ws_outbox_dropped_total"), 3)
        self.assertEqual(self.ended(line), (4408, "too slow", DisconnectCause.SLOW_CONSUMER))

    def test_gone_before_it_is_closed(self) -> None:
        """A slow client that is gone before it was told to go ends as a cut connection."""
        line = self.make(queue_limits=QueueLimits(1, 1000, DropStrategy.CLOSE))
        line.producer.pauseProducing()
        self.connection.send_many(batch(b"1", b"2"))
        self.assertEqual(self.ended(line)[0], 1006)
        self.gate.clock.advance(0)
        self.assertEqual(len(self.gate.emitter.endings), 1)


class ClosingTests(ProtocolTestCase):
    def test_client_closes(self) -> None:
        """A Close is answered with the same code, then the connection ends; the event says what it said."""
        for code, reason, answer, told in [
            (1000, b"bye", (1000, "bye"), (1000, "bye")),
            (4000, b"", (4000, ""), (4000, "")),
            (None, b"", (None, ""), (1005, "")),
        ]:
            line = self.make()
            line.send(close_frame(code, reason))
            self.assertEqual((line.received.close, line.disconnecting), (answer, True))
            self.assertEqual(self.ended(line), (*told, DisconnectCause.CLIENT))

    def test_cut(self) -> None:
        """A cut connection is 1006."""
        self.assertEqual(self.ended(self.make()), (1006, "", DisconnectCause.CLIENT))

    def test_kick(self) -> None:
        """A kick sends its code, once; the answer ends the connection."""
        line = self.make()
        self.connection.kick(4403, "out")
        self.connection.kick(4500, "again")
        self.connection.shut_down()
        self.assertEqual(line.received.frames, [(0x88, (4403).to_bytes(2) + b"out")])
        self.assertFalse(line.disconnecting)
        line.send(close_frame(4403, b"out"))
        self.assertTrue(line.disconnecting)
        self.assertEqual(self.ended(line), (4403, "out", DisconnectCause.KICKED))

    def test_shut_down(self) -> None:
        """The end of the node is 1012: a code that Autobahn's own call would refuse."""
        line = self.make()
        self.connection.shut_down()
        self.assertEqual(line.received.close, (1012, "service restart"))
        self.assertEqual(self.ended(line), (1012, "service restart", DisconnectCause.SHUTDOWN))

    def test_close_not_completed(self) -> None:
        """Who does not answer a Close is cut after five seconds."""
        line = self.make()
        self.connection.kick(4403, "")
        self.gate.advance(4.75)
        self.assertFalse(line.disconnected)
        self.gate.advance(0.75)
        self.assertTrue(line.disconnected)

    def test_close_with_pending_output(self) -> None:
        """So is who sends Close and never reads what waits for it."""
        line = self.make()
        line.producer.pauseProducing()
        self.connection.send_many(batch(b"1", b"2"))
        line.send(close_frame(1000))
        self.assertFalse(line.disconnecting)
        self.gate.advance(5.5)
        self.assertTrue(line.disconnected)
        self.assertEqual(self.ended(line), (1000, "", DisconnectCause.CLIENT))
        self.assertEqual(self.gate.metrics.value("ws_outbox_dropped_total"), 2)

    def test_late_close_answer(self) -> None:
        """An answer that waits for a slow reader goes out, alone, before the connection ends."""
        line = self.make()
        line.producer.pauseProducing()
        self.connection.send_many(batch(b"1", b"2"))
        line.send(close_frame(1000))
        self.assertEqual(line.received.close, None)
        line.producer.resumeProducing()
        self.assertEqual((line.received.close, line.disconnecting), ((1000, ""), True))
        self.assertEqual(line.received.texts, [])

    def test_frames_after_close(self) -> None:
        """A frame after close is ignored, whatever it is; only the client's Close counts."""
        for late in (
            frame(b"x"),
            ASK,
            frame(b"x", BINARY),
            frame(b"a", fin=False),
            frame(b"p", PING),
            frame(b"", PONG),
        ):
            line = self.make()
            self.connection.kick(4403, "")
            line.send(late)
            self.assertEqual(len(line.received.frames), 1)
            self.assertEqual(self.gate.emitter.types, ["connected"])
            self.assertFalse(line.disconnecting)

    def test_frames_behind_a_close(self) -> None:
        """What stands behind the client's Close in the same chunk is ignored, too."""
        line = self.make()
        line.send(close_frame(1000) + frame(b"x") + ASK)
        self.assertEqual(len(line.received.frames), 1)
        self.assertEqual(self.gate.emitter.types, ["connected"])
        line.send(ASK)
        self.assertEqual(len(line.received.frames), 1)

    def test_garbage_after_close(self) -> None:
        """Garbage after our Close ends the connection and is no error of ours."""
        for late in (frame(b"\xff"), b"\xff\xff\xff\xff", frame(b"x", rsv=7), close_frame(5)):
            line = self.make()
            self.connection.kick(4403, "")
            line.send(late)
            self.assertTrue(line.disconnecting, late)
            self.assertEqual(len(line.received.frames), 1)
            self.assertEqual(self.ended(line)[0], 4403)


class ViolationTests(ProtocolTestCase):
    def assert_violation(self, data: bytes, code: int, cause: DisconnectCause) -> None:
        """It is answered by one Close frame, and told to the backend."""
        line = self.make(max_message_bytes=100)
        line.send(data)
        close = line.received.close
        assert close is not None
        self.assertEqual((close[0], len(line.received.frames)), (code, 1), data)
        self.assertNotIn("canary", close[1])
        line.send(ASK)
        self.assertEqual(len(line.received.frames), 1)
        told = self.ended(line)
        self.assertEqual((told[0], told[2]), (code, cause))

    def test_protocol(self) -> None:
        """Violations of the protocol are 1002."""
        for data in [
            frame(b"x", rsv=1),
            frame(b"x", rsv=4),
            frame(b"x", mask=None) + b"....",
            frame(b"x", 3),
            frame(b"x", 0xB),
            frame(b"x", CONTINUATION),
            frame(b"x", PING, fin=False),
            frame(b"x" * 126, PING),
            frame(b"x", length_bytes=2),
            frame(b"x", length_bytes=8),
            frame(b"a", fin=False) + frame(b"b", TEXT),
            close_frame(999),
            close_frame(1005),
            close_frame(1006),
            close_frame(5000),
            frame(b"\x03", 0x8),
        ]:
            self.assert_violation(data, 1002, DisconnectCause.PROTOCOL_ERROR)

    def test_utf8(self) -> None:
        """Text or a reason that is no UTF-8 is 1007."""
        for data in [
            frame(b"canary\xff"),
            frame(b"\xc3"),
            frame(b"\xed\xa0\x80"),
            frame(b"\xc3", fin=False) + frame(b"\x28", CONTINUATION),
            close_frame(1000, b"\xff"),
        ]:
            self.assert_violation(data, 1007, DisconnectCause.PROTOCOL_ERROR)

    def test_too_large(self) -> None:
        """A message over the limit is 1009, as soon as that is known, in one frame or in many."""
        for data in [
            frame(b"x" * 101),
            frame(b"x" * 101)[:8],
            frame(b"x" * 101, BINARY),
            frame(b"x" * 60, fin=False) + frame(b"x" * 60, CONTINUATION),
            b"\x81\xff" + (1 << 40).to_bytes(8) + b"mask",
        ]:
            self.assert_violation(data, 1009, DisconnectCause.TOO_LARGE)
        line = self.make(max_message_bytes=100)
        line.send(frame(b"x" * 100))
        self.assertEqual(len(self.gate.emitter.messages), 1)

    def test_violation_is_no_log_line_of_autobahn(self) -> None:
        """A violation is no error of ours."""
        line = self.make()
        line.send(frame(b"\xff"))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_nothing_is_buffered_after_a_violation(self) -> None:
        """The rest of a message that is too large is not kept."""
        line = self.make(max_message_bytes=100)
        line.send(b"\x81\xff" + (1 << 40).to_bytes(8) + b"mask")
        for _ in range(50):
            line.send(b"x" * 10_000)
        protocol: Any = self.connection
        self.assertEqual(len(protocol.data), 0)
        kept = [one for one in reachable(protocol) if isinstance(one, bytes) and len(one) > 500]
        self.assertEqual(kept, [])


class DeadlineTests(ProtocolTestCase):
    def test_ping_and_timeout(self) -> None:
        """A server ping without a pong ends the connection as a ping timeout."""
        line = self.make(SessionRules(ping_interval=25, ping_timeout=20, rate_limit=0))
        self.gate.advance(30)
        self.assertEqual([first for first, _ in line.received.frames], [0x89])
        self.gate.advance(20)
        self.assertTrue(line.disconnected)
        self.assertEqual(self.ended(line), (1006, "no pong", DisconnectCause.PING_TIMEOUT))

    def test_pong_in_time(self) -> None:
        """A client that answers stays."""
        line = self.make(SessionRules(ping_interval=25, ping_timeout=20, rate_limit=0))
        for _ in range(10):
            self.gate.advance(15)
            line.send(frame(b"", PONG))
        self.assertFalse(line.disconnecting)
        self.assertGreater(len(line.received.frames), 4)

    def test_too_old(self) -> None:
        """A connection of the greatest age ends with 1012."""
        line = self.make(SessionRules(ping_interval=0, max_age=60))
        self.gate.advance(60.5)
        self.assertEqual(line.received.close, (1012, "connection too old"))

    def test_one_place(self) -> None:
        """A connection has one place on the wheel, whatever it does."""
        line = self.make(SessionRules(ping_interval=25, ping_timeout=20, max_age=1000))
        line.send(ASK * 20 + frame(b"", PING))
        self.assertEqual(len(self.gate.wheel), 1)
        self.gate.advance(30)
        self.connection.kick(4403, "")
        self.assertEqual(len(self.gate.wheel), 1)
        line.lose()
        self.assertEqual(len(self.gate.wheel), 0)

    def test_woken_early(self) -> None:
        """A connection that is woken before its time does nothing."""
        line = self.make(SessionRules(ping_interval=25, ping_timeout=20))
        protocol: Any = self.connection
        protocol.due(self.gate.clock.seconds())
        self.assertEqual((line.received.frames, len(self.gate.wheel)), ([], 1))


class ViewTests(ProtocolTestCase):
    def test_view(self) -> None:
        """The view shows who it is and when it was seen last."""
        line = self.make()
        self.gate.advance(30)
        line.send(ASK)
        self.gate.advance(5)
        self.assertEqual(
            self.connection.view(),
            ConnectionView("c-1", "42", ("user:42",), WALL, WALL + 30, "192.0.2.7"),
        )

    def test_events_hide_the_address(self) -> None:
        """Events carry the address only where that was asked for."""
        self.make()
        self.assertIsNone(self.gate.emitter.events[0].facts.client_ip)


class LostTwiceTests(ProtocolTestCase):
    def test_lost_twice(self) -> None:
        """A second end of the same connection changes nothing."""
        line = self.make()
        line.lose()
        protocol: Any = self.connection
        protocol.due(1e9)
        protocol.kick(4403, "")
        self.assertEqual(line.received.frames, [])
        self.assertEqual(len(self.gate.emitter.events), 2)
        self.assertEqual(len(self.gate.wheel), 0)
