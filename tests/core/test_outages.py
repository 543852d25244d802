"""What happens to brokers besides dying: every event is accounted for, and the node comes back by itself.

One node and one chat through all of them, one after the other, so that what an outage leaves behind would
show in the next one.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.core.brokers import Broker, RabbitBroker, RedisBroker
from tests.core.case import CoreTestCase
from tests.integration.harness.daemon import Daemon
from tests.integration.harness.rawclient import RawClient
from tests.integration.harness.waiting import until
from tests.servers.process import wait_until
from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import RedisSentinel, RedisServer
from tests.servers.shared import own_name

Outage = Callable[[], Any]
"""A context manager: inside it the broker is in trouble."""


class Chat:
    """Clients that go on talking until they are told to stop."""

    def __init__(self, clients: list[RawClient]) -> None:
        self._stop = threading.Event()
        self.sent = [0] * len(clients)
        self._threads = [
            threading.Thread(target=self._talk, args=(number, client))
            for number, client in enumerate(clients)
        ]
        for thread in self._threads:
            thread.start()

    def more(self, count: int = 20) -> None:
        """Wait until each has said so much more."""
        wanted = [sent + count for sent in self.sent]
        until(lambda: all(a >= b for a, b in zip(self.sent, wanted, strict=True)), "more chat")

    def stop(self) -> list[int]:
        """End it.

        :returns: how many messages each has sent.
        """
        self._stop.set()
        for thread in self._threads:
            thread.join(60)
        return self.sent

    def _talk(self, number: int, client: RawClient) -> None:
        while not self._stop.wait(0.01):
            client.send_json({"type": "n", "n": self.sent[number]})
            client.ping_pong()
            self.sent[number] += 1


class OutageSuite(CoreTestCase):
    """Takes one node through every outage of a broker."""

    def through(self, daemon: Daemon, outages: dict[str, tuple[Outage, bool]]) -> None:
        """:param outages: by name; and whether `/ready` must show it while it lasts."""
        clients = [self.open(daemon=daemon) for _ in range(3)]
        chat = Chat(clients)
        try:
            for name, (outage, shown) in outages.items():
                chat.more()
                with outage():
                    if shown:
                        self.wait_ready(daemon, "degraded")
                        detail = str(self.ready(daemon)["checks"])
                        self.assertIn(self.broker.name, detail, name)
                    chat.more()
                self.wait_ready(daemon)
                chat.more()
        except AssertionError as error:
            raise AssertionError(f"during {name}: {str(error)[:300]} {self.ready(daemon)}") from error
        finally:
            sent = chat.stop()
        self.assertEqual(min(sent) > 20 * len(outages), True)
        count = sum(sent)
        messages = self.wait_distinct(count, daemon)
        by_connection: dict[str, list[dict[str, Any]]] = {}
        for message in messages:
            by_connection.setdefault(message["connection_id"], []).append(message)
        self.assertEqual(
            sorted(len({one["event_id"] for one in mine}) for mine in by_connection.values()), sorted(sent)
        )
        for mine in by_connection.values():
            self.assert_accounted_for(mine, 1, len({one["event_id"] for one in mine}))
        self.assertEqual(
            daemon.metric("event_dropped_total", reason="queue_full", type="message_received"), 0
        )
        for client in clients:
            self.broker.publish({"subjects": ["*"], "payload": "after all"})
            self.assertEqual(client.read_json()["payload"], "after all")

    def wait_distinct(self, count: int, daemon: Daemon) -> list[dict[str, Any]]:
        """Wait for so many different messages.

        :returns: all that have come.
        """

        def look() -> list[dict[str, Any]]:
            found = self.broker.inbox()
            return found if len({one["event_id"] for one in found}) >= count else []

        return until(look, f"{count} different messages", daemon.log)


class RedisOutages(OutageSuite):
    once = True
    server: RedisServer

    def make_broker(self) -> Broker:
        self.server = RedisServer({"appendfsync": "always"})
        self.addCleanup(self.server.stop)
        self.server.start()
        return RedisBroker(self.server, own_name("outage"))

    def configured(self, name: str, value: str, before: str) -> Outage:
        @contextmanager
        def outage() -> Iterator[None]:
            self.assertEqual(self.server.cli("CONFIG", "SET", name, value), "OK")
            yield
            self.assertEqual(self.server.cli("CONFIG", "SET", name, before), "OK")

        return outage

    @contextmanager
    def connections_cut(self) -> Iterator[None]:
        self.server.cli("CLIENT", "KILL", "TYPE", "normal")
        yield
        self.server.cli("CLIENT", "KILL", "TYPE", "normal")

    @contextmanager
    def password_changed(self) -> Iterator[None]:
        """Connections that come back are refused, until the old password is right again."""
        cli = self.server.cli
        self.assertEqual(cli("CONFIG", "SET", "requirepass", "another"), "OK")
        self.server.password = "another"
        cli("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        yield
        self.assertEqual(cli("CONFIG", "SET", "requirepass", ""), "OK")
        self.server.password = ""

    @contextmanager
    def cannot_save(self) -> Iterator[None]:
        """MISCONF: where the snapshot should go is a directory, so Redis takes no more writes."""
        cli = self.server.cli
        obstacle = self.server.directory / "dump.rdb"
        obstacle.mkdir()
        (obstacle / "full").write_text("")
        self.assertEqual(cli("CONFIG", "SET", "save", "3600 1"), "OK")
        cli("BGSAVE")
        wait_until(
            lambda: "rdb_last_bgsave_status:err" in cli("INFO", "persistence"), "a snapshot that fails"
        )
        yield
        (obstacle / "full").unlink()
        obstacle.rmdir()
        cli("BGSAVE")
        wait_until(lambda: "rdb_last_bgsave_status:ok" in cli("INFO", "persistence"), "a snapshot")
        self.assertEqual(cli("CONFIG", "SET", "save", ""), "OK")

    def test_all(self) -> None:
        """Cut connections, a changed password, no memory, no disk, no master, scripts forgotten."""
        daemon = self.node(BROKER_TIMEOUT_SECONDS="2", WS_RATE_LIMIT_PER_SEC="0")

        @contextmanager
        def scripts_forgotten() -> Iterator[None]:
            self.assertEqual(self.server.cli("SCRIPT", "FLUSH"), "OK")
            yield

        @contextmanager
        def read_only() -> Iterator[None]:
            self.assertEqual(self.server.cli("REPLICAOF", "127.0.0.1", "1"), "OK")
            yield
            self.assertEqual(self.server.cli("REPLICAOF", "NO", "ONE"), "OK")

        self.through(
            daemon,
            {
                "cut": (self.connections_cut, False),
                "scripts": (scripts_forgotten, False),
                "out of memory": (self.configured("maxmemory", "1", "0"), True),
                "misconf": (self.cannot_save, True),
                "read only": (read_only, True),
                "password": (self.password_changed, True),
            },
        )

    def test_failover(self) -> None:
        """Sentinel makes another server the master: the node finds it, what Redis kept is there once."""
        replica = RedisServer({"appendfsync": "always", "replicaof": f"127.0.0.1 {self.server.port}"})
        self.addCleanup(replica.stop)
        replica.start()
        wait_until(lambda: "master_link_status:up" in replica.cli("INFO", "replication"), "the replica")
        sentinel = RedisSentinel(self.server)
        self.addCleanup(sentinel.stop)
        sentinel.start()
        wait_until(
            lambda: (
                "num-slaves" in sentinel.cli("SENTINEL", "masters")
                and str(replica.port) in sentinel.cli("SENTINEL", "replicas", sentinel.service)
            ),
            "the sentinel to know the replica",
        )
        dsn = f"redis+sentinel://127.0.0.1:{sentinel.port}/{sentinel.service}"
        daemon = self.node(WS_REDIS_DSN=dsn, BROKER_TIMEOUT_SECONDS="2", WS_RATE_LIMIT_PER_SEC="0")
        clients = [self.open(daemon=daemon) for _ in range(3)]
        chat = Chat(clients)
        try:
            chat.more()
            # Whatever was acknowledged is at the replica, too: a failover may lose the rest.
            self.server.cli("CONFIG", "SET", "min-replicas-to-write", "1")
            self.server.kill()
            self.wait_ready(daemon, "degraded")
            chat.more()
            wait_until(lambda: "role:master" in replica.cli("INFO", "replication"), "the failover")
            self.wait_ready(daemon)
            chat.more()
        finally:
            sent = chat.stop()
        self.server = replica
        self.broker.server = replica
        messages = self.wait_distinct(sum(sent), daemon)
        by_connection: dict[str, list[int]] = {}
        for message in messages:
            by_connection.setdefault(message["connection_id"], []).append(message["message"]["n"])
        self.assertEqual(sorted(len(set(numbers)) for numbers in by_connection.values()), sorted(sent))
        for client in clients:
            self.broker.publish({"subjects": ["*"], "payload": "after"})
            self.assertEqual(client.read_json()["payload"], "after")


class RabbitOutages(OutageSuite):
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
        return RabbitBroker(self.server, own_name("outage"))

    def test_all(self) -> None:
        """Closed connections, a memory alarm, a changed password, deleted queues."""
        ctl = self.server.ctl

        @contextmanager
        def connections_closed() -> Iterator[None]:
            ctl("close_all_connections", "--global", "as the test wants")
            yield

        @contextmanager
        def alarm() -> Iterator[None]:
            ctl("set_vm_memory_high_watermark", "absolute", "1")
            yield
            ctl("set_vm_memory_high_watermark", "absolute", "1GB")

        @contextmanager
        def password_changed() -> Iterator[None]:
            ctl("change_password", "guest", "another")
            ctl("close_all_connections", "--global", "as the test wants")
            yield
            ctl("change_password", "guest", "guest")

        @contextmanager
        def queues_deleted() -> Iterator[None]:
            own = self.broker.settings()["WS_RABBITMQ_DSN"].rpartition("/")[2]
            for line in ctl("list_queues", "-p", own, "--quiet", "name").splitlines():
                if line.startswith("ws.outbox"):
                    ctl("delete_queue", "-p", own, line.strip())
            yield

        daemon = self.node(BROKER_TIMEOUT_SECONDS="3", WS_RATE_LIMIT_PER_SEC="0")
        self.through(
            daemon,
            {
                "closed": (connections_closed, False),
                "alarm": (alarm, True),
                "queues": (queues_deleted, False),
                "password": (password_changed, True),
            },
        )


del CoreTestCase, OutageSuite
