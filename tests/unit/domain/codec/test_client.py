"""What a client's text says, and what the gateway answers."""

import json

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain import codec
from ws_gateway.domain.codec import ControlKind


def nested(depth: int) -> str:
    """An object that nests so deep."""
    return '{"a":' + "[" * (depth - 1) + "]" * (depth - 1) + "}"


class AnswerTests(SynchronousTestCase):
    """The fixed answers."""

    def test_letter_for_letter(self) -> None:
        """Existing clients compare these texts."""
        self.assertEqual(codec.PONG, b'{"type":"pong"}')
        self.assertEqual(codec.HEARTBEAT_ACK, b'{"type":"heartbeat_ack"}')
        self.assertEqual(codec.RATE_LIMITED, b'{"type":"rate_limited"}')


class ReadObjectTests(SynchronousTestCase):
    """What is a JSON object, and what is raw text."""

    def test_objects(self) -> None:
        """Objects are read, with blanks around them and repeated names too."""
        for text, value in {
            "{}": {},
            ' \t\r\n{"a":[1,2.5,null,true,"\\u00e9"]} ': {"a": [1, 2.5, None, True, "é"]},
            '{"a":1,"a":2}': {"a": 2},
            '{"a\\u0000b":"\\ud83d\\ude00"}': {"a\0b": "😀"},
        }.items():
            self.assertEqual(codec.read_object(text), value, text)

    def test_no_objects(self) -> None:
        """Other JSON, and what only looks like JSON, is no object."""
        for text in (
            "",
            " ",
            "hello",
            "null",
            "true",
            "1",
            '"text"',
            "[]",
            '[{"type":"ping"}]',
            "{",
            "{}{}",
            '{"a":1,}',
            "{'a':1}",
            '{"a":NaN}',
            '{"a":Infinity}',
            '{"a":-Infinity}',
            '{"a":1e400}',
            '{"a":' + "9" * 400 + "}",
            '{"a":"\\ud800"}',
            '{"a":"\\udc00"}',
            '{"\\ud800":1}',
            '{"a":"\ud800"}',
            "\ufeff{}",
            "{}\0",
            '{"a":"\x01"}',
            '{"a":01}',
            "\xa0{}",
        ):
            self.assertIsNone(codec.read_object(text), repr(text))

    def test_nesting(self) -> None:
        """Nesting is judged at 1,024, and deep nonsense ends as early."""
        self.assertIsNotNone(codec.read_object(nested(1024)))
        self.assertIsNone(codec.read_object(nested(1025)))
        self.assertIsNone(codec.read_object('{"a":' * 60_000))


class ControlKindTests(SynchronousTestCase):
    """Which objects the gateway answers itself."""

    def test_ping(self) -> None:
        """`ping` is a ping whatever else the object holds."""
        self.assertIs(codec.control_kind({"type": "ping"}), ControlKind.PING)
        self.assertIs(codec.control_kind({"id": 7, "type": "ping", "payload": {}}), ControlKind.PING)

    def test_heartbeat(self) -> None:
        """`heartbeat` is a heartbeat."""
        self.assertIs(codec.control_kind({"type": "heartbeat"}), ControlKind.HEARTBEAT)

    def test_messages(self) -> None:
        """Everything else is a message, `ws.` types and types of another JSON type included."""
        for kind in ("Ping", "ping ", "pong", "ws.refresh", "raw", "", None, 1, True, ["ping"], {"ping": 1}):
            self.assertIsNone(codec.control_kind({"type": kind}), repr(kind))
        self.assertIsNone(codec.control_kind({}))
        self.assertIsNone(codec.control_kind({"Type": "ping"}))


class EncodeTests(SynchronousTestCase):
    """What the gateway makes of raw text, binary frames and publications."""

    def test_raw(self) -> None:
        """The text stands in the raw object, whatever it holds."""
        for text in ("", "hello", 'a "quote" \\ \0 \n', "[1, 2.50]", "é😀\u2028", "\ufeff{}"):
            self.assertEqual(json.loads(codec.encode_raw(text)), {"type": "raw", "payload": text})
        self.assertEqual(codec.encode_raw("x"), b'{"type":"raw","payload":"x"}')

    def test_raw_fields(self) -> None:
        """What ordering sees of a raw object is what every raw object holds."""
        shown = json.loads(codec.encode_raw("x"))
        self.assertEqual({name: shown[name] for name in codec.RAW_FIELDS}, dict(codec.RAW_FIELDS))

    def test_binary(self) -> None:
        """A binary frame travels as base64 with padding, in the message and in `raw`."""
        for payload, encoded in ((b"", ""), (b"\x00\xff", "AP8="), (b"\xfb\xff\xbf", "+/+/")):
            message, raw = codec.encode_binary(payload)
            self.assertEqual(raw, encoded)
            self.assertEqual(json.loads(message), {"type": "raw", "payload": encoded, "encoding": "base64"})

    def test_event_frame(self) -> None:
        """A publication has two members, and its payload is not touched."""
        self.assertEqual(
            codec.encode_event_frame(b'{"n": 1.10,  "big":123456789012345678901234567890}'),
            b'{"type":"event","payload":{"n": 1.10,  "big":123456789012345678901234567890}}',
        )
