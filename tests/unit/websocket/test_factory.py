"""How the protocol of an admitted client is made."""

import zlib
from typing import Any

from attrs import evolve
from autobahn.twisted.websocket import WebSocketServerFactory
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.websocket.gate import TOKEN, Gate, Line, request
from ws_gateway.domain.messages import Identity
from ws_gateway.domain.outgoing import Batch, Outgoing
from ws_gateway.testing.frames import frame
from ws_gateway.websocket.factory import ConnectionFactory
from ws_gateway.websocket.head import parse_head
from ws_gateway.websocket.protocol import GatewayProtocol

DEFLATE = "Sec-WebSocket-Extensions: permessage-deflate"


def deflated(text: bytes) -> bytes:
    deflate = zlib.compressobj(6, zlib.DEFLATED, -15)
    return (deflate.compress(text) + deflate.flush(zlib.Z_SYNC_FLUSH))[:-4]


class FactoryTests(SynchronousTestCase):
    def opened(self, gate: Gate, data: bytes = request()) -> Any:
        """The protocol of a client, without a transport."""
        head = parse_head(data)
        assert head is not None
        judging = Deferred.fromCoroutine(gate.admission.judge(head, "192.0.2.7"))
        return gate.connections.open(self.successResultOf(judging))

    def test_settings_on_the_class(self) -> None:
        """No instance carries Autobahn's settings: they are attributes of its class."""
        gate = Gate()
        gate.client()
        (protocol,) = gate.registry.everyone()
        names = set(WebSocketServerFactory(reactor=Clock()).protocol.CONFIG_ATTRS)
        self.assertGreater(len(names), 20)
        self.assertEqual(names & set(vars(protocol)), set())
        for name in names:
            self.assertTrue(hasattr(type(protocol), name), name)

    def test_two_factories(self) -> None:
        """Two factories do not share their settings, and leave the class that they derive from alone."""
        small, large = Gate(max_message_bytes=10), Gate(max_message_bytes=1000, compression=True)
        one, two = self.opened(small), self.opened(large)
        self.assertEqual((one.maxMessagePayloadSize, two.maxMessagePayloadSize), (10, 1000))
        self.assertIs(one.surroundings, small.around)
        self.assertIs(two.surroundings, large.around)
        self.assertIsNot(one.factory, two.factory)
        self.assertTrue(GatewayProtocol.CONFIG_ATTRS)
        self.assertNotIn("maxMessagePayloadSize", vars(GatewayProtocol))

    def test_autobahn_is_tame(self) -> None:
        """Autobahn's own timers, pages, redirects and guesses are off."""
        protocol = self.opened(Gate())
        self.assertFalse(protocol.webStatus)
        self.assertFalse(protocol.failByDrop)
        self.assertEqual((protocol.openHandshakeTimeout, protocol.closeHandshakeTimeout), (0, 0))
        self.assertEqual((protocol.autoPingInterval, protocol.trustXForwardedFor), (0, 0))

    def test_no_server_header(self) -> None:
        """What runs here is nobody's business."""
        gate = Gate()
        line = gate.line(request())
        self.assertNotIn("server:", line.answer.lower())
        self.assertNotIn("autobahn", line.answer.lower())

    def test_ids_and_times(self) -> None:
        """A connection has an id of its own and the time at which it came."""
        gate = Gate()
        gate.clock.advance(7.9)
        facts = [self.opened(gate)._session.facts for _ in range(2)]
        self.assertEqual([one.connection_id for one in facts], ["c-1", "c-2"])
        self.assertEqual((facts[0].connected_at, facts[0].node_id), (1_700_000_007, "node-1"))

    def test_expiry(self) -> None:
        """The expiry of a token is a wall time; the session gets what is left of it."""
        gate = Gate()
        gate.start()
        gate.authenticator._identities = {TOKEN: Identity("42", expires_at=1_700_000_005)}
        line = gate.client()
        gate.advance(4.75)
        self.assertIsNone(line.received.close)
        gate.advance(0.75)
        self.assertEqual(line.received.close, (4401, "token expired"))

    def test_client_address_in_events(self) -> None:
        """Events carry the client's address where that is asked for."""
        gate = Gate()
        gate.connections = ConnectionFactory(evolve(gate.around, events_client_ip=True), gate.clock)
        self.assertEqual(self.opened(gate)._session.facts.client_ip, "192.0.2.7")

    def test_nothing_of_the_request(self) -> None:
        """Autobahn gets what its answer needs, and nothing else that the client sent."""
        sent = request(
            "/ws?token=" + TOKEN, TOKEN, "Cookie: canary", "Sec-WebSocket-Protocol: x, bearer", DEFLATE
        )
        protocol = self.opened(Gate(), sent)
        self.assertNotIn("canary", repr(vars(protocol)))
        self.assertEqual((protocol.websocket_protocols, protocol.websocket_extensions), (["bearer"], []))
        protocol = self.opened(Gate(compression=True), sent)
        self.assertEqual(protocol.websocket_extensions, [("permessage-deflate", {})])

    def test_subprotocol(self) -> None:
        """The answer names the subprotocol that was offered, as it was spelled, once; else none."""
        for offered, lines in [("Bearer, x", ["Sec-WebSocket-Protocol: Bearer"]), ("chat", [])]:
            line = Gate().line(request("/ws", TOKEN, f"Sec-WebSocket-Protocol: {offered}"))
            found = [one for one in line.answer.split("\r\n") if "-protocol" in one.lower()]
            self.assertEqual(found, lines)


class CompressionTests(SynchronousTestCase):
    def client(self, *lines: str, **options: Any) -> tuple[Gate, Line]:
        gate = Gate(compression=True, **options)
        return gate, gate.line(request("/ws", TOKEN, *lines))

    def extensions(self, line: Line) -> list[str]:
        lines = line.answer.split("\r\n")
        return [one.partition(": ")[2] for one in lines if one.lower().startswith("sec-websocket-extensions")]

    def test_off(self) -> None:
        """Compression is off unless it is switched on."""
        gate = Gate()
        line = gate.line(request("/ws", TOKEN, DEFLATE))
        self.assertEqual(self.extensions(line), [])

    def test_on(self) -> None:
        """It is negotiated once, without server context takeover, where it is offered."""
        _, line = self.client(f"{DEFLATE}; client_max_window_bits")
        (answer,) = self.extensions(line)
        self.assertIn("permessage-deflate", answer)
        self.assertIn("server_no_context_takeover", answer)
        self.assertEqual(self.extensions(self.client()[1]), [])

    def test_only_what_we_can(self) -> None:
        """An offer that asks for a smaller window of ours is left for the next one, or for none."""
        small = f"{DEFLATE}; server_max_window_bits=10"
        _, line = self.client(small)
        self.assertEqual((line.status, self.extensions(line)), (101, []))
        _, line = self.client(small, DEFLATE)
        self.assertEqual(len(self.extensions(line)), 1)

    def test_nonsense(self) -> None:
        """Unknown extensions are ignored; a client that offers nonsense is harmed at most itself."""
        gate, line = self.client("Sec-WebSocket-Extensions: x-unknown; a=1")
        self.assertEqual((line.status, self.extensions(line)), (101, []))
        for offer in ("permessage-deflate; server_max_window_bits=99", "permessage-deflate; x=y", ";;=,,"):
            gate, line = self.client(f"Sec-WebSocket-Extensions: {offer}")
            self.assertEqual(self.flushLoggedErrors(), [])
            self.assertTrue(line.status == 101 or line.disconnecting, offer)
            if line.status != 101:
                line.lose()
                self.assertEqual((gate.emitter.events, len(gate.wheel)), ([], 0))

    def test_messages(self) -> None:
        """Compressed messages are read, and large publications are compressed."""
        gate, line = self.client(DEFLATE)
        line.send(frame(deflated(b'{"a":1}'), rsv=4) + frame(b'{"b":2}'))
        self.assertEqual([event.raw for event in gate.emitter.messages], ['{"a":1}', '{"b":2}'])
        (connection,) = gate.registry.everyone()
        connection.send_many(Batch([Outgoing(b'"' + b"x" * 1000 + b'"'), Outgoing(b"1")]))
        (first, payload), (second, short) = line.received.frames
        self.assertEqual((first, second), (0xC1, 0x81))
        inflated = zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")
        self.assertEqual(inflated, b'{"type":"event","payload":"' + b"x" * 1000 + b'"}')
        self.assertEqual(short, b'{"type":"event","payload":1}')

    def test_bomb(self) -> None:
        """What inflates to more than the limit is 1009, and inflating stops there."""
        gate, line = self.client(DEFLATE, max_message_bytes=10_000)
        line.send(frame(deflated(b"x" * 9_000), rsv=4))
        self.assertEqual(len(gate.emitter.messages), 1)
        line.send(frame(deflated(b"x" * 5_000_000), rsv=4))
        close = line.received.close
        assert close is not None
        self.assertEqual((close[0], len(gate.emitter.messages)), (1009, 1))

    def test_broken(self) -> None:
        """What cannot be inflated is 1007, once."""
        gate, line = self.client(DEFLATE)
        line.send(frame(b"\xff\xff\xff\xff\xff", rsv=4))
        close = line.received.close
        assert close is not None
        self.assertEqual((close[0], len(line.received.frames)), (1007, 1))
        self.assertEqual(gate.emitter.types, ["connected"])
