"""A node dies: the backend hears of each of its connections, from a node that lives.

The events of dead nodes are sent when a lease of ten seconds is over. Where a test is not about that, it is
ended by hand.
"""

import json
import signal
from collections import Counter
from typing import Any

from tests.asyncapi import AsyncApi
from tests.core.brokers import Broker, RabbitBroker, RedisBroker
from tests.core.case import CoreTestCase
from tests.integration.harness.daemon import Daemon
from tests.integration.harness.receiver import WEBHOOK_SECRET, Hook, Receiver, Reply
from tests.integration.harness.waiting import until
from tests.servers.redis import RedisServer
from tests.servers.shared import own_name, shared_rabbit, shared_redis

API = AsyncApi()


def lost(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The events that say that a node is lost."""
    return [event for event in events if event.get("cause") == "node_lost"]


def ids(events: list[dict[str, Any]]) -> dict[str, str]:
    """The event id of each connection."""
    return {event["connection_id"]: event["event_id"] for event in events}


class LostCase(CoreTestCase):
    """Nodes around a broker, with their presence in a Redis."""

    presence: RedisServer

    def setUp(self) -> None:
        self.own = own_name("lost")
        self.presence = shared_redis()
        super().setUp()

    def make_broker(self) -> Broker:
        return RedisBroker(shared_redis(), self.own)

    def node(self, name: str = "node-1", status: str = "ok", **settings: str | None) -> Daemon:
        """A node whose presence is in the Redis of this test."""
        there = {"PRESENCE_REDIS_DSN": self.presence.dsn, "PRESENCE_REDIS_PREFIX": f"{self.own}:"}
        return super().node(name, status, **{**there, **settings})

    def keys(self, pattern: str) -> list[str]:
        return [key for key in self.presence.cli("--raw", "KEYS", f"{self.own}:{pattern}").split("\n") if key]

    def known(self, node: str) -> int:
        """How many connections of a node presence would tell of."""
        return sum(int(self.presence.cli("HLEN", key)) for key in self.keys(f"node:{node}:*"))

    def owed(self, node: str = "*") -> dict[str, str]:
        """What nodes owe the backend: a text for each connection."""
        debts: dict[str, str] = {}
        for key in self.keys(f"owed:{node}:*"):
            found = json.loads(self.presence.cli("--json", "HGETALL", key))
            debts.update(found)
        return debts

    def crowd(self, daemon: Daemon, name: str, count: int) -> set[str]:
        """Connections that presence knows.

        :returns: their ids.
        """
        for _ in range(count):
            self.open(daemon=daemon)
        until(lambda: self.known(name) == count, "presence to know them", daemon.log)
        return {one["connection_id"] for one in daemon.connections()}

    def bury(self, daemon: Daemon, name: str) -> None:
        """SIGKILL, and what is left of its lease is over."""
        daemon.kill()
        for key in self.keys(f"lease:{name}:*"):
            self.presence.cli("DEL", key)

    def wait_swept(self, *daemons: Daemon) -> None:
        """Wait until nobody owes anything."""
        until(
            lambda: not self.owed() and not self.keys("node:lost-*"),
            "the sweep",
            lambda: "\n".join(one.log() for one in daemons),
        )


class NodeLostTests(LostCase):
    def test_killed(self) -> None:
        """SIGKILL: when its lease is over the backend hears of each connection of the node once, and of
        nobody else's; presence shows none of them meanwhile or later."""
        dead, alive = self.node("lost-1"), self.node("node-2")
        gone = self.crowd(dead, "lost-1", 20)
        staying = self.crowd(alive, "node-2", 3)
        before = {event["connection_id"]: event for event in self.broker.events()}
        dead.kill()
        until(lambda: len(lost(self.broker.events())) >= len(gone), "the events", alive.log)
        self.wait_swept(alive)
        told = lost(self.broker.events())
        self.assertEqual(Counter(event["connection_id"] for event in told), Counter(gone))
        self.assertEqual(len(set(ids(told).values())), len(gone))
        for event in told:
            self.assertEqual(API.faults("disconnected", event), [])
            connected = before[event["connection_id"]]
            shared = {key: connected[key] for key in ("user_id", "subjects", "connected_at", "node_id")}
            stamp = {key: event[key] for key in ("event_id", "occurred_at_ms")}
            self.assertEqual(
                event,
                {
                    "type": "disconnected",
                    "connection_id": event["connection_id"],
                    "seq": None,
                    "code": 1006,
                    "reason": "",
                    "cause": "node_lost",
                    **shared,
                    **stamp,
                },
            )
        shown = alive.call("GET", "/internal/connections?scope=cluster").json()["connections"]
        self.assertEqual({one["connection_id"] for one in shown}, staying)
        self.assertEqual(len(self.keys("conn:*")), len(staying))
        self.assertEqual(alive.metric("ws_node_lost_total"), len(gone))

    def test_many_sweep(self) -> None:
        """With several nodes that could tell, one of them does."""
        dead = self.node("lost-1")
        others = [self.node(f"node-{number}") for number in range(2, 5)]
        gone = self.crowd(dead, "lost-1", 120)
        self.bury(dead, "lost-1")
        until(lambda: len(lost(self.broker.events())) >= len(gone), "the events", others[0].log)
        self.wait_swept(*others)
        told = Counter(event["connection_id"] for event in lost(self.broker.events()))
        self.assertEqual(told, Counter(gone))

    def test_restarted(self) -> None:
        """A node that is alone tells of its former run when it is back, also after their time to live."""
        dead = self.node("lost-1", PRESENCE_TTL_SECONDS="2", EVENTS_CLIENT_IP="1")
        gone = self.crowd(dead, "lost-1", 5)
        dead.kill()
        until(lambda: not self.keys("conn:*"), "the end of their time to live")
        again = self.node("lost-1", EVENTS_CLIENT_IP="1")
        self.open(daemon=again)
        until(lambda: len(lost(self.broker.events())) >= len(gone), "the events", again.log)
        until(lambda: not self.owed(), "the sweep", again.log)
        told = lost(self.broker.events())
        self.assertEqual(Counter(event["connection_id"] for event in told), Counter(gone))
        self.assertEqual({event["client_ip"] for event in told}, {"127.0.0.1"})
        self.assertEqual({event["node_id"] for event in told}, {"lost-1"})

    def test_stopped(self) -> None:
        """A node that stops has said everything itself."""
        stopping, other = self.node("lost-1"), self.node("node-2")
        gone = self.crowd(stopping, "lost-1", 10)
        self.assertEqual(stopping.stop(), -signal.SIGTERM)
        self.assertEqual(self.keys("*lost-1*"), [])
        swept = other.metric("presence_swept_total")
        dead = self.node("lost-3")
        after = self.crowd(dead, "lost-3", 1)
        self.bury(dead, "lost-3")
        until(lambda: lost(self.broker.events()), "the next one", other.log)
        told = [event for event in self.broker.events() if event["type"] == "disconnected"]
        causes = Counter((event["connection_id"], event["cause"]) for event in told)
        expected = [*((one, "shutdown") for one in gone), *((one, "node_lost") for one in after)]
        self.assertEqual(causes, Counter(expected))
        self.assertEqual(other.metric("presence_swept_total"), swept + 1)

    def test_stood_still(self) -> None:
        """A node that stood still is taken for dead. When it goes on so do its connections: they are in
        presence again, and their end is told once more, with its place."""
        frozen, other = self.node("lost-1"), self.node("node-2")
        client = self.open(daemon=frozen)
        until(lambda: self.known("lost-1") == 1, "presence to know it", frozen.log)
        frozen.send_signal(signal.SIGSTOP)
        try:
            until(lambda: lost(self.broker.events()), "the event", other.log)
        finally:
            frozen.send_signal(signal.SIGCONT)
        client.ping_pong()
        until(lambda: self.known("lost-1") == 1, "its presence", frozen.log)
        client.close()
        ends = until(lambda: found if len(found := self._ends()) > 1 else [], "the end of it", frozen.log)
        self.assertEqual([(end["cause"], end["seq"]) for end in ends], [("node_lost", None), ("client", 1)])
        self.assertEqual(len({end["connection_id"] for end in ends}), 1)

    def _ends(self) -> list[dict[str, Any]]:
        return [event for event in self.broker.events() if event["type"] == "disconnected"]

    def test_ends_are_not_told(self) -> None:
        """Without `disconnected` among EVENTS_TYPES, a dead node is swept and nothing is said."""
        types = {"EVENTS_TYPES": "connected,message_received"}
        dead, alive = self.node("lost-1", **types), self.node("node-2", **types)
        self.crowd(dead, "lost-1", 5)
        self.bury(dead, "lost-1")
        until(lambda: alive.metric("presence_swept_total") == 5, "the sweep", alive.log)
        self.assertEqual(self.keys("conn:*") + self.keys("owed:*"), [])
        self.assertEqual({event["type"] for event in self.broker.events()}, {"connected"})


class BrokerAwayTests(LostCase):
    """The Redis that takes events is away; the one with presence is not."""

    def make_broker(self) -> Broker:
        self.away = RedisServer()
        self.away.start()
        self.addCleanup(self.away.stop)
        return RedisBroker(self.away, self.own)

    def test_sweeper_killed(self) -> None:
        """A node that dies before it could tell of a dead one leaves that to the next one, with its own
        connections. Each event is the one that it would have been."""
        first, second = self.node("lost-1"), self.node("lost-2")
        gone = self.crowd(first, "lost-1", 30)
        also = self.crowd(second, "lost-2", 2)
        self.away.freeze()
        self.bury(first, "lost-1")
        until(lambda: self.owed("lost-2").keys() == gone, "the claim", second.log)
        self.assertEqual(len(self.keys("conn:*")), len(also))
        claimed = {one: int(debt.split("\n")[0]) for one, debt in self.owed("lost-2").items()}
        self.bury(second, "lost-2")
        self.away.kill()
        self.away.start()
        third = self.node("node-3")
        until(lambda: len(lost(self.broker.events())) >= len(gone | also), "the events", third.log)
        self.wait_swept(third)
        told = lost(self.broker.events())
        self.assertEqual(Counter(event["connection_id"] for event in told), Counter(gone | also))
        times = {event["connection_id"]: event["occurred_at_ms"] for event in told}
        self.assertEqual({one: times[one] for one in gone}, claimed)
        self.assertEqual({event["node_id"] for event in told}, {"lost-1", "lost-2"})


class WebhookTests(LostCase):
    """Terminator mode: presence is all that nodes share."""

    def make_broker(self) -> Broker:
        return RedisBroker(shared_redis(), self.own)

    def terminator(self, name: str, receiver: Receiver) -> Daemon:
        return self.node(
            name,
            WS_MODE="terminator",
            WS_REDIS_DSN=None,
            SYMFONY_WEBHOOK_URL=receiver.url,
            SYMFONY_WEBHOOK_SECRET=WEBHOOK_SECRET,
        )

    def test_repeated(self) -> None:
        """A node that dies before it heard that its events were taken has them sent again by the next one:
        the same events, with the same ids and times."""
        receiver = Receiver()
        self.addCleanup(receiver.stop)
        first, second = (self.terminator(name, receiver) for name in ("lost-1", "lost-2"))
        gone = self.crowd(first, "lost-1", 5)

        def hang_up(hook: Hook) -> Reply:
            return Reply(status=0 if hook.event.get("cause") == "node_lost" else 204)

        receiver.answer = hang_up
        self.bury(first, "lost-1")
        until(lambda: self.owed("lost-2").keys() == gone, "the claim", second.log)
        until(lambda: lost([hook.event for hook in receiver.hooks]), "an attempt", second.log)
        self.bury(second, "lost-2")
        attempts = len(receiver.hooks)
        receiver.answer = lambda hook: Reply()
        third = self.terminator("node-3", receiver)
        self.wait_swept(third)
        events = [hook.event for hook in receiver.hooks]
        before, after = lost(events[:attempts]), lost(events[attempts:])
        self.assertEqual(Counter(event["connection_id"] for event in after), Counter(gone))
        self.assertTrue(before)
        for event in before:
            self.assertIn(event, after)


class RabbitTests(LostCase):
    """RabbitMQ takes the events; Redis keeps presence and nothing else."""

    def make_broker(self) -> Broker:
        return RabbitBroker(shared_rabbit(), self.own)

    def test_killed(self) -> None:
        """The backend hears of each connection once."""
        dead, alive = self.node("lost-1"), self.node("node-2")
        gone = self.crowd(dead, "lost-1", 10)
        self.bury(dead, "lost-1")
        until(lambda: len(lost(self.broker.events())) >= len(gone), "the events", alive.log)
        self.wait_swept(alive)
        told = lost(self.broker.events())
        self.assertEqual(Counter(event["connection_id"] for event in told), Counter(gone))
        self.assertEqual({event["seq"] for event in told}, {None})


del CoreTestCase, LostCase
