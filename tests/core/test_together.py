"""Several places for events at once: Redis, RabbitMQ and a webhook. One that is down delays no other."""

from collections.abc import Mapping

from tests.core.brokers import Broker, RabbitBroker, RedisBroker
from tests.core.case import CoreTestCase
from tests.integration.harness.receiver import WEBHOOK_SECRET, Receiver
from tests.integration.harness.tokens import fresh_user
from tests.integration.harness.waiting import until
from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import RedisServer
from tests.servers.shared import own_name


class TogetherTests(CoreTestCase):
    """Both brokers and a webhook around one node."""

    rabbit_server: RabbitServer

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.rabbit_server = RabbitServer()
        cls.rabbit_server.start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.rabbit_server.stop()
        super().tearDownClass()

    def make_broker(self) -> Broker:
        server = RedisServer({"appendfsync": "always"})
        self.addCleanup(server.stop)
        server.start()
        if not self.rabbit_server.running:
            self.rabbit_server.start()
        own = own_name("together")
        self.redis, self.rabbit = RedisBroker(server, own), RabbitBroker(self.rabbit_server, own)
        self.receiver = Receiver()
        self.addCleanup(self.receiver.stop)
        return self.redis

    def everything(self) -> Mapping[str, str]:
        return {
            **self.rabbit.settings(),
            "EVENTS_MODE": "both",
            "SYMFONY_WEBHOOK_URL": self.receiver.url,
            "SYMFONY_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "WEBHOOK_RETRY_BASE_SECONDS": "0.05",
            "WEBHOOK_RETRY_MAX_SECONDS": "0.2",
            "WS_RATE_LIMIT_PER_SEC": "0",
        }

    def numbers(self, broker: Broker) -> list[int]:
        """The messages that a broker has, each once, in order of their first coming."""
        return list(dict.fromkeys(one["message"]["n"] for one in broker.inbox()))

    def test_one_down_after_the_other(self) -> None:
        """Each gets everything in order; while one is away the others get what comes at once."""
        daemon = self.node(**self.everything())
        user = fresh_user()
        client = self.open(user, daemon=daemon)
        said = 0

        def say(count: int = 10) -> None:
            nonlocal said
            for _ in range(count):
                client.send_json({"type": "n", "n": said})
                said += 1
            client.ping_pong()

        def has_all(broker: Broker) -> bool:
            return self.numbers(broker) == list(range(said))

        say()
        self.redis.server.kill()
        say()
        until(lambda: has_all(self.rabbit), "RabbitMQ, while Redis is away", daemon.log)
        self.receiver.wait(user, said + 1)
        self.redis.server.start()
        until(lambda: has_all(self.redis), "Redis, when it is back", daemon.log)
        self.rabbit_server.kill()
        say()
        until(lambda: has_all(self.redis), "Redis, while RabbitMQ is away", daemon.log)
        self.receiver.wait(user, said + 1)
        self.rabbit_server.start()
        until(lambda: has_all(self.rabbit), "RabbitMQ, when it is back", daemon.log)
        self.wait_ready(daemon)
        ids = {one["message"]["n"]: one["event_id"] for one in self.redis.inbox()}
        self.assertEqual({one["message"]["n"]: one["event_id"] for one in self.rabbit.inbox()}, ids)
        hooked = [hook.event for hook in self.receiver.hooks if hook.event["type"] == "message_received"]
        self.assertEqual({one["message"]["n"]: one["event_id"] for one in hooked}, ids)

    def test_publications_from_both(self) -> None:
        """Whoever publishes by either broker reaches everybody; each publication comes once."""
        nodes = [self.node(name, **self.everything()) for name in ("node-1", "node-2")]
        clients = [self.open(daemon=node) for node in nodes]
        self.redis.publish({"subjects": ["*"], "payload": "by Redis"})
        for client in clients:
            self.assertEqual(client.read_json()["payload"], "by Redis")
        self.rabbit.publish({"subjects": ["*"], "payload": "by RabbitMQ"})
        for client in clients:
            self.assertEqual(client.read_json()["payload"], "by RabbitMQ")
        answer = nodes[0].call("POST", "/internal/publish", {"subjects": ["*"], "payload": "by HTTP"})
        self.assertEqual(answer.json(), {"sent": 1, "relayed": True})
        for client in clients:
            self.assertEqual(client.read_json()["payload"], "by HTTP")
            client.ping_pong()  # and nothing more

    def test_relayed_by_whoever_is_there(self) -> None:
        """While Redis is away a publish call goes by RabbitMQ."""
        nodes = [self.node(name, **self.everything()) for name in ("node-1", "node-2")]
        clients = [self.open(daemon=node) for node in nodes]
        self.redis.server.kill()
        self.wait_ready(nodes[0], "degraded")
        answer = nodes[0].call("POST", "/internal/publish", {"subjects": ["*"], "payload": "still"})
        self.assertEqual(answer.status, 200, answer.body)
        for client in clients:
            self.assertEqual(client.read_json()["payload"], "still")


del CoreTestCase
