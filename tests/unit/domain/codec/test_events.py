"""The event document of the contract's section 2."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain import codec
from ws_gateway.domain.messages import (
    Connected,
    ConnectionFacts,
    DisconnectCause,
    Disconnected,
    Event,
    MessageReceived,
)

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

FACTS = ConnectionFacts(
    connection_id="6f1c",
    user_id='zoë "z"',
    subjects=("user:zoë", "channel:a"),
    connected_at=1_700,
    node_id="n-1",
)

SHARED = {
    "connection_id": "6f1c",
    "user_id": 'zoë "z"',
    "subjects": ["user:zoë", "channel:a"],
    "connected_at": 1_700,
    "node_id": "n-1",
    "event_id": "e-1",
    "occurred_at_ms": 1_700_123,
}


def document(event: Event) -> Any:
    return json.loads(codec.encode_event(event, "e-1", 1_700_123))


def received(message: bytes = b"{}", raw: str = "{}", **more: Any) -> MessageReceived:
    return MessageReceived(FACTS, codec.encode_facts(FACTS), 3, message, raw, **more)


class ConnectedTests(SynchronousTestCase):
    def test_document(self) -> None:
        """`connected` holds what is shared, seq 0, and nothing else."""
        event = Connected(FACTS, codec.encode_facts(FACTS))
        self.assertEqual(document(event), {"type": "connected", "seq": 0, **SHARED})

    def test_traceparent(self) -> None:
        """The handshake's traceparent stands in it."""
        event = Connected(FACTS, codec.encode_facts(FACTS), TRACE)
        self.assertEqual(document(event)["traceparent"], TRACE)


class MessageReceivedTests(SynchronousTestCase):
    def test_document(self) -> None:
        """The message is embedded, the text repeated as `raw`."""
        self.assertEqual(
            document(received(b'{"a": "\xc3\xa9"}', '{"a": "é"}')),
            {"type": "message_received", "seq": 3, "message": {"a": "é"}, "raw": '{"a": "é"}', **SHARED},
        )

    def test_digits_stay(self) -> None:
        """Numbers keep every digit that the client wrote."""
        body = codec.encode_event(received(b'{"n":1.10,"m":12345678901234567890123}'), "e-1", 1)
        self.assertIn(b'"message":{"n":1.10,"m":12345678901234567890123},', body)

    def test_traceparent_and_order(self) -> None:
        """The optional members stand there when they are known."""
        found = document(received(traceparent=TRACE, ordering_key='room "1"', ordering_strategy="topic"))
        self.assertEqual(found["traceparent"], TRACE)
        self.assertEqual((found["ordering_key"], found["ordering_strategy"]), ('room "1"', "topic"))

    def test_no_key_no_fields(self) -> None:
        """Without a key neither of the ordering members is there."""
        found = document(received())
        self.assertNotIn("ordering_key", found)
        self.assertNotIn("ordering_strategy", found)
        self.assertNotIn("traceparent", found)


class DisconnectedTests(SynchronousTestCase):
    def test_document(self) -> None:
        """`disconnected` says how it ended."""
        event = Disconnected(
            FACTS, codec.encode_facts(FACTS), 9, 4403, 'be "gone"', DisconnectCause.KICKED, TRACE
        )
        self.assertEqual(
            document(event),
            {
                "type": "disconnected",
                "seq": 9,
                "code": 4403,
                "reason": 'be "gone"',
                "cause": "kicked",
                "traceparent": TRACE,
                **SHARED,
            },
        )

    def test_unknown_seq(self) -> None:
        """Where nobody knows how many events there were, `seq` is there and null."""
        event = Disconnected(FACTS, codec.encode_facts(FACTS), None, 1006, "", DisconnectCause.NODE_LOST)
        self.assertEqual(
            document(event),
            {
                "type": "disconnected",
                "seq": None,
                "code": 1006,
                "reason": "",
                "cause": "node_lost",
                **SHARED,
            },
        )

    def test_causes(self) -> None:
        """The words for what ended a connection are fixed."""
        self.assertEqual(
            {str(cause) for cause in DisconnectCause},
            {
                "client",
                "server",
                "kicked",
                "token_expired",
                "ping_timeout",
                "slow_consumer",
                "protocol_error",
                "too_large",
                "rate_limited",
                "node_lost",
                "shutdown",
            },
        )


class FactsTests(SynchronousTestCase):
    def facts(self, **more: Any) -> ConnectionFacts:
        return ConnectionFacts("6f1c", "42", ("user:42",), 1_700, "n-1", **more)

    def encoded(self, **more: Any) -> Any:
        return json.loads(b"{%b}" % codec.encode_facts(self.facts(**more)))

    def test_on_request(self) -> None:
        """Address and claims are there only when asked for."""
        self.assertNotIn("client_ip", self.encoded())
        self.assertNotIn("claims", self.encoded())
        self.assertEqual(self.encoded(client_ip="2001:db8::1")["client_ip"], "2001:db8::1")
        claims = {"roles": ["a", "b"], "n": 1.5, "none": None}
        self.assertEqual(self.encoded(claims=claims)["claims"], claims)

    def test_claims_without_json_form(self) -> None:
        """A claim that strict JSON cannot say is an error that names no value."""
        deep: Any = []
        for _ in range(2_000):
            deep = [deep]
        for value in ("\ud800", 2**70, deep):
            error = self.assertRaises(ValueError, codec.encode_facts, self.facts(claims={"c": value}))
            self.assertIn("a claim cannot be forwarded", str(error))
