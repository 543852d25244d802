"""What is wrong with a broker's setting ends the start with one line; what goes wrong later does not."""

import unittest

from tests.core.brokers import RabbitBroker, RedisBroker
from tests.integration.harness.canary import secret
from tests.integration.harness.daemon import start_and_fail
from tests.servers.redis import RedisServer
from tests.servers.shared import own_name, shared_rabbit, shared_redis

PASSWORD = secret("broker")


class WrongAtStartTests(unittest.TestCase):
    def refused(self, settings: dict[str, str], *words: str) -> None:
        status, said = start_and_fail({"WS_MODE": "core", "EVENTS_MODE": None, **settings})
        self.assertEqual(status, 1, said)
        lines = [line for line in said.splitlines() if "cannot start" in line]
        self.assertEqual(len(lines), 1, said)
        for word in words:
            self.assertIn(word, said)
        self.assertNotIn("Traceback", said)

    def test_addresses(self) -> None:
        """An address that is none."""
        for settings, word in (
            ({"WS_REDIS_DSN": "redis:6379"}, "WS_REDIS_DSN"),
            ({"WS_REDIS_DSN": "redis://redis/zero"}, "the database must be a number"),
            ({"WS_RABBITMQ_DSN": "http://rabbit"}, "the scheme must be amqp"),
            ({}, "WS_REDIS_DSN or WS_RABBITMQ_DSN: must be set"),
            ({"WS_REDIS_DSN": "rediss://redis", "REDIS_CA_FILE": "/nowhere"}, "cannot be read"),
            (
                {"WS_RABBITMQ_DSN": "amqps://rabbit", "RABBITMQ_CA_FILE": "/etc/hostname"},
                "certificates in PEM",
            ),
        ):
            self.refused(settings, word)

    def test_redis(self) -> None:
        """A wrong password, none where one is needed, a user who may nothing, a cluster."""
        guarded = RedisServer({"requirepass": "right"}, password="right")
        self.addCleanup(guarded.stop)
        guarded.start()
        broker = RedisBroker(guarded, own_name("wrong"))
        place = f"127.0.0.1:{guarded.port}"
        for dsn, word in (
            (f"redis://:{PASSWORD}@{place}", "WRONGPASS"),
            (f"redis://nobody:{PASSWORD}@{place}", "WRONGPASS"),
            (f"redis://{place}", "NOAUTH"),
            (f"redis://:right@{place}/99", "refuses the database 99"),
        ):
            self.refused({**broker.settings(), "WS_REDIS_DSN": dsn}, word)
        cluster = RedisServer({"cluster-enabled": "yes"})
        self.addCleanup(cluster.stop)
        cluster.start()
        self.refused(
            {**broker.settings(), "WS_REDIS_DSN": cluster.dsn}, "Redis Cluster, which is not supported"
        )

    def test_rabbitmq(self) -> None:
        """A wrong password, a virtual host that is not there."""
        server = shared_rabbit()
        broker = RabbitBroker(server, own_name("wrong"))
        place = f"127.0.0.1:{server.port}"
        for dsn, word in (
            (f"amqp://guest:{PASSWORD}@{place}/{broker.own}", "ACCESS_REFUSED"),
            (f"amqp://guest:guest@{place}/nowhere", "NOT_ALLOWED"),
        ):
            self.refused({**broker.settings(), "WS_RABBITMQ_DSN": dsn}, word)

    def test_presence(self) -> None:
        """The Redis of presence counts as well."""
        settings = {
            "WS_REDIS_DSN": shared_redis().dsn,
            "PRESENCE_REDIS_DSN": f"{shared_redis().dsn}/99",
        }
        self.refused(settings, "refuses the database 99")
