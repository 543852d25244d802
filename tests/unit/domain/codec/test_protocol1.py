"""The documents of protocol 1."""

import json

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain.codec import (
    CommandError,
    encode_error,
    encode_refreshed,
    encode_welcome,
    is_command,
    refresh_token,
)
from ws_gateway.domain.messages import ConnectionFacts

FACTS = ConnectionFacts("c-1", "42", ("user:42", "channel:a"), 1_700_000_000, "node-1", "1.2.3.4", {"x": 1})


class Protocol1Tests(SynchronousTestCase):
    def test_welcome(self) -> None:
        """The greeting tells who and where the client is, what it hears and what not, and nothing else."""
        self.assertEqual(
            json.loads(encode_welcome(FACTS, ("channel:b",), 1_700_003_600.9)),
            {
                "type": "ws.welcome",
                "connection_id": "c-1",
                "user_id": "42",
                "subjects": ["user:42", "channel:a"],
                "refused": ["channel:b"],
                "node_id": "node-1",
                "expires_at": 1_700_003_600,
            },
        )

    def test_never_expires(self) -> None:
        """A token without an end is told as null."""
        self.assertIsNone(json.loads(encode_welcome(FACTS, (), None))["expires_at"])
        self.assertEqual(json.loads(encode_refreshed(None)), {"type": "ws.refreshed", "expires_at": None})

    def test_refreshed(self) -> None:
        """The answer to a refresh tells the new end."""
        self.assertEqual(json.loads(encode_refreshed(5.5)), {"type": "ws.refreshed", "expires_at": 5})

    def test_error(self) -> None:
        """An error has a word."""
        self.assertEqual(json.loads(encode_error(CommandError.BUSY)), {"type": "ws.error", "error": "busy"})

    def test_commands(self) -> None:
        """Types that begin with `ws.` are commands; other types, and types that are no text, are not."""
        self.assertTrue(is_command({"type": "ws."}))
        for message in ({"type": "ws"}, {"type": "wsx"}, {"type": ["ws.refresh"]}, {}):
            self.assertFalse(is_command(message))

    def test_token(self) -> None:
        """A refresh holds a token; another command is unknown."""
        self.assertEqual(refresh_token({"type": "ws.refresh", "token": "t"}), "t")
        self.assertIs(refresh_token({"type": "ws.refresh", "token": None}), CommandError.MALFORMED)
        self.assertIs(refresh_token({"type": "ws.other", "token": "t"}), CommandError.UNKNOWN_TYPE)
