"""The demo backend in core mode: two nodes, one broker, no HTTP between the demo and the gateway."""

import json
import os
import subprocess
import sys
import unittest
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from tests.browser.stack import DEMO_KEY, Demo, free_port
from tests.core.brokers import Broker, RabbitBroker, RedisBroker
from tests.core.demo_stack import CoreStack
from tests.integration.harness.tokens import fresh_user, token_for
from tests.integration.harness.waiting import PATIENCE, until
from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import RedisServer
from tests.servers.shared import own_name

_CLIENT = Path(__file__).resolve().parents[2] / "scripts" / "ws_client.py"


class DemoSuite(unittest.TestCase):
    """Subclasses say which broker."""

    stack: CoreStack
    server: Any

    @classmethod
    def make_broker(cls) -> Broker:
        raise NotImplementedError

    @classmethod
    def setUpClass(cls) -> None:
        cls.broker = cls.make_broker()
        cls.stack = CoreStack(cls.broker.settings())

    @classmethod
    def tearDownClass(cls) -> None:
        try:
            cls.stack.stop()
        finally:
            cls.server.stop()

    def client(self, node: int, user_id: str) -> ClientConnection:
        headers = {"Authorization": f"Bearer {token_for(user_id)}"}
        return self.enterContext(
            connect(self.stack.ws_urls[node], additional_headers=headers, proxy=None, open_timeout=PATIENCE)
        )

    def heard(self, connection: ClientConnection, kind: str) -> dict[str, Any]:
        """The payload of the next event of a kind."""
        while True:
            frame = json.loads(connection.recv(timeout=PATIENCE))
            if frame["type"] == "event" and frame["payload"].get("type") == kind:
                payload: dict[str, Any] = frame["payload"]
                return payload

    def until_online(self, connection: ClientConnection, *users: str) -> None:
        while not {f"user:{user}" for user in users} <= set(self.heard(connection, "presence")["users"]):
            pass

    def test_chat_across_nodes(self) -> None:
        """What one says on a node, those on the other hear; the consumer updates the last message."""
        ada, bob = fresh_user("ada"), fresh_user("bob")
        one, other = self.client(0, ada), self.client(1, bob)
        for connection in (one, other):
            self.until_online(connection, ada, bob)
        for sender, user, text in ((one, ada, "from one"), (other, bob, "from the other")):
            sender.send(json.dumps({"type": "chat", "text": text}))
            for connection in (one, other):
                said = self.heard(connection, "chat")
                self.assertEqual((said["user"], said["text"]), (f"user:{user}", text))
            last = self.stack.last_message()
            assert last is not None
            self.assertEqual((last["user_id"], last["message"]["text"]), (user, text))
        until(lambda: {ada, bob} <= set(self.stack.online()), "presence")
        other.close()
        while f"user:{bob}" in self.heard(one, "presence")["users"]:
            pass
        until(lambda: bob not in self.stack.online(), "presence without the one that left")

    def test_push(self) -> None:
        """A push reaches a user on whichever node."""
        bob = fresh_user("bob")
        other = self.client(1, bob)
        self.until_online(other, bob)
        status, body = self.stack.demo.ask("POST", f"/api/push-demo/{bob}", X_Demo_Key=DEMO_KEY)
        self.assertEqual((status, body), (200, {"sent": True}))
        while json.loads(other.recv(timeout=PATIENCE))["payload"] != {"hello": "world"}:
            pass

    def test_recipe(self) -> None:
        """Start the client, send a demo message, look at the last message."""
        told = {"type": "chat", "payload": own_name("hello")}
        done = subprocess.run(
            [sys.executable, str(_CLIENT)],
            env={
                "PATH": os.environ["PATH"],
                "JWT_PRIVATE_KEY_FILE": self.stack.private_key_file,
                "WS_URL": self.stack.ws_urls[0],
                "WS_SEND_MESSAGE": "1",
                "WS_MESSAGE_JSON": json.dumps(told),
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn('{"type":"pong"}', done.stdout)
        until(lambda: (self.stack.last_message() or {}).get("message") == told, "the last message")

    def test_demo_away(self) -> None:
        """What was said while the demo was away is published when it is back, once."""
        ada = fresh_user("ada")
        one = self.client(0, ada)
        self.until_online(one, ada)
        self.stack.demo.stop()
        for number in range(3):
            one.send(json.dumps({"type": "chat", "text": f"missed {number}"}))
        until(lambda: self.waiting() >= 3, "events that wait")
        self.stack.start_demo()
        self.assertEqual(
            [self.heard(one, "chat")["text"] for _ in range(3)], [f"missed {n}" for n in range(3)]
        )
        one.send(json.dumps({"type": "chat", "text": "once"}))
        self.assertEqual(self.heard(one, "chat")["text"], "once")

    def test_broker_away(self) -> None:
        """The broker dies and comes back: the chat goes on."""
        ada, bob = fresh_user("ada"), fresh_user("bob")
        one, other = self.client(0, ada), self.client(1, bob)
        self.until_online(one, ada, bob)
        self.server.restart()
        one.send(json.dumps({"type": "chat", "text": "still here"}))
        for connection in (one, other):
            self.assertEqual(self.heard(connection, "chat")["text"], "still here")

    def waiting(self) -> int:
        """How many messages nobody has acknowledged."""
        raise NotImplementedError


class RedisDemoTests(DemoSuite):
    server: RedisServer

    @classmethod
    def make_broker(cls) -> Broker:
        cls.server = RedisServer({"appendfsync": "always"})
        cls.server.start()
        return RedisBroker(cls.server, own_name("demo"))

    def waiting(self) -> int:
        stream = self.broker.settings()["REDIS_INBOX_STREAM"]
        groups = self.server.cli("XINFO", "GROUPS", stream).split("\n")
        fields = dict(zip(groups[::2], groups[1::2], strict=False))
        return int(fields["pending"]) + int(fields["lag"] or 0)

    def test_killed_node(self) -> None:
        """Who was on a node that is killed is gone from the chat as soon as its lease is over."""
        ada, bob = fresh_user("ada"), fresh_user("bob")
        one = self.client(0, ada)
        self.client(1, bob)
        self.until_online(one, ada, bob)
        self.stack.nodes[1].kill()
        try:
            while f"user:{bob}" in self.heard(one, "presence")["users"]:
                pass
            self.assertNotIn(bob, self.stack.online())
        finally:
            self.stack.start_node(1)


class RabbitDemoTests(DemoSuite):
    server: RabbitServer

    @classmethod
    def make_broker(cls) -> Broker:
        cls.server = RabbitServer()
        cls.server.start()
        return RabbitBroker(cls.server, own_name("demo"))

    def waiting(self) -> int:
        words = ("-q", "-p", self.broker.own, "--no-table-headers", "name", "messages")
        listed = self.server.ctl("list_queues", *words).split("\n")
        counts = dict(line.split("\t") for line in listed if "\t" in line)
        return int(counts["app.inbox"])


del DemoSuite


def test_core_without_a_broker() -> None:
    """Core mode without a broker ends the start with one line."""
    demo = Demo({"DEMO_PORT": str(free_port()), "WS_MODE": "core"}, wait=False)
    assert demo.process.wait(PATIENCE) != 0
    assert "ws-demo: WS_REDIS_DSN and WS_RABBITMQ_DSN are not set" in demo.log()
    assert "Traceback" not in demo.log()
