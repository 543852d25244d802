"""The chat room."""

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.demo.fakes import CALLS, HeldGateway, connected, disconnected, message
from ws_gateway.demo.publisher import Publisher
from ws_gateway.demo.room import Room, RoomFull
from ws_gateway.demo.roster import Roster


class RoomTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gateway = HeldGateway()
        self.publisher = Publisher(self.gateway.send, Clock(), lambda: 0.0, limit=5)
        self.publisher.startService()
        self.room = Room(Roster(), CALLS, self.publisher, lambda: 1700000001.5)

    def published(self) -> list[Any]:
        """The newest publications, each answered."""
        found: list[Any] = []
        while len(found) < len(self.gateway.calls):
            found.append(json.loads(self.gateway.calls[len(found)].body or b""))
            self.gateway.succeed()
        self.gateway.calls.clear()
        return found

    def test_presence(self) -> None:
        """Who comes and who goes is told to everybody, users sorted."""
        self.room.hear(connected("1", "bob"))
        self.room.hear(connected("2", "ada"))
        self.assertEqual(
            self.published(),
            [
                {"subjects": ["*"], "payload": {"type": "presence", "users": ["user:bob"], "ts": 1700000001}},
                {
                    "subjects": ["*"],
                    "payload": {"type": "presence", "users": ["user:ada", "user:bob"], "ts": 1700000001},
                },
            ],
        )
        self.room.hear(disconnected("1", "bob"))
        self.assertEqual(self.published()[0]["payload"]["users"], ["user:ada"])

    def test_chat(self) -> None:
        """What is said goes, trimmed, to everybody online and to the sender."""
        self.room.hear(connected("1", "bob"))
        self.published()
        self.room.hear(message("2", "ada", {"type": "chat", "text": "  hi\n"}))
        self.assertEqual(
            self.published(),
            [
                {
                    "subjects": ["user:ada", "user:bob"],
                    "payload": {"type": "chat", "user": "user:ada", "text": "hi", "ts": 1700000001},
                }
            ],
        )

    def test_payload_instead_of_text(self) -> None:
        """A string payload is taken in place of text; text wins where both are there."""
        self.room.hear(message("1", "ada", {"type": "chat", "payload": "hello world"}))
        self.room.hear(message("1", "ada", {"type": "chat", "payload": "a", "text": "b"}))
        self.assertEqual([found["payload"]["text"] for found in self.published()], ["hello world", "b"])

    def test_no_chat(self) -> None:
        """Messages that say nothing are kept as the last message, but published to nobody."""
        for content in (
            {"type": "raw", "payload": "x"},
            {"type": "chat"},
            {"type": "chat", "text": " "},
            {"type": "chat", "text": 7},
            {"type": "chat", "payload": {"a": 1}},
            {},
        ):
            self.room.hear(message("1", "ada", content))
            assert self.room.last is not None
            self.assertEqual(self.room.last.event.message, content)
        self.assertEqual(self.room.last.received_at, 1700000001)
        self.assertEqual(self.published(), [])

    def test_half_a_character(self) -> None:
        """A text that no JSON can carry is not published, and breaks nothing."""
        self.room.hear(message("1", "ada", {"type": "chat", "text": "\ud800"}))
        self.assertEqual(self.published(), [])

    def test_many_listeners(self) -> None:
        """More listeners than a publication may name are everybody."""
        roster = Roster()
        roster.replace({str(number): f"u{number}" for number in range(1001)})
        Room(roster, CALLS, self.publisher, lambda: 0.0).hear(
            message("1", "u1", {"type": "chat", "text": "x"})
        )
        self.assertEqual(self.published()[0]["subjects"], ["*"])

    def test_sign_of_life(self) -> None:
        """An event comes from a gateway that lives: what waits for it is tried at once."""
        self.room.hear(message("1", "ada", {"type": "chat", "text": "a"}))
        self.gateway.fail()
        self.assertEqual(len(self.gateway.calls), 1)
        self.room.hear(message("1", "ada", {}))
        self.assertEqual([payload["text"] for payload in self.gateway.payloads], ["a", "a"])

    def test_full(self) -> None:
        """Without room for the publication nothing happens at all, so that the event can come again."""
        for number in range(6):
            self.room.hear(message("1", "ada", {"type": "chat", "text": str(number)}))
        last = self.room.last
        with self.assertRaises(RoomFull):
            self.room.hear(message("1", "ada", {"type": "chat", "text": "too much"}))
        with self.assertRaises(RoomFull):
            self.room.hear(connected("2", "bob"))
        self.assertIs(self.room.last, last)
        self.assertEqual(len(self.published()), 6)
        self.room.hear(connected("2", "bob"))
        self.assertEqual(self.published()[0]["payload"]["users"], ["user:ada", "user:bob"])
