"""What a hostile backend writes, and what a node does that has to stop while its broker is no help."""

import json
import signal

from tests.core.brokers import Broker, RabbitBroker, RedisBroker
from tests.core.case import CoreTestCase
from tests.integration.harness.daemon import Daemon
from tests.integration.harness.rawclient import RawClient
from tests.integration.harness.waiting import until
from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import RedisServer
from tests.servers.shared import own_name

ANYBODY = b'{"subjects":["*"],"payload":'
UNUSABLE = (
    b"\xff\xfe",
    b"",
    b"null",
    b"[" * 100_000,
    ANYBODY + b"[" * 1500 + b"]" * 1500 + b"}",
    ANYBODY + b'"\\ud800"}',
    ANYBODY + b"1}x",
    ANYBODY + b'1,"op":"boom"}',
    ANYBODY + b'1,"op":["publish"]}',
    ANYBODY + b'1,"except":"x"}',
    b'{"subjects":["a\\u0000"],"payload":1}',
    b'{"subjects":[%b],"payload":1}' % b",".join(b'"s%d"' % number for number in range(100_000)),
    b'{"op":"disconnect"}',
    b'{"op":"disconnect","user_id":"x","code":1e400}',
    b'"%b"' % (b"x" * 2_000_000),
)
DOUBLED = b'{"subjects":["nobody"],"payload":1,"p\\u0061yload":"second","subjects":["*"]}'
IN_A_STRING = ANYBODY + b'"\\"],\\"payload\\":1}"}'


class HostileCase(CoreTestCase):
    """A broker of its own for each class."""

    def grievance(self) -> None:
        """Have the broker take nothing any more, without a word."""
        raise NotImplementedError

    def relief(self) -> None:
        """The end of that."""
        raise NotImplementedError

    def write_all(self, client: RawClient, daemon: Daemon) -> None:
        self.broker.publish(*(one for one in UNUSABLE if self.writable(one)), DOUBLED, IN_A_STRING)
        self.assertEqual(client.read_json()["payload"], "second")
        self.assertEqual(client.read_json()["payload"], '"],"payload":1}')
        count = sum(map(self.writable, UNUSABLE))
        until(lambda: self.dead_letters() >= count, "every dead letter", daemon.log)
        self.assertEqual(self.dead_letters(), count)

    def writable(self, document: bytes) -> bool:
        return True

    def dead_letters(self) -> int:
        return len(self.broker.dead_letters())

    def test_outbox(self) -> None:
        """Whatever stands in the outbox, the next publication is delivered, and each bad one is a letter."""
        daemon = self.node()
        self.write_all(self.open(daemon=daemon), daemon)
        self.assertEqual(self.ready(daemon)["status"], "ok")

    def test_stop(self) -> None:
        """A node that stops while its broker takes nothing says good-bye to clients, ends without waiting for
        it longer than its grace, and says in one line what it still had."""
        daemon = self.node(SHUTDOWN_GRACE_SECONDS="2", WS_RATE_LIMIT_PER_SEC="0")
        client = self.open(daemon=daemon)
        daemon.wait_metric(1, "broker_publish_total")
        self.grievance()
        try:
            for number in range(500):
                client.send_json({"type": "n", "n": number})
            client.ping_pong()
            daemon.send_signal(signal.SIGTERM)
            self.assertEqual(client.read_close()[0], 1012)
            self.assertEqual(daemon.wait_exit(), -signal.SIGTERM)
        finally:
            self.relief()
        [line] = daemon.found("event pipeline stopped")
        # All messages, and that the client went.
        self.assertEqual(line["undelivered"], 501)
        self.assertEqual(len(daemon.found("stopped in")), 1)


class RedisHostileTests(HostileCase):
    server: RedisServer

    def make_broker(self) -> Broker:
        self.server = RedisServer()
        self.addCleanup(self.server.stop)
        self.server.start()
        return RedisBroker(self.server, own_name("hostile"))

    def grievance(self) -> None:
        self.server.freeze()

    def relief(self) -> None:
        self.server.thaw()

    def writable(self, document: bytes) -> bool:
        # What redis-cli can be told on its command line.
        return len(document) < 100_000 and b"\xff" not in document

    def dead_letters(self) -> int:
        return int(self.server.cli("XLEN", self.broker.settings()["REDIS_DLQ_STREAM"]))

    def test_keys_of_another_type(self) -> None:
        """A user's presence that stands on a key of another type takes nobody else's away, and is shown."""
        daemon = self.node()
        prefix = self.broker.settings()["PRESENCE_REDIS_PREFIX"]
        self.server.cli("SET", f"{prefix}user:taken", "x")
        taken, free = self.open("taken", daemon=daemon), self.open("*:?[a-z]", daemon=daemon)
        self.wait_ready(daemon, "degraded")
        self.assertIn("WRONGTYPE", json.dumps(self.ready(daemon)["checks"]["presence"]))

        def known() -> bool:
            answer = daemon.call("GET", "/internal/connections?scope=cluster&user_id=*%3A%3F%5Ba-z%5D")
            return len(answer.json()["connections"]) == 1

        until(known, "the presence of the other one", daemon.log)
        answer = daemon.call("GET", "/internal/connections?scope=cluster&user_id=*")
        self.assertEqual(answer.json()["connections"], [])
        for client in (taken, free):
            client.ping_pong()


class RabbitHostileTests(HostileCase):
    server: RabbitServer

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.server = RabbitServer()
        cls.server.start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.stop()
        super().tearDownClass()

    def make_broker(self) -> Broker:
        return RabbitBroker(self.server, own_name("hostile"))

    def grievance(self) -> None:
        self.server.freeze()

    def relief(self) -> None:
        self.server.thaw()

    def test_longest_node_id(self) -> None:
        """The longest name that a node may have is no longer than what RabbitMQ takes."""
        daemon = self.node("n" * 255)
        client = self.open(daemon=daemon)
        self.broker.publish({"subjects": ["*"], "payload": 1})
        self.assertEqual(client.read_json()["payload"], 1)


del CoreTestCase, HostileCase
