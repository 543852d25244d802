"""What stands in the outbox: publications and orders to close connections."""

import json

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain.codec import (
    PublicationInvalid,
    decode_kick,
    decode_order,
    encode_kick,
    encode_publication,
)
from ws_gateway.domain.codec.publications import plain_publication
from ws_gateway.domain.messages import Kick, Publication

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class Case(SynchronousTestCase):
    def refused(self, document: bytes, status: int, field: str, words: str = "") -> None:
        """The document is refused with this status, naming this field."""
        error = self.assertRaises(PublicationInvalid, decode_order, document)
        assert isinstance(error, PublicationInvalid)
        self.assertEqual((error.status, error.field), (status, field), document[:80])
        self.assertIn(words, error.detail)


class PublicationTests(Case):
    def test_as_backends_write(self) -> None:
        """Publications of PHP, of Python, with a trace, with an op, in any order: all the same."""
        payload = b'{"n":1.10,"text":"hi"}'
        for form, traceparent in (
            (b'{"subjects":["user:42"],"payload":%b}', None),
            (b'{"subjects": ["user:42"], "payload": %b}', None),
            (b'{"subjects":["user:42"],"payload":%b,"traceparent":"%b"}', TRACE),
            (b'{"payload":%b,"subjects":["user:42"]}', None),
            (b'{"op":"publish","subjects":["user:42"],"payload":%b}', None),
            (b'{"op":null,"subjects":["user:42"],"payload":%b,"more":[{}]}', None),
        ):
            document = form % ((payload, TRACE.encode()) if traceparent else payload)
            expected = Publication(("user:42",), payload, traceparent)
            self.assertEqual(decode_order(document), expected, document)

    def test_short_way(self) -> None:
        """What most backends write goes the short way."""
        for document in (
            b'{"subjects":["user:42","channel:news"],"payload":{"a":[1,2]}}',
            json.dumps({"subjects": ["user:42", "*"], "payload": {"a": "b"}}).encode(),
            json.dumps({"subjects": ["user:42"], "payload": "text", "traceparent": TRACE}).encode(),
            b'{"subjects":["user:42"],"payload":1,"traceparent":"%b"}' % TRACE.encode(),
        ):
            self.assertIsNotNone(plain_publication(document), document)

    def test_reference(self) -> None:
        """A payload of the reference gateway passes as it is."""
        payload = (
            b'{"internal_id":"7","timestamp_ms":1,"user_id":"42","channel_id":"c","payload":{},"flags":{}}'
        )
        found = decode_order(b'{"subjects":["user:42"],"payload":%b}' % payload)
        self.assertEqual(found, Publication(("user:42",), payload))

    def test_bad(self) -> None:
        """What cannot be used is refused, whichever way it went."""
        for document in (
            b"",
            b"nonsense",
            b'{"subjects":["s"],"payload":NaN}',
            b'{"subjects":["s"],"payload":1e400}',
            b'{"subjects":["s"],"payload":"\\ud800"}',
            b'{"subjects":["s"],"payload":"\xff"}',
            b'{"subjects":["s"],"payload":%b}' % (b"[" * 2_000 + b"]" * 2_000),
        ):
            self.refused(document, 400, "")
        for document, field in (
            (b"[]", ""),
            (b"{}", "subjects"),
            (b'{"subjects":[],"payload":1}', "subjects"),
            (b'{"subjects":["\x7f"],"payload":1}', "subjects[0]"),
            (b'{"subjects":["s"]}', "payload"),
            (b'{"subjects":["s"],"payload":1,"op":"subscribe"}', "op"),
            (b'{"subjects":["s"],"payload":1,"op":7}', "op"),
        ):
            self.refused(document, 422, field)

    def test_written(self) -> None:
        """What is written holds the payload byte for byte, and no more than there is to say."""
        payload = b'{ "n": 1.10 }'
        self.assertEqual(
            encode_publication(Publication(("a", "b"), payload)),
            b'{"subjects":["a","b"],"payload":{ "n": 1.10 }}',
        )
        self.assertEqual(
            encode_publication(Publication(("a",), payload, TRACE, frozenset("yx"))),
            b'{"subjects":["a"],"payload":{ "n": 1.10 },"traceparent":"%b","except":["x","y"]}'
            % TRACE.encode(),
        )


class KickTests(Case):
    def test_read(self) -> None:
        """A user, a connection or both; code and reason if they are there."""
        for document, expected in (
            ({"user_id": "42"}, Kick(4403, "", "42")),
            ({"user_id": 42, "code": 4001.0}, Kick(4001, "", "42")),
            ({"connection_id": "c", "reason": "bye"}, Kick(4403, "bye", None, "c")),
            ({"user_id": "u", "connection_id": "c", "code": None, "x": 1}, Kick(4403, "", "u", "c")),
            ({"user_id": "u", "reason": "x" * 122 + "\u00e9"}, Kick(4403, "x" * 122, "u")),
        ):
            found = decode_order(json.dumps({"op": "disconnect", **document}).encode())
            self.assertEqual(found, expected)

    def test_bad(self) -> None:
        """An order that names nobody, or says what is not allowed, is refused."""
        for document, field in (
            ({}, "user_id"),
            ({"user_id": None}, "user_id"),
            ({"user_id": 1.5}, "user_id"),
            ({"connection_id": 7}, "connection_id"),
            ({"user_id": "u", "code": 1000}, "code"),
            ({"user_id": "u", "reason": []}, "reason"),
        ):
            self.refused(json.dumps({"op": "disconnect", **document}).encode(), 422, field)

    def test_there_and_back(self) -> None:
        """What is written is read."""
        for kick in (Kick(4403, "", "42"), Kick(4001, "bye \u00e9", None, "c"), Kick(4999, "x", "", "c")):
            self.assertEqual(decode_order(encode_kick(kick)), kick)

    def test_over_http(self) -> None:
        """Over HTTP a body may be empty: then the path says who is meant."""
        self.assertEqual(decode_kick(b""), Kick(4403))
        self.assertEqual(decode_kick(b'{"op":"publish","reason":"x"}'), Kick(4403, "x"))
        self.assertRaises(PublicationInvalid, decode_kick, b"[]")
