"""Publications as the backend writes them."""

import json
from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain.codec import (
    PublicationInvalid,
    body_api_key,
    decode_batch,
    decode_publication,
)
from ws_gateway.domain.messages import Publication

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def dump(value: Any) -> bytes:
    return json.dumps(value).encode()


class Case(SynchronousTestCase):
    def refused(
        self, decode: Callable[[bytes], object], body: bytes, status: int, field: str, words: str = ""
    ) -> None:
        """The body is refused with this status, naming this field."""
        error = self.assertRaises(PublicationInvalid, decode, body)
        assert isinstance(error, PublicationInvalid)
        self.assertEqual((error.status, error.field), (status, field), body[:80])
        self.assertIn(words, error.detail)
        self.assertEqual(str(error), error.detail)


class PublicationTests(Case):
    def test_least(self) -> None:
        """Subjects and a payload are enough."""
        self.assertEqual(
            decode_publication(b'{"subjects":["user:1"],"payload":null}'), Publication(("user:1",), b"null")
        )

    def test_most(self) -> None:
        """Everything that may stand in it, and unknown members, which are ignored."""
        body = dump(
            {
                "subjects": ["user:1", "*"],
                "payload": {"a": 1},
                "traceparent": TRACE,
                "except": ["c-1", "c-2", "c-1"],
                "id": 7,
                "op": "publish",
            }
        )
        self.assertEqual(
            decode_publication(body),
            Publication(("user:1", "*"), b'{"a": 1}', TRACE, frozenset({"c-1", "c-2"})),
        )

    def test_payload_as_it_came(self) -> None:
        """The payload is the backend's own text: digits, blanks, escapes and order stay."""
        for payload in (
            b'{ "n": 1.10, "m":12345678901234567890123,\n"e":1E+2,"z":-0.0 }',
            b'"\\u00e9\\/\xc3\xa9\\ud83d\\ude00"',
            b"[ ]",
            b"0",
            b"false",
            b'{"a":1,"a":2}',
        ):
            for body in (
                b'{"subjects":["s"],"payload":%b}' % payload,
                b' {"payload" :  %b  , "subjects":["s"]} ' % payload,
                b'{"\xc3\xa9":"\xf0\x9f\x98\x80","pay\\u006coad":%b,"subjects":["s"],"x":[]}' % payload,
            ):
                self.assertEqual(decode_publication(body).payload, payload)

    def test_repeated_names(self) -> None:
        """The last of repeated members counts, for the payload as for the others."""
        found = decode_publication(b'{"subjects":["a"],"payload":1,"payload":2,"subjects":["b"]}')
        self.assertEqual((found.subjects, found.payload), (("b",), b"2"))

    def test_repeated_subjects(self) -> None:
        """A subject that is named twice is one subject; the order stays."""
        self.assertEqual(decode_publication(b'{"subjects":["b","a","b"],"payload":1}').subjects, ("b", "a"))

    def test_traceparent(self) -> None:
        """A traceparent that is not valid is left out; one that is no string is an error."""
        self.assertIsNone(
            decode_publication(b'{"subjects":["s"],"payload":1,"traceparent":"nonsense"}').traceparent
        )
        self.assertIsNone(
            decode_publication(b'{"subjects":["s"],"payload":1,"traceparent":null}').traceparent
        )
        self.refused(
            decode_publication,
            b'{"subjects":["s"],"payload":1,"traceparent":1}',
            422,
            "traceparent",
            "string",
        )

    def test_nobody_excluded(self) -> None:
        """`except` may be empty or null."""
        for nobody in (b"[]", b"null"):
            found = decode_publication(b'{"subjects":["s"],"payload":1,"except":%b}' % nobody)
            self.assertEqual(found.excluded, frozenset())

    def test_no_json(self) -> None:
        """What is no strict JSON is 400, and the answer does not quote it."""
        for body in (
            b"",
            b"secret",
            b'{"subjects":["s"],"payload":NaN}',
            b'{"subjects":["s"],"payload":1e400}',
            b'{"subjects":["s"],"payload":"\\ud800"}',
            b'{"subjects":["s"],"payload":"\xff"}',
            b'\xef\xbb\xbf{"subjects":["s"],"payload":1}',
            b'{"subjects":["s"],"payload":1',
            b'{"subjects":["s"],"payload":' + b"[" * 2_000 + b"]" * 2_000 + b"}",
        ):
            self.refused(decode_publication, body, 400, "", "the body is not JSON")
        error = self.assertRaises(PublicationInvalid, decode_publication, b"secret")
        self.assertNotIn("secret", str(error))

    def test_nesting(self) -> None:
        """Deep nesting is published or named; between the two parsers' limits nothing else happens."""
        for depth in (100, 500):
            payload = b"[" * depth + b"]" * depth
            found = decode_publication(b'{"subjects":["s"],"payload":%b}' % payload)
            self.assertEqual(found.payload, payload)
        payload = b"[" * 1_020 + b"]" * 1_020
        bodies = {
            decode_publication: b'{"subjects":["s"],"payload":%b}' % payload,
            decode_batch: b'{"publications":[{"subjects":["s"],"payload":%b}]}' % payload,
        }
        for decode, body in bodies.items():
            try:
                decode(body)
            except PublicationInvalid as error:
                self.assertEqual((error.status, error.field), (400, ""))
                self.assertIn("nested too deeply", error.detail)

    def test_no_object(self) -> None:
        """Other JSON is 422."""
        for body in (b"null", b"1", b"[]", b'"x"'):
            self.refused(decode_publication, body, 422, "", "must be a JSON object")

    def test_payload_missing(self) -> None:
        """A payload must be there; null is one."""
        self.refused(decode_publication, b'{"subjects":["s"]}', 422, "payload", "missing")

    def test_subjects(self) -> None:
        """Subjects: a list of 1 to 1,000 proper strings."""
        for subjects, words in {
            "null": "list of strings",
            '"user:1"': "list of strings",
            '{"a":1}': "list of strings",
            '["a",1]': "list of strings",
            "[]": "must not be empty",
            dump(["s"] * 1_001).decode(): "at most 1000",
        }.items():
            body = b'{"subjects":%b,"payload":1}' % subjects.encode()
            self.refused(decode_publication, body, 422, "subjects", words)
        self.refused(decode_publication, b'{"payload":1}', 422, "subjects", "missing")
        exactly = [f"s{number}" for number in range(1_000)]
        self.assertEqual(
            decode_publication(dump({"subjects": exactly, "payload": 1})).subjects, tuple(exactly)
        )

    def test_longest_user(self) -> None:
        """The subject of a user with the longest id and the longest prefix can be published to."""
        subject = "p" * 64 + "x" * 512
        publication = decode_publication(json.dumps({"subjects": [subject], "payload": 1}).encode())
        self.assertEqual(publication.subjects, (subject,))

    def test_one_bad_subject(self) -> None:
        """A subject that cannot be one is named by its place."""
        for subject, words in {"": "empty", "a\nb": "control", "x" * 577: "576"}.items():
            body = dump({"subjects": ["ok", subject], "payload": 1})
            self.refused(decode_publication, body, 422, "subjects[1]", words)

    def test_except(self) -> None:
        """`except`: a list of at most 1,000 strings."""
        for excluded in (b'"c-1"', b"[1]", b"{}"):
            body = b'{"subjects":["s"],"payload":1,"except":%b}' % excluded
            self.refused(decode_publication, body, 422, "except", "list of strings")
        body = dump({"subjects": ["s"], "payload": 1, "except": ["c"] * 1_001})
        self.refused(decode_publication, body, 422, "except", "at most 1000")


class BatchTests(Case):
    def test_in_order(self) -> None:
        """Each publication has its own payload, as it came."""
        body = (
            b'{"x":[{"payload":0}], "publications" : [ {"subjects":["a"],"payload":1.10} ,'
            b'{"payload":{ "publications":[] },"subjects":["b"],"except":["c"]}]}'
        )
        self.assertEqual(
            decode_batch(body),
            [
                Publication(("a",), b"1.10"),
                Publication(("b",), b'{ "publications":[] }', None, frozenset({"c"})),
            ],
        )

    def test_repeated(self) -> None:
        """Of a repeated list the last counts."""
        body = b'{"publications":[],"publications":[{"subjects":["a"],"payload":1}]}'
        self.assertEqual(decode_batch(body), [Publication(("a",), b"1")])

    def test_count(self) -> None:
        """1 to 1,000 publications."""
        entry = {"subjects": ["s"], "payload": 1}
        self.assertEqual(len(decode_batch(dump({"publications": [entry] * 1_000}))), 1_000)
        for entries in ([], [entry] * 1_001):
            self.refused(decode_batch, dump({"publications": entries}), 422, "publications", "1 to 1000")

    def test_no_list(self) -> None:
        """The list must be one, and there."""
        self.refused(decode_batch, b"{}", 422, "publications", "missing")
        for entries in (b"null", b"{}", b'"x"'):
            self.refused(decode_batch, b'{"publications":%b}' % entries, 422, "publications", "list")
        self.refused(decode_batch, b"[]", 422, "", "object")
        self.refused(decode_batch, b"{", 400, "")

    def test_index(self) -> None:
        """The first wrong publication is named by its index, with its field."""
        good = {"subjects": ["s"], "payload": 1}
        for bad, field in {
            "1": "publications[1]",
            "{}": "publications[1].subjects",
            '{"subjects":[]}': "publications[1].subjects",
            '{"subjects":["a",""]}': "publications[1].subjects[1]",
            '{"subjects":["a"]}': "publications[1].payload",
            '{"subjects":["a"],"payload":1,"traceparent":[]}': "publications[1].traceparent",
            '{"subjects":["a"],"payload":1,"except":0}': "publications[1].except",
        }.items():
            body = b'{"publications":[%b,%b,3]}' % (dump(good), bad.encode())
            self.refused(decode_batch, body, 422, field, field)


class ApiKeyTests(SynchronousTestCase):
    def test_text(self) -> None:
        """A key in the body is found."""
        self.assertEqual(body_api_key(b'{"api_key":"k\\u0031","subjects":3}'), "k1")

    def test_nothing(self) -> None:
        """What holds no such text has no key; that is not the place to complain about it."""
        for body in (b"", b"{", b"[]", b'"api_key"', b"{}", b'{"api_key":1}', b'{"api_key":null}', b"\xff"):
            self.assertIsNone(body_api_key(body), body)
