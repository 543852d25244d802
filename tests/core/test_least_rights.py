"""The rights that docs/security.md gives to each user of a broker are enough, and allow no more."""

import json
import re
import shlex
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pika

from tests.core.consume import Consumer
from tests.integration.harness.case import GatewayTestCase
from tests.integration.harness.tokens import fresh_user
from tests.integration.harness.waiting import until
from tests.servers.redis import RedisServer
from tests.servers.shared import own_name, shared_rabbit

PAGE = (Path(__file__).parents[2] / "docs" / "security.md").read_text("utf-8")
USERS = ("gateway", "consumer", "backend")
PASSWORD = "pass"


def rules(command: str) -> dict[str, list[str]]:
    """What the page says behind a command, for each user."""
    lines = re.findall(rf"^{command}(?: -p ws)? (\w+) (.*)$", PAGE, re.MULTILINE)
    return {user: shlex.split(words) if "'" in words else words.split() for user, words in lines}


class LeastRightsSuite(GatewayTestCase):
    """Subclasses say which broker."""

    shared = False
    __test__ = False

    def addresses(self) -> Mapping[str, Mapping[str, str]]:
        """The settings with which each user comes."""
        raise NotImplementedError

    def publish(self, text: bytes) -> None:
        """Write to the outbox as the backend."""
        raise NotImplementedError

    def dead_letters(self) -> int:
        """How many there are."""
        raise NotImplementedError

    def test_enough(self) -> None:
        """Messages reach the consumer, publications the client, and what nobody can use its place."""
        addresses = self.addresses()
        node = self.start({"WS_MODE": "core", "EVENTS_MODE": None, **addresses["gateway"]})
        until(lambda: node.call("GET", "/ready").json()["status"] == "ok", "/ready", node.log)
        consumer = Consumer(addresses["consumer"], *self.options)
        self.addCleanup(consumer.tear_down)
        user = fresh_user()
        with self.open(user, daemon=node) as client:
            client.send_json({"topic": "room", "n": 1})
            self.assertEqual(
                {type_ for type_, _, _ in consumer.wait_heard(2)}, {"connected", "message_received"}
            )
            self.publish(json.dumps({"subjects": [f"user:{user}"], "payload": "from the broker"}).encode())
            self.assertEqual(client.read_json()["payload"], "from the broker")
            call = {"subjects": [f"user:{user}"], "payload": "by HTTP"}
            self.assertEqual(node.call("POST", "/internal/publish", call).json()["relayed"], True)
            self.assertEqual(client.read_json()["payload"], "by HTTP")
            self.publish(b"nonsense")
            until(lambda: self.dead_letters() == 1, "a dead letter", node.log)
            client.send_json({"topic": "room", "fail": 100})
            until(lambda: self.dead_letters() == 2, "the consumer's dead letter", lambda: consumer.log)
        consumer.wait_heard(3)
        self.assertEqual(node.call("GET", "/ready").json()["status"], "ok")
        self.assertNotIn("NOPERM", str(node.log()) + consumer.log)
        self.assertEqual(consumer.stop(), 0)

    options: tuple[str, ...] = ("--attempts", "1")


class RedisRightsTests(LeastRightsSuite):
    __test__ = True
    options = (*LeastRightsSuite.options, "--partitions", "--discover", "0.2")

    def addresses(self) -> Mapping[str, Mapping[str, str]]:
        self.server = RedisServer()
        self.addCleanup(self.server.stop)
        self.server.start()
        found = rules("ACL SETUSER")
        self.assertEqual(tuple(found), USERS)
        for user, words in found.items():
            words[words.index(">..")] = f">{PASSWORD}"
            self.assertEqual(self.server.cli("ACL", "SETUSER", user, *words), "OK")
        address = f"{PASSWORD}@127.0.0.1:{self.server.port}"
        partitions = {"ORDERING_STRATEGY": "topic", "ORDERING_PARTITION_MODE": "suffix"}
        return {user: {"WS_REDIS_DSN": f"redis://{user}:{address}", **partitions} for user in USERS}

    def as_backend(self, *words: str) -> str:
        return self.server.cli("--user", "backend", "--pass", PASSWORD, "--no-auth-warning", *words)

    def publish(self, text: bytes) -> None:
        self.assertIn("-", self.as_backend("XADD", "ws.outbox", "*", "data", text.decode()))

    def dead_letters(self) -> int:
        return int(self.server.cli("XLEN", "ws.dlq"))

    def tearDown(self) -> None:
        # Nothing was refused but what nobody should do.
        self.assertEqual(self.server.cli("ACL", "LOG"), "")
        self.assertIn("NOPERM", self.as_backend("XRANGE", "ws.inbox", "-", "+"))
        self.assertIn("NOPERM", self.as_backend("XADD", "ws.inbox", "*", "data", "{}"))


class RabbitRightsTests(LeastRightsSuite):
    __test__ = True

    def addresses(self) -> Mapping[str, Mapping[str, str]]:
        self.server, self.host = shared_rabbit(), own_name("rights")
        self.server.ctl("add_vhost", self.host)
        self.server.ctl("set_permissions", "-p", self.host, "guest", ".*", ".*", ".*")
        found = rules("rabbitmqctl set_permissions")
        self.assertEqual(tuple(found), USERS)
        self.users = {}
        for user, words in found.items():
            name = self.users[user] = own_name(user)
            self.server.ctl("add_user", name, PASSWORD)
            self.server.ctl("set_permissions", "-p", self.host, name, *words)
        queues = {"RABBITMQ_INBOX_QUEUE": "ws.inbox", "RABBITMQ_EVENTS_QUEUE": "ws.events"}
        return {user: {"WS_RABBITMQ_DSN": self.dsn(name), **queues} for user, name in self.users.items()}

    def dsn(self, name: str) -> str:
        return f"amqp://{name}:{PASSWORD}@127.0.0.1:{self.server.port}/{self.host}"

    def channel(self, dsn: str) -> Any:
        connection = pika.BlockingConnection(pika.URLParameters(dsn))
        self.addCleanup(lambda: connection.close() if connection.is_open else None)
        return connection.channel()

    def publish(self, text: bytes) -> None:
        with closing(self.channel(self.dsn(self.users["backend"]))) as channel:
            channel.basic_publish("ws.outbox", "ws.outbox", text)

    def dead_letters(self) -> int:
        with closing(self.channel(f"{self.server.dsn}/{self.host}")) as channel:
            return int(channel.queue_declare("ws.dlq", passive=True).method.message_count)

    def tearDown(self) -> None:
        # The backend invents no events and reads none.
        channel = self.channel(self.dsn(self.users["backend"]))
        with self.assertRaises(pika.exceptions.ChannelClosedByBroker):
            channel.basic_get("ws.inbox")
        channel = self.channel(self.dsn(self.users["backend"]))
        channel.confirm_delivery()
        with self.assertRaises(pika.exceptions.ChannelClosedByBroker):
            channel.basic_publish("ws.inbox", "ws.inbox", b"{}")
