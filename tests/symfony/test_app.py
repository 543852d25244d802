"""The Symfony application end to end: gateway, `php -S`, `ws:consume`, Redis and RabbitMQ, in both modes."""

import json
import os
import signal
import subprocess
import sys
import unittest
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import pika

from tests.integration.harness.case import GatewayTestCase
from tests.integration.harness.rawclient import RawClient
from tests.integration.harness.tokens import fresh_user
from tests.integration.harness.waiting import PATIENCE, until
from tests.servers.process import Missing
from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import RedisServer
from tests.servers.shared import own_name, shared_rabbit, shared_redis
from tests.symfony.application import DEMO_KEY, HOOK_SECRET, Stack, missing
from ws_gateway.backend import sign

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
MISSING = missing()
if MISSING is not None and os.environ.get("CI") != "true":
    raise unittest.SkipTest(MISSING)


def setUpModule() -> None:
    assert MISSING is None, MISSING


class Suite(GatewayTestCase):
    """What the application does, whatever carries its events. Subclasses say what that is."""

    both: ClassVar[Mapping[str, str]]
    consume: ClassVar[bool] = False
    stack: ClassVar[Stack]

    @classmethod
    def prepare(cls) -> Mapping[str, str]:
        """The settings of both sides, once everything that they name runs."""
        raise NotImplementedError

    @classmethod
    def setUpClass(cls) -> None:
        try:
            cls.both = cls.prepare()
        except Missing as missing:
            if os.environ.get("CI") == "true":
                raise
            raise unittest.SkipTest(f"THE SYMFONY APPLICATION IS TESTED IN PART ONLY: {missing}") from missing
        cls.stack = Stack(cls.both, cls.consume)
        cls.daemon = cls.stack.gateway

    @classmethod
    def tearDownClass(cls) -> None:
        cls.stack.close()

    def script(self, *words: str, **settings: str) -> tuple[int, str]:
        """Run one of `scripts/` with the key of the gateway.

        :returns: exit status and what it said.
        """
        done = subprocess.run(
            [sys.executable, *words],
            cwd=SCRIPTS,
            env={
                "PATH": os.environ["PATH"],
                "JWT_PRIVATE_KEY_FILE": str(self.stack.private_key),
                "WS_URL": f"ws://127.0.0.1:{self.daemon.port}/ws",
                **settings,
            },
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def payload(self, client: RawClient, **wanted: Any) -> dict[str, Any]:
        """The next publication that has these fields; presence comes whenever somebody comes or goes."""
        while True:
            frame = client.read_json()
            self.assertEqual(frame["type"], "event", frame)
            payload: dict[str, Any] = frame["payload"]
            if all(payload.get(name) == value for name, value in wanted.items()):
                return payload

    def test_recipe(self) -> None:
        """Start the client, send a message, look at the last message: as the documents have it."""
        user = fresh_user()
        message = '{"type":"chat","payload":"hello world"}'
        status, said = self.script(
            "ws_client.py",
            WS_SEND_MESSAGE="1",
            WS_MESSAGE_JSON=message,
            WS_USER_ID=user,
            WS_LISTEN_SECONDS="0.1",
        )
        self.assertEqual(status, 0, said)
        self.assertIn('{"type":"pong"}', said)
        shown = self.stack.wait_last(lambda data: data["user_id"] == user)
        self.assertEqual(
            set(shown),
            {"connection_id", "user_id", "subjects", "connected_at", "message", "raw", "received_at"},
        )
        self.assertEqual(shown["message"], {"type": "chat", "payload": "hello world"})
        self.assertEqual(shown["raw"], message)
        self.assertEqual(shown["subjects"], [f"user:{user}"])
        self.assertIs(type(shown["connected_at"]), int)
        self.assertIs(type(shown["received_at"]), int)

    def test_smoke(self) -> None:
        """scripts/smoke, which does the same and more, finds nothing wrong."""
        base, application = (f"http://127.0.0.1:{port}" for port in (self.daemon.port, self.stack.web.port))
        status, said = self.script("smoke", base, application, DEMO_API_KEY=DEMO_KEY, WS_USER_ID=fresh_user())
        self.assertEqual(status, 0, f"{said}\n{self.stack.log()}")

    def test_chat(self) -> None:
        """Two users see each other come, hear each other and themselves, and see the other go."""
        ada, bob = fresh_user("ada"), fresh_user("bob")
        with self.open(ada) as first:
            self.payload(first, type="presence", users=[f"user:{ada}"])
            with self.open(bob) as second:
                both = sorted([f"user:{ada}", f"user:{bob}"])
                for client in (first, second):
                    self.assertIs(type(self.payload(client, type="presence", users=both)["ts"]), int)
                first.send_json({"type": "chat", "text": "  Grüße, <b>Bob</b>\n"})
                for client in (first, second):
                    said = self.payload(client, type="chat")
                    self.assertEqual((said["user"], said["text"]), (f"user:{ada}", "Grüße, <b>Bob</b>"))
                    self.assertEqual(set(said), {"type", "user", "text", "ts"})
                second.send_json({"type": "chat", "payload": "in the other field"})
                for client in (first, second):
                    said = self.payload(client, type="chat")
                    self.assertEqual((said["user"], said["text"]), (f"user:{bob}", "in the other field"))
                second.close()
            self.payload(first, type="presence", users=[f"user:{ada}"])

    def test_other_messages(self) -> None:
        """What is no chat is shown as the last message, exactly, and sent to nobody."""
        with self.open() as client:
            for text, message in (
                ('{"type":"note","o":{},"l":[],"n":1.0}', {"type": "note", "o": {}, "l": [], "n": 1.0}),
                ("no json", {"type": "raw", "payload": "no json"}),
                ('{"type":"chat","text":["no text"]}', {"type": "chat", "text": ["no text"]}),
                ('{"type":"chat","text":"  "}', {"type": "chat", "text": "  "}),
            ):
                client.send_text(text)
                self.assertEqual(
                    self.stack.wait_last(lambda data, text=text: data["raw"] == text)["message"], message
                )
            client.send_json({"type": "chat", "text": "the end"})
            self.assertEqual(self.payload(client, type="chat")["text"], "the end")

    def test_push(self) -> None:
        """A push reaches the user and nobody else, also where the id looks like something else."""
        for user in (fresh_user(), fresh_user("channel:a/b ü.")):
            with self.open(user) as client, self.open() as other:
                self.payload(other, type="presence")
                path = f"/api/push-demo/{quote(user, safe='')}"
                status, document, _ = self.stack.web.ask("POST", path, X_Demo_Key=DEMO_KEY)
                self.assertEqual((status, document), (200, {"sent": True}), self.stack.log())
                self.payload(client, hello="world")
                self.assertEqual(self.stack.web.ask("POST", path)[0], 401)
                other.send_json({"type": "chat", "text": "next"})
                while (payload := other.read_json()["payload"]) != {"hello": "world"}:
                    if payload["type"] == "chat":
                        break
                self.assertEqual(payload.get("text"), "next")

    def test_online(self) -> None:
        """Presence has one shape in every mode, by user and as a whole, and is not for everybody."""
        ada, bob = fresh_user("ada"), fresh_user("bob")
        ask = self.stack.web.ask
        with self.open(ada), self.open(bob):
            until(
                lambda: len(ask("GET", "/api/online", X_Demo_Key=DEMO_KEY)[1]["connections"]) >= 2,
                "both to be online",
                self.stack.log,
            )
            status, document, headers = ask("GET", f"/api/online?user_id={ada}", X_Demo_Key=DEMO_KEY)
            self.assertEqual(status, 200)
            [entry] = document["connections"]
            self.assertEqual(
                set(entry), {"connection_id", "user_id", "subjects", "connected_at", "last_seen_at"}
            )
            self.assertEqual((entry["user_id"], entry["subjects"]), (ada, [f"user:{ada}"]))
            self.assertIs(type(entry["connected_at"]), int)
            self.assertIn("no-store", headers["Cache-Control"])
            nobody = ask("GET", f"/api/online?user_id={fresh_user()}", X_Demo_Key=DEMO_KEY)
            self.assertEqual(nobody[:2], (200, {"connections": []}))
            self.assertEqual(ask("GET", "/api/online?user_id[]=1", X_Demo_Key=DEMO_KEY)[0], 400)
            for key in ({}, {"X_Demo_Key": "wrong"}):
                status, document, _ = ask("GET", "/api/online", **key)
                self.assertEqual((status, document["detail"]), (401, "unauthorized"))


class TerminatorTests(Suite):
    """Events by webhook, publications and presence by HTTP: no broker."""

    @classmethod
    def prepare(cls) -> Mapping[str, str]:
        return {"WS_MODE": "terminator"}

    def hook(self, headers: Mapping[str, str], body: bytes) -> int:
        names = {name.replace("-", "_"): value for name, value in headers.items()}
        status: int = self.stack.web.ask("POST", "/internal/ws/events", body, **names)[0]
        return status

    def test_unsigned_events_are_refused(self) -> None:
        """Nothing but the secret opens the webhook; it is read although $_ENV is empty."""
        self.assertNotEqual(self.stack.settings["SYMFONY_WEBHOOK_SECRET"], "")
        document = {
            "type": "message_received",
            "connection_id": "8d0c2f0e-9f1c-4f6e-8f0a-2f4d6c1f7a10",
            "user_id": fresh_user("forged"),
            "subjects": [],
            "connected_at": 1_700_000_000,
            "message": {"type": "note"},
            "raw": "{}",
        }
        body = json.dumps(document).encode()
        good = sign(body, [HOOK_SECRET], event_id="0190a0b0-5c1e-7c3a-9f41-2f6d3f0f7a11")
        older = {"X-Webhook-Signature": good["X-Webhook-Signature"]}
        for headers in ({}, sign(body, ["another"], event_id="1"), {"X-Webhook-Signature": "sha256=00"}):
            self.assertEqual(self.hook(headers, body), 401, headers)
            shown = self.stack.last_message()
            self.assertNotEqual(shown and shown["user_id"], document["user_id"])
        self.assertEqual(self.hook(older, body + b" "), 401)
        for headers in (good, older):
            self.assertEqual(self.hook(headers, body), 200, headers)
        self.assertEqual(self.stack.last_message()["user_id"], document["user_id"])
        self.assertEqual(self.hook(sign(b"[]", [HOOK_SECRET], event_id="2"), b"[]"), 400)


class CoreSuite(Suite):
    """Events and publications by a broker, and a consumer that can be killed."""

    consume = True

    @classmethod
    def left(cls) -> int:
        """How many messages of the inbox are not acknowledged. Exact while no consumer runs."""
        raise NotImplementedError

    def test_webhooks_are_off(self) -> None:
        """A signed event by HTTP is not taken where events come by a broker."""
        headers = {
            name.replace("-", "_"): value for name, value in sign(b"{}", [HOOK_SECRET], event_id="1").items()
        }
        status, document, _ = self.stack.web.ask("POST", "/internal/ws/events", b"{}", **headers)
        self.assertEqual((status, document["message"]), (404, "webhook disabled"))

    def test_consumer_killed(self) -> None:
        """SIGKILL amid a stretch of messages, thrice: each is handled, in order, and none twice that was
        acknowledged."""
        count = 200
        stack = self.stack
        until(lambda: self.left() == 0, "a quiet inbox", stack.log)
        self.assertEqual(stack.stop_consumer(), 0)
        before = stack.last_message()
        with self.open() as client:
            for number in range(count):
                client.send_json({"type": "chat", "text": str(number)})
            until(lambda: self.left() == count, "all messages in the broker", self.daemon.log)
            self.assertEqual(stack.last_message(), before)
            heard: list[int] = []
            in_hand = set()
            for goal in (20, 50, 80):
                stack.start_consumer()
                while len(heard) < goal:
                    heard.append(int(self.payload(client, type="chat")["text"]))
                self.assertEqual(stack.stop_consumer(signal.SIGKILL), -signal.SIGKILL)
                left = self.settled()
                self.assertGreater(left, 0)
                in_hand.add(count - left)
            stack.start_consumer()
            while count - 1 not in heard:
                heard.append(int(self.payload(client, type="chat")["text"]))
            again = [number for at, number in enumerate(heard) if number in heard[:at]]
            self.assertLessEqual(set(again), in_hand, heard)
            self.assertEqual(len(again), len(set(again)), heard)
            self.assertEqual(sorted(heard), heard)
            self.assertEqual(sorted(set(heard)), list(range(count)))
            until(lambda: self.left() == 0, "everything to be acknowledged", stack.log)
            stack.wait_last(lambda data: data["message"].get("text") == str(count - 1))

    @classmethod
    def settled(cls) -> int:
        """`left()` when the broker knows that the consumer is gone."""
        return cls.left()


class RedisTests(CoreSuite):
    """Redis Streams, with the names that are the default everywhere, in a database of their own."""

    DATABASE = "9"
    server: ClassVar[RedisServer]

    @classmethod
    def prepare(cls) -> Mapping[str, str]:
        cls.server = shared_redis()
        cls.server.cli("-n", cls.DATABASE, "FLUSHDB")
        return {"WS_MODE": "core", "WS_REDIS_DSN": f"{cls.server.dsn}/{cls.DATABASE}"}

    @classmethod
    def left(cls) -> int:
        return int(cls.server.cli("-n", cls.DATABASE, "--raw", "EVAL", _LEFT, "1", "ws.inbox", "symfony"))

    def test_the_last_message_is_in_redis(self) -> None:
        """Where the consumer and the web server may be on two machines, both look at Redis."""
        with self.open() as client:
            client.send_text('{"type":"note","n":"redis"}')
            self.stack.wait_last(lambda data: data["message"].get("n") == "redis")
        kept = self.server.cli("-n", self.DATABASE, "GET", "demo:ws:last_message")
        self.assertEqual(json.loads(kept)["message"], {"type": "note", "n": "redis"})
        self.assertEqual(list(self.stack.directory.rglob("demo_last_message.json")), [])


# Entries of a stream that a group was not given, and those that it was given and has not acknowledged.
_LEFT = """
if redis.call('EXISTS', KEYS[1]) == 0 then return 0 end
for _, flat in ipairs(redis.call('XINFO', 'GROUPS', KEYS[1])) do
  local group = {}
  for at = 1, #flat, 2 do group[flat[at]] = flat[at + 1] end
  if group['name'] == ARGV[1] then
    local after = redis.call('XRANGE', KEYS[1], '(' .. group['last-delivered-id'], '+')
    return #after + group['pending']
  end
end
return redis.call('XLEN', KEYS[1])
"""


class RabbitMqTests(CoreSuite):
    """RabbitMQ alone: no Redis anywhere, so presence is asked of the gateway."""

    server: ClassVar[RabbitServer]
    host: ClassVar[str]

    @classmethod
    def prepare(cls) -> Mapping[str, str]:
        cls.server = shared_rabbit()
        cls.host = own_name("application")
        cls.server.ctl("add_vhost", cls.host)
        cls.server.ctl("set_permissions", "-p", cls.host, "guest", ".*", ".*", ".*")
        return {
            "WS_MODE": "core",
            "WS_RABBITMQ_DSN": f"{cls.server.dsn}/{cls.host}",
            "RABBITMQ_INBOX_QUEUE": "ws.inbox",
            "RABBITMQ_EVENTS_QUEUE": "ws.events",
        }

    @classmethod
    def _inbox(cls) -> tuple[int, int]:
        with pika.BlockingConnection(pika.URLParameters(f"{cls.server.dsn}/{cls.host}")) as connection:
            declared = connection.channel().queue_declare("ws.inbox", passive=True)
            return declared.method.message_count, declared.method.consumer_count

    @classmethod
    def left(cls) -> int:
        return cls._inbox()[0]

    @classmethod
    def settled(cls) -> int:
        until(lambda: cls._inbox()[1] == 0, "RabbitMQ to notice")
        return cls.left()


del Suite, CoreSuite
