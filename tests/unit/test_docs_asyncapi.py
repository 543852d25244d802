"""docs/asyncapi.json says what the code's own tables say."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.asyncapi import DOCUMENT, AsyncApi
from ws_gateway.domain import closing
from ws_gateway.domain.codec import PublicationInvalid, decode_order, encode_kick, encode_publication
from ws_gateway.domain.codec.protocol1 import CommandError
from ws_gateway.domain.messages import DisconnectCause, EventType, Kick, Publication

EXAMPLE_TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class AsyncApiTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.api = AsyncApi()
        self.schemas: dict[str, Any] = self.api.document["components"]["schemas"]

    def test_references(self) -> None:
        """Every reference leads somewhere."""
        for piece in DOCUMENT.read_text("utf-8").split('"$ref": "#/')[1:]:
            found: Any = self.api.document
            for name in piece.partition('"')[0].split("/"):
                self.assertIn(name, found, piece[:60])
                found = found[name]

    def test_messages_used(self) -> None:
        """Every message belongs to a channel and an operation."""
        used = {
            name
            for action in ("send", "receive")
            for channel in ("client", "webhook", "outbox")
            for name in self.api.names(action, channel)
        }
        self.assertEqual(used, set(self.api.messages))
        listed = {name for channel in self.api.document["channels"].values() for name in channel["messages"]}
        self.assertEqual(used, listed)

    def test_words(self) -> None:
        """Causes, errors and types of events are those of the code."""
        self.assertEqual(self.schemas["Cause"]["enum"], [cause.value for cause in DisconnectCause])
        error = self.api.messages["error"]["payload"]["properties"]["error"]
        self.assertEqual(error["enum"], [error.value for error in CommandError])
        types = {self.api.messages[name]["payload"]["properties"]["type"]["const"] for name in self._events()}
        self.assertEqual(types, {kind.value for kind in EventType})

    def test_close_codes(self) -> None:
        """Every code that the gateway closes with is there."""
        ours = {one.code for one in vars(closing).values() if isinstance(one, closing.Closing)}
        ours |= {value for name, value in vars(closing).items() if name.endswith("_CODE")}
        never_sent = {closing.NO_CODE, closing.ABNORMAL}
        violations = {1002, 1007}
        self.assertEqual(self.api.close_codes, (ours - never_sent) | violations | {1000})

    def test_outbox(self) -> None:
        """The gateway writes and reads in the outbox what is documented, and nothing else."""
        publication = Publication(("a",), b"[1.10]", EXAMPLE_TRACE, frozenset({"c"}))
        for written, name in (
            (encode_publication(publication), "publication"),
            (encode_kick(Kick(4001, "bye", "42", "c")), "kick"),
        ):
            self.assertEqual(self.api.faults(name, json.loads(written)), [])
        for name, kind in (("publication", Publication), ("kick", Kick)):
            self.assertGreater(len(self.api.examples(name)), 1)
            for example in self.api.examples(name):
                self.assertEqual(self.api.faults(name, example), [])
                self.assertIsInstance(decode_order(json.dumps(example).encode()), kind)
        for bad, name in (
            ({"subjects": [], "payload": 1}, "publication"),
            ({"subjects": ["a\nb"], "payload": 1}, "publication"),
            ({"subjects": ["a"]}, "publication"),
            ({"subjects": ["a"], "payload": 1, "op": "shout"}, "publication"),
            ({"op": "disconnect"}, "kick"),
            ({"op": "disconnect", "user_id": None}, "kick"),
            ({"op": "disconnect", "user_id": "42", "code": 1000}, "kick"),
        ):
            self.assertTrue(self.api.faults(name, bad), bad)
            self.assertRaises(PublicationInvalid, decode_order, json.dumps(bad).encode())

    def test_strict(self) -> None:
        """What the document does not name is a fault in the eyes of these tests."""
        self.assertEqual(self.api.faults("pong", {"type": "pong"}), [])
        self.assertTrue(self.api.faults("pong", {"type": "pong", "more": 1}))
        self.assertTrue(self.api.faults("pong", {"type": "ping"}))
        self.assertTrue(self.api.faults("pong", {}))
        self.assertEqual(self.api.faults("message", {"type": "chat", "more": 1}), [])
        self.assertTrue(self.api.header_faults("connected", {"x-more": "1"}))

    def _events(self) -> list[str]:
        return self.api.names("send", "webhook")
