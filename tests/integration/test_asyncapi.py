"""docs/asyncapi.json and the real daemon agree: every frame and every webhook is one of its messages.

What the daemon sends is held against schemas that allow nothing unknown, and at the end every message and
every member of the document must have been seen.
"""

import signal
from typing import Any, ClassVar

from tests.asyncapi import AsyncApi
from tests.integration.harness.case import HookedTestCase
from tests.integration.harness.rawclient import BINARY, RawClient, frame
from tests.integration.harness.receiver import Hook
from tests.integration.harness.tokens import fresh_user, token_for

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OF_HTTP = {"host", "content-length", "connection"}

API = AsyncApi()


class AsyncApiTests(HookedTestCase):
    """One daemon with everything switched on that adds to a message, and a small rate."""

    settings: ClassVar = {
        "ORDERING_STRATEGY": "topic",
        "EVENTS_CLIENT_IP": "1",
        "JWT_FORWARD_CLAIMS": "role",
        "WS_RATE_LIMIT_PER_SEC": "0.001",
        "WS_RATE_LIMIT_BURST": "20",
        "WS_RATE_LIMIT_CLOSE_AFTER": "5",
        "WS_MAX_MESSAGE_BYTES": "1000",
    }
    seen: ClassVar[dict[str, set[str]]] = {}

    def note(self, names: list[str], document: Any) -> str:
        """A document that was sent is exactly one of these messages.

        :returns: which one.
        """
        found = API.which(names, document)
        self.assertEqual(len(found), 1, (document, {name: API.faults(name, document) for name in names}))
        self.seen.setdefault(found[0], set()).update(document)
        return found[0]

    def hear(self, client: RawClient) -> tuple[str, Any]:
        """The next frame."""
        document = client.read_json()
        return self.note(API.names("send", "client"), document), document

    def judge(self, hook: Hook) -> str:
        """A webhook, its headers included."""
        name = self.note(API.names("send", "webhook"), hook.event)
        headers = {header: value for header, value in hook.headers.items() if header not in OF_HTTP}
        self.assertEqual(API.header_faults(name, headers), [])
        self.seen.setdefault("headers", set()).update(headers)
        return name

    def judge_all(self, user: str) -> list[dict[str, Any]]:
        """Every webhook about a user who has left."""
        self.receiver.wait_end(user)
        hooks = self.receiver.attempts(user)
        kinds = [self.judge(hook) for hook in hooks]
        self.assertEqual((kinds[0], kinds[-1]), ("connected", "disconnected"))
        return [hook.event for hook in hooks]

    def say(self, client: RawClient, name: str, payload: Any) -> None:
        """Send a message that the document allows, and hear the answers that it names."""
        if name != "text":
            self.assertEqual(API.faults(name, payload), [])
        client.send_text(payload) if name == "text" else client.send_json(payload)
        if API.replies(name):
            self.assertIn(self.hear(client)[0], API.replies(name))

    def test_everything(self) -> None:
        """Every message of the document, with every member, and none that it does not know."""
        user = fresh_user()
        claims = {"role": "admin", "channels": ["a"]}
        client = self.open(user, "/ws?v=1&channels=a,b", claims=claims, headers=[("traceparent", TRACE)])
        self.assertEqual(self.hear(client)[0], "welcome")
        self.say(client, "refresh", {"type": "ws.refresh", "token": token_for(user, **claims)})
        for odd in ({"type": "ws.refresh"}, {"type": "ws.other"}):
            client.send_json(odd)
            self.assertEqual(self.hear(client)[0], "error")
        said: list[tuple[str, Any]] = []
        for name in API.names("receive", "client"):
            for payload in API.examples(name):
                self.say(client, name, payload)
                said += [] if API.replies(name) else [(name, payload)]
        client.send(frame(BINARY, b"\0\xff"))
        for payload in (None, 1.5, "text", [1], {"a": {}}):
            self.daemon.publish([f"user:{user}"], payload)
            self.assertEqual(self.hear(client), ("event", {"type": "event", "payload": payload}))
        client.close()
        # Topics run side by side, so only the numbers tell the order.
        *events, binary, _ = sorted(self.judge_all(user), key=lambda event: event["seq"])[1:]
        self.assertEqual(binary["message"], {"type": "raw", "payload": "AP8=", "encoding": "base64"})
        expected = [
            payload if name == "message" else {"type": "raw", "payload": payload} for name, payload in said
        ]
        self.assertEqual([event["message"] for event in events], expected)
        self.limited()
        sent = API.names("send", "client") + API.names("send", "webhook")
        self.assertEqual(self.seen, {**self.seen, **{name: API.members(name) for name in sent}})
        headers = API.document["components"]["schemas"]["WebhookHeaders"]["properties"]
        self.assertEqual(self.seen["headers"], {header.lower() for header in headers})

    def limited(self) -> None:
        """A client that says too much is told so, and closed."""
        user = fresh_user()
        client = self.open(user)
        for _ in range(25):
            client.send_json({"type": "chat"})
        for _ in range(4):
            self.assertEqual(self.hear(client)[0], "rateLimited")
        code, _ = client.read_close()
        self.assertIn(code, API.close_codes)
        self.assertEqual(self.judge_all(user)[-1]["cause"], "rate_limited")

    def test_plain(self) -> None:
        """Without anything that adds to them events have no more than they must."""
        user = fresh_user()
        self.open(user).close()
        for event in self.judge_all(user):
            self.assertEqual({"traceparent", "claims", "ordering_key"} & set(event), set())

    def test_close_codes(self) -> None:
        """Whatever ends a connection, its code is documented and its event as it should be."""
        for data, code in (
            (frame(0x1, b"\xff"), 1007),
            (frame(0x1, b"x", masked=False), 1002),
            (frame(0x1, b"x" * 1001), 1009),
        ):
            user = fresh_user()
            client = self.open(user)
            client.send(data)
            self.assertEqual(client.read_close()[0], code)
            self.assertIn(code, API.close_codes)
            self.assertEqual(self.judge_all(user)[-1]["code"], code)
        user = fresh_user()
        client = self.open(user)
        self.daemon.call("POST", "/internal/disconnect", {"user_id": user})
        self.assertIn(client.read_close()[0], API.close_codes)
        self.assertEqual(self.judge_all(user)[-1]["cause"], "kicked")
        client = self.raw().handshake("nonsense")
        self.assertIn(client.read_close()[0], API.close_codes)
        user = fresh_user()
        self.open(user).socket.close()
        self.assertEqual(self.judge_all(user)[-1]["code"], 1006)
        daemon = self.start()
        user = fresh_user()
        client = self.open(user, daemon=daemon)
        daemon.send_signal(signal.SIGTERM)
        self.assertIn(client.read_close()[0], API.close_codes)
        self.assertEqual(self.judge_all(user)[-1]["cause"], "shutdown")
