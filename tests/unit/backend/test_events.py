"""Events: from the bytes of a webhook to values."""

import dataclasses
import json
from typing import Any

from twisted.trial import unittest

from ws_gateway.backend import (
    Connected,
    Disconnected,
    EventInvalid,
    EventUnknown,
    MessageReceived,
    parse_event,
)
from ws_gateway.domain import messages
from ws_gateway.domain.codec import encode_event, encode_facts

FIXED: dict[str, Any] = {
    "connection_id": "0b3f4e1e-7d3c-4b62-9a49-0d6f1d1f6c11",
    "user_id": "42",
    "subjects": ["user:42", "channel:news"],
    "connected_at": 1700000000,
}
ADDED: dict[str, Any] = {
    "event_id": "e1",
    "occurred_at_ms": 1700000000123,
    "node_id": "n1",
    "seq": 7,
    "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
    "client_ip": "2001:db8::1",
    "claims": {"role": "admin"},
}
MESSAGE: dict[str, Any] = {"message": {"type": "chat", "text": "hi"}, "raw": '{"type":"chat","text":"hi"}'}
ORDERING = {"ordering_key": "room:1", "ordering_strategy": "topic"}
END = {"code": 1001, "reason": "bye", "cause": "client"}
VALUES = {**FIXED, "subjects": ("user:42", "channel:news")}


def parse(document: Any) -> Any:
    """What becomes of a document."""
    return parse_event(json.dumps(document).encode())


class ParseTests(unittest.SynchronousTestCase):
    """Documents that are events."""

    def test_connected(self) -> None:
        """`connected` with all its fields."""
        event = parse({"type": "connected", **FIXED, **ADDED})
        self.assertEqual(event, Connected(**VALUES, **ADDED))
        self.assertEqual(event.type, "connected")

    def test_message_received(self) -> None:
        """`message_received` with all its fields."""
        event = parse({"type": "message_received", **FIXED, **ADDED, **MESSAGE, **ORDERING})
        self.assertEqual(event, MessageReceived(**VALUES, **ADDED, **MESSAGE, **ORDERING))
        self.assertEqual(event.type, "message_received")

    def test_disconnected(self) -> None:
        """`disconnected` with all its fields."""
        event = parse({"type": "disconnected", **FIXED, **ADDED, **END})
        self.assertEqual(event, Disconnected(**VALUES, **ADDED, **END))
        self.assertEqual(event.type, "disconnected")

    def test_fixed_fields_only(self) -> None:
        """What an older gateway leaves out is None, and so is null (`seq` of a lost node)."""
        for kind, extra in (
            ("connected", {}),
            ("message_received", MESSAGE),
            ("disconnected", {"seq": None}),
        ):
            event = parse({"type": kind, **FIXED, **extra})
            left_out = {field.name for field in dataclasses.fields(event)} - set(FIXED) - set(MESSAGE)
            self.assertTrue(left_out >= set(ADDED))
            self.assertEqual({getattr(event, name) for name in left_out}, {None})

    def test_unknown_fields(self) -> None:
        """Fields that are not known, and known ones of another type of event, are ignored."""
        self.assertEqual(parse({"type": "connected", **FIXED, **MESSAGE, "new": [1]}), Connected(**VALUES))

    def test_unicode(self) -> None:
        """Texts of every script come through; large integers keep their digits."""
        message = {"text": "grüße 👋", "n": 12345678901234567890123}
        body = json.dumps(
            {"type": "message_received", **FIXED, "message": message, "raw": "ü"}, ensure_ascii=False
        )
        event = parse_event(body.encode())
        assert isinstance(event, MessageReceived)
        self.assertEqual((event.message, event.raw), (message, "ü"))

    def test_frozen(self) -> None:
        """Events do not change."""
        event = parse({"type": "connected", **FIXED})
        with self.assertRaises(dataclasses.FrozenInstanceError):
            event.user_id = "43"

    def test_match(self) -> None:
        """Events can be told apart by pattern, down into the message."""
        match parse({"type": "message_received", **FIXED, **MESSAGE}):
            case MessageReceived(user_id=user, message={"type": "chat", "text": str(text)}):
                self.assertEqual((user, text), ("42", "hi"))
            case other:
                self.fail(f"no match: {other}")


class RefusalTests(unittest.SynchronousTestCase):
    """Documents that are none."""

    def assertInvalid(self, body: bytes, word: str) -> None:
        """The body is refused with a sentence that holds the word."""
        error = self.assertRaises(EventInvalid, parse_event, body)
        self.assertIn(word, str(error))
        self.assertNotIsInstance(error, EventUnknown)

    def test_no_object(self) -> None:
        """Bytes that are no JSON object in UTF-8 are refused, and nothing but EventInvalid comes out."""
        for body, word in (
            (b"", "not JSON"),
            (b"{", "not JSON"),
            (b"\xff", "UTF-8"),
            ('{"type":"connected"}'.encode("utf-16"), "UTF-8"),
            (b"\xef\xbb\xbf{}", "not JSON"),
            (b"[]", "object"),
            (b"null", "object"),
            (b'{"n":NaN}', "NaN"),
            (b'{"n":-Infinity}', "Infinity"),
            (b'{"n":' + b"9" * 5000 + b"}", "not JSON"),
            (b'{"n":' * 50_000, "nested"),
            (b'{"n":' + b"[" * 50_000 + b"]" * 50_000 + b"}", "nested"),
        ):
            self.assertInvalid(body, word)

    def test_missing(self) -> None:
        """Every fixed field must be there and not null."""
        for kind, fields in (("connected", FIXED), ("message_received", {**FIXED, **MESSAGE})):
            whole = {"type": kind, **fields}
            for name in whole:
                self.assertInvalid(json.dumps({k: v for k, v in whole.items() if k != name}).encode(), name)
                self.assertInvalid(json.dumps({**whole, name: None}).encode(), name)

    def test_wrong_type(self) -> None:
        """Every field of another JSON type is refused and named, optional ones too."""
        message = {"type": "message_received", **FIXED, **ADDED, **MESSAGE, **ORDERING}
        for whole in (message, {"type": "disconnected", **FIXED, **ADDED, **END}):
            parse(whole)
            for name, value in whole.items():
                for wrong in (True, 1.5, "text", 1, [1], {"a": 1}):
                    if type(wrong) is not type(value):
                        self.assertInvalid(json.dumps({**whole, name: wrong}).encode(), name)
        self.assertInvalid(
            json.dumps({"type": "connected", **FIXED, "subjects": ["a", 1]}).encode(), "subjects"
        )

    def test_unknown_type(self) -> None:
        """An event of a type from the future has an error of its own, even if its fields are new, too."""
        error = self.assertRaises(EventUnknown, parse, {"type": "subscribed"})
        self.assertEqual(error.type, "subscribed")
        self.assertIsInstance(error, EventInvalid)


class GatewaysOwnTests(unittest.SynchronousTestCase):
    """What the gateway writes is what the kit reads."""

    def test_every_event(self) -> None:
        """Each kind of event comes through with everything that the gateway knows of it."""
        subjects = ("user:42", "channel:news")
        facts = messages.ConnectionFacts(
            FIXED["connection_id"], "42", subjects, 1700000000, "n1", "2001:db8::1", {"role": "admin"}
        )
        constant = encode_facts(facts)
        trace = ADDED["traceparent"]
        common = {**VALUES, **ADDED}
        connected = messages.Connected(facts, constant, trace, seq=7)
        received = messages.MessageReceived(
            facts, constant, 7, MESSAGE["raw"].encode(), MESSAGE["raw"], trace, "room:1", "topic"
        )
        cause = messages.DisconnectCause.CLIENT
        gone = messages.Disconnected(facts, constant, 7, 1001, "bye", cause, trace)
        for event, expected in (
            (connected, Connected(**common)),
            (received, MessageReceived(**common, **MESSAGE, **ORDERING)),
            (gone, Disconnected(**common, **END)),
        ):
            self.assertEqual(parse_event(encode_event(event, "e1", 1700000000123)), expected)
