"""Protocol 1 over a connection in memory: the greeting and the refresh of a token."""

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.websocket.gate import Gate, Line, request
from ws_gateway.errors import KeysUnavailable
from ws_gateway.testing.frames import frame


class RefreshTests(SynchronousTestCase):
    """The fake authenticator knows `canary-token` (user 42) and `other` (user 43)."""

    def setUp(self) -> None:
        self.gate = Gate()

    def speaking(self) -> Line:
        """A client that asked for protocol 1."""
        return self.gate.line(request("/ws?v=1&channel=a"))

    def texts(self, line: Line) -> list[dict[str, Any]]:
        """The documents that the client received."""
        return [json.loads(text) for text in line.received.texts]

    def refresh(self, line: Line, token: str) -> None:
        """The client asks to go on under another token."""
        line.send(frame(json.dumps({"type": "ws.refresh", "token": token}).encode()))

    def test_greeting(self) -> None:
        """The greeting is the first frame; whoever did not ask gets none."""
        (greeting,) = self.texts(self.speaking())
        self.assertEqual(greeting["type"], "ws.welcome")
        self.assertEqual(greeting["subjects"], ["user:42", "channel:a"])
        self.assertEqual(self.texts(self.gate.line(request("/ws?v=2"))), [])

    def test_refreshed(self) -> None:
        """A token of the same user is accepted, and nothing of it reaches the backend."""
        line = self.speaking()
        self.refresh(line, "canary-token")
        self.assertEqual(self.texts(line)[1:], [{"type": "ws.refreshed", "expires_at": None}])
        self.assertEqual(self.gate.emitter.types, ["connected"])

    def test_refused(self) -> None:
        """A token that is not accepted, or of another user, closes with 4401."""
        for token in ("nonsense", "other"):
            line = self.speaking()
            self.refresh(line, token)
            self.assertEqual(line.received.close, (4401, "unauthorized"))

    def test_cannot_be_judged(self) -> None:
        """Without keys the connection stays, and the client may ask again."""
        line = self.speaking()
        self.gate.authenticator.fail_with(KeysUnavailable("no key yet", 1))
        self.refresh(line, "canary-token")
        self.assertEqual(self.texts(line)[-1], {"type": "ws.error", "error": "try_later"})
        self.gate.authenticator.fail_with(None)
        self.refresh(line, "canary-token")
        self.assertEqual(self.texts(line)[-1]["type"], "ws.refreshed")

    def test_defect(self) -> None:
        """A judge that breaks is logged and ends nothing."""
        line = self.speaking()
        self.gate.authenticator.fail_with(ZeroDivisionError())
        self.refresh(line, "canary-token")
        self.assertEqual(self.texts(line)[-1], {"type": "ws.error", "error": "try_later"})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_left_meanwhile(self) -> None:
        """A client that leaves while its token is judged leaves nobody waiting."""
        line = self.speaking()
        self.gate.authenticator.hang()
        self.refresh(line, "canary-token")
        self.assertEqual(self.gate.authenticator.waiting, 1)
        line.lose()
        self.assertEqual(self.gate.authenticator.waiting, 0)
        self.assertEqual(self.gate.emitter.types, ["connected", "disconnected"])

    def test_frames_meanwhile(self) -> None:
        """Other messages flow while a token is judged."""
        line = self.speaking()
        self.gate.authenticator.hang()
        self.refresh(line, "canary-token")
        line.send(frame(b'{"a":1}'))
        self.assertEqual(len(self.gate.emitter.messages), 1)
        self.gate.authenticator.release()
        self.assertEqual(self.texts(line)[-1]["type"], "ws.refreshed")
