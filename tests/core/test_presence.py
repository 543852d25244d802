"""Who is connected to any node: kept in Redis, with nodes that live, stop and die."""

import json
from typing import Any
from urllib.parse import quote

from tests.core.brokers import Broker, RedisBroker
from tests.core.case import CoreTestCase
from tests.integration.harness.daemon import Daemon
from tests.integration.harness.tokens import fresh_user
from tests.integration.harness.waiting import until
from tests.servers.redis import RedisServer
from tests.servers.shared import own_name, shared_redis


class PresenceTests(CoreTestCase):
    server: RedisServer

    def make_broker(self) -> Broker:
        self.server = shared_redis()
        self.own = own_name("presence")
        return RedisBroker(self.server, self.own)

    def cluster(self, daemon: Daemon, **query: str) -> list[dict[str, Any]]:
        """What a node says of all nodes."""
        text = "".join(f"&{name}={quote(value)}" for name, value in query.items())
        answer = daemon.call("GET", f"/internal/connections?scope=cluster{text}")
        self.assertEqual(answer.status, 200, answer.body)
        found: list[dict[str, Any]] = answer.json()["connections"]
        return found

    def wait_cluster(self, daemon: Daemon, count: int, **query: str) -> list[dict[str, Any]]:
        return until(
            lambda: found if len(found := self.cluster(daemon, **query)) == count else [],
            f"{count} connections",
            daemon.log,
        )

    def keys(self) -> set[str]:
        return set(filter(None, self.server.cli("--raw", "KEYS", f"{self.own}:*").split("\n")))

    def test_across_nodes(self) -> None:
        """Each node tells of all; filters work; a client that goes is gone; the keys are the fixed ones."""
        here, there = self.node("node-1"), self.node("node-2")
        user = fresh_user()
        near, far = self.open(user, daemon=here), self.open(user, daemon=there)
        self.open(daemon=there)
        both = self.wait_cluster(here, 2, user_id=user)
        self.assertEqual(len({one["connection_id"] for one in both}), 2)
        self.assertEqual({type(one["connected_at"]) for one in both}, {int})
        self.assertEqual(len(self.wait_cluster(there, 3)), 3)
        self.assertEqual(len(self.cluster(there, subject=f"user:{user}")), 2)
        answer = here.call("GET", f"/internal/users/{user}/connections?scope=cluster")
        self.assertEqual(len(answer.json()["connections"]), 2)
        one = both[0]["connection_id"]
        stored = self.server.cli("--raw", "HGETALL", f"{self.own}:conn:{one}").split("\n")
        fields = dict(zip(stored[::2], stored[1::2], strict=True))
        self.assertEqual(fields["user_id"], user)
        self.assertEqual(json.loads(fields["subjects"]), [f"user:{user}"])
        members = self.server.cli("--raw", "SMEMBERS", f"{self.own}:user:{user}").split("\n")
        self.assertEqual(set(members), {found["connection_id"] for found in both})
        near.close()
        self.wait_cluster(there, 1, user_id=user)
        far.close()
        until(lambda: not self.cluster(here, user_id=user), "nobody")
        until(lambda: f"{self.own}:user:{user}" not in self.keys(), "no set of the user")

    def test_quiet_client(self) -> None:
        """A live connection never disappears, however quiet: its time to live is over many times."""
        daemon = self.node(PRESENCE_TTL_SECONDS="2")
        self.open(daemon=daemon)
        [view] = self.wait_cluster(daemon, 1)
        key = f"{self.own}:conn:{view['connection_id']}"
        ends = [int(self.server.cli("PEXPIRETIME", key))]

        def renewed() -> bool:
            end = int(self.server.cli("PEXPIRETIME", key))
            self.assertGreater(end, 0, "it was forgotten")
            if end != ends[-1]:
                ends.append(end)
            return len(ends) > 6

        until(renewed, "its time to live to be renewed", daemon.log)

    def test_node_killed(self) -> None:
        """SIGKILL of a node: its connections are gone for the other node as soon as its lease is over, and
        their keys are swept."""
        here, there = self.node("node-1"), self.node("node-2", PRESENCE_STRATEGY="session")
        mine = self.open(daemon=here)
        self.open(daemon=there)
        self.open(daemon=there)
        self.wait_cluster(here, 3)
        there.kill()
        [view] = self.wait_cluster(here, 1)
        self.assertEqual(view["connection_id"], here.connections()[0]["connection_id"])
        until(
            lambda: (
                {key for key in self.keys() if ":conn:" in key}
                == {f"{self.own}:conn:{view['connection_id']}"}
            ),
            "the sweep",
            here.log,
        )
        mine.ping_pong()

    def test_node_stopped(self) -> None:
        """A node that stops takes its connections along: nothing of it is left."""
        here, there = self.node("node-1"), self.node("node-2")
        for _ in range(20):
            self.open(daemon=there)
        self.wait_cluster(here, 20)
        there.stop()
        self.assertEqual(self.cluster(here), [])
        here.stop()
        self.assertEqual({key for key in self.keys() if ":lease" not in key}, set())

    def test_redis_emptied(self) -> None:
        """After a flush everybody is written anew."""
        daemon = self.node()
        for _ in range(5):
            self.open(daemon=daemon)
        self.wait_cluster(daemon, 5)
        self.server.cli(
            "EVAL", "return redis.call('DEL', unpack(redis.call('KEYS', ARGV[1])))", "0", f"{self.own}:*"
        )
        self.wait_cluster(daemon, 5)

    def test_heartbeats_alone(self) -> None:
        """With PRESENCE_REFRESH_ON_MESSAGE=0 messages are no signs of life."""
        daemon = self.node(PRESENCE_REFRESH_ON_MESSAGE="0", PRESENCE_TTL_SECONDS="2")
        client = self.open(daemon=daemon)
        [before] = self.wait_cluster(daemon, 1)

        def later(send: dict[str, Any]) -> int:
            client.send_json(send)
            if send["type"] == "heartbeat":
                client.read_json()
            return int(self.cluster(daemon)[0]["last_seen_at"])

        key = f"{self.own}:conn:{before['connection_id']}"
        first = self.server.cli("PEXPIRETIME", key)
        until(
            lambda: int(first) + 3000 < int(self.server.cli("PEXPIRETIME", key)),
            "three seconds of refreshing",
        )
        self.assertEqual(later({"type": "message"}), before["last_seen_at"])
        until(
            lambda: later({"type": "heartbeat"}) > before["last_seen_at"], "a heartbeat to count", daemon.log
        )

    def test_terminator_with_presence(self) -> None:
        """PRESENCE_REDIS_DSN alone turns presence on in terminator mode."""
        daemon = self.start(
            {
                "PRESENCE_REDIS_DSN": self.server.dsn,
                "PRESENCE_REDIS_PREFIX": f"{self.own}:",
                "NODE_ID": "alone",
            }
        )
        self.wait_ready(daemon)
        self.open(daemon=daemon)
        self.wait_cluster(daemon, 1)

    def test_paging(self) -> None:
        """Pages over all nodes show everybody."""
        nodes = [self.node("node-1"), self.node("node-2")]
        for node in nodes:
            for _ in range(30):
                self.open(daemon=node)
        self.wait_cluster(nodes[0], 60)
        seen: set[str] = set()
        cursor = ""
        while True:
            answer = nodes[1].call("GET", f"/internal/connections?scope=cluster&limit=7{cursor}").json()
            seen.update(one["connection_id"] for one in answer["connections"])
            if answer["next_cursor"] is None:
                break
            cursor = f"&cursor={quote(answer['next_cursor'])}"
        self.assertEqual(len(seen), 60)


del CoreTestCase
