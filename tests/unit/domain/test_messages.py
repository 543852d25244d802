"""The values that travel between the rooms."""

from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain.messages import (
    Connected,
    ConnectionFacts,
    Disconnected,
    EventType,
    Handshake,
    Identity,
    MessageReceived,
    Publication,
)


class HandshakeTests(SynchronousTestCase):
    SHAKE = Handshake(
        "/ws",
        (("token", "canary"), ("channel", "a"), ("channel", "b"), ("empty", "")),
        {
            "sec-websocket-protocol": ("bearer,  canary ,", "\tchat\t", ","),
            "authorization": ("Bearer canary",),
        },
        "192.0.2.1",
    )

    def test_first_query(self) -> None:
        """The first value counts, an empty one too."""
        self.assertEqual(self.SHAKE.first_query("channel"), "a")
        self.assertEqual(self.SHAKE.first_query("empty"), "")
        self.assertIsNone(self.SHAKE.first_query("Token"))

    def test_header_list(self) -> None:
        """Repeated lines are one list; blanks around and empty elements do not count."""
        self.assertEqual(self.SHAKE.header_list("sec-websocket-protocol"), ["bearer", "canary", "chat"])
        self.assertEqual(self.SHAKE.header_list("absent"), [])

    def test_no_token_shown(self) -> None:
        """Whoever prints a handshake prints no token."""
        self.assertNotIn("canary", repr(self.SHAKE))


class ValueTests(SynchronousTestCase):
    def test_secrets_and_bodies_not_shown(self) -> None:
        """Claims, payloads and texts do not show up where a value is printed."""
        facts = ConnectionFacts("c", "42", ("user:42",), 1, "n")
        for value in (
            Identity("42", claims={"secret": "canary"}),
            Publication(("s",), b"canary"),
            MessageReceived(facts, b"canary", 1, b"canary", "canary"),
            Connected(facts, b"canary"),
        ):
            self.assertNotIn("canary", repr(value))

    def test_frozen(self) -> None:
        """A value does not change."""
        publication = Publication(("s",), b"1")
        with self.assertRaises(FrozenInstanceError):
            publication.payload = b"2"  # type: ignore[misc]

    def test_event_types(self) -> None:
        """Each event knows its type, and the words are fixed."""
        self.assertEqual(
            [event.type for event in (Connected, MessageReceived, Disconnected)],
            [EventType.CONNECTED, EventType.MESSAGE_RECEIVED, EventType.DISCONNECTED],
        )
        self.assertEqual([str(kind) for kind in EventType], ["connected", "message_received", "disconnected"])
