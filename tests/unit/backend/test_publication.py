"""Publications: from values to the bytes that the gateway takes."""

import json
from datetime import date

from twisted.trial import unittest

from ws_gateway.backend import Publication, encode_batch, encode_publication
from ws_gateway.domain.codec import decode_batch, decode_publication

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class EncodeTests(unittest.SynchronousTestCase):
    """One publication, and several."""

    def test_smallest(self) -> None:
        """What is not given is not sent."""
        self.assertEqual(encode_publication(["user:42"], None), b'{"subjects":["user:42"],"payload":null}')

    def test_whole(self) -> None:
        """Everything given is sent, as compact UTF-8; subjects and exclusions may be any iterable."""
        body = encode_publication(
            (subject for subject in ["user:ü", "*"]), {"a": [1, 2.5]}, traceparent=TRACE, exclude={"c1"}
        )
        expected = (
            f'{{"subjects":["user:ü","*"],"payload":{{"a":[1,2.5]}},"traceparent":"{TRACE}","except":["c1"]}}'
        )
        self.assertEqual(body, expected.encode())

    def test_gateway_reads_it(self) -> None:
        """The gateway's own codec reads what the kit writes."""
        payload = {"text": "grüße 👋", "n": 12345678901234567890}
        [one] = decode_batch(encode_batch([Publication(["user:42"], payload, TRACE, ["c1"])]))
        self.assertEqual(
            one,
            decode_publication(encode_publication(["user:42"], payload, traceparent=TRACE, exclude=["c1"])),
        )
        self.assertEqual((one.subjects, json.loads(one.payload)), (("user:42",), payload))
        self.assertEqual((one.traceparent, one.excluded), (TRACE, frozenset({"c1"})))

    def test_batch(self) -> None:
        """A batch is a list of publications, in order."""
        body = encode_batch([Publication(["a"], 1), Publication(["b"], 2, exclude=["c"])])
        first, second = b'{"subjects":["a"],"payload":1}', b'{"subjects":["b"],"payload":2,"except":["c"]}'
        self.assertEqual(body, b'{"publications":[' + first + b"," + second + b"]}")

    def test_no_json(self) -> None:
        """What JSON cannot say is refused here: NaN, infinities, half characters, other objects."""
        for payload in (float("nan"), [float("inf")], {"a": "\ud800"}, {"\udfff": 1}):
            self.assertRaises(ValueError, encode_publication, ["a"], payload)
        for payload in (date(2024, 1, 1), {1, 2}, b"bytes"):
            self.assertRaises(TypeError, encode_publication, ["a"], payload)

    def test_one_text(self) -> None:
        """One text in place of a list is refused: each of its letters would be a subject."""
        self.assertRaises(TypeError, encode_publication, "user:42", 1)
        self.assertRaises(TypeError, encode_publication, b"user:42", 1)
        self.assertRaises(TypeError, encode_publication, ["a"], 1, exclude="c1")
        self.assertRaises(TypeError, encode_batch, [Publication("user:42", 1)])
