"""The presence service on a real Redis, which is flushed, killed and brought back under it."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.brokers.test_redis_presence import linked
from tests.servers.process import PATIENCE
from tests.servers.redis import RedisServer
from ws_gateway.brokers.redis.presence import RedisPresence
from ws_gateway.domain.registry import Registry
from ws_gateway.presence.lost import LostConnections
from ws_gateway.presence.pace import Pace
from ws_gateway.presence.service import PresenceService
from ws_gateway.testing.connections import FakeConnection
from ws_gateway.testing.emitter import FakeEmitter
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.presence import seen

PACE = Pace(120.0, 30.0)


class Node:
    """A registry, and the service that tells Redis of it."""

    def __init__(self, server: RedisServer, name: str) -> None:
        self.server = server
        self.name = name
        self.registry = Registry()
        self.metrics = FakeMetrics()
        self.emitter = FakeEmitter()

    async def start(self) -> None:
        """Connect and begin."""
        self.link = await linked(self.server.dsn)
        self.store = RedisPresence(self.link, "presence:", self.name, "run-1")
        lost = LostConnections(self.store, self.emitter, lambda: 1_700_000_000_000, False, self.metrics)
        self.service = PresenceService(self.store, self.registry, reactor, PACE, self.metrics, lost)  # type: ignore[arg-type]
        self.link.subscribe(self.service.write_anew)
        self.service.startService()

    def add(self, *numbers: int) -> list[FakeConnection]:
        """Connections come."""
        came = [
            FakeConnection(f"{self.name}-{number}", str(number), (f"user:{number}", "channel:all"))
            for number in numbers
        ]
        for connection in came:
            self.registry.add(connection)
        return came

    async def shown(self) -> set[str]:
        """Whom the store shows, of all nodes."""
        ids: set[str] = set()
        cursor: str | None = None
        while True:
            views, cursor = await self.store.page(None, None, cursor, 250)
            ids |= {view.connection_id for view in views}
            if cursor is None:
                return ids

    async def sees(self, expected: set[str]) -> None:
        """Wait until it shows just these."""
        deadline = reactor.seconds() + PATIENCE  # type: ignore[attr-defined]
        while (shown := await self._shown_or_nobody()) != expected:
            late = reactor.seconds() > deadline  # type: ignore[attr-defined]
            assert not late, f"{len(shown)} are shown, {len(expected)} are here"
            await deferLater(reactor, 0.05)  # type: ignore[arg-type]

    async def _shown_or_nobody(self) -> set[str]:
        return await self.shown() if self.link.is_up else set()

    def kill(self) -> None:
        """SIGKILL: it says nothing any more."""
        self.service._life.cancel()  # type: ignore[union-attr]
        self.service._life = None

    async def stop(self) -> None:
        """Whatever is left of it."""
        if self.service.running:
            await self.service.stopService()
        await self.link.stopService()


class ServiceOnRedisTests(TestCase):
    """Each test has a Redis of its own, since it is ill-treated."""

    def setUp(self) -> None:
        self.server = RedisServer()
        self.server.start()
        self.addCleanup(self.server.stop)

    async def node(self, name: str = "here") -> Node:
        node = Node(self.server, name)
        await node.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(node.stop()))
        return node

    def keys(self, pattern: str = "*") -> list[str]:
        return [key for key in self.server.cli("--raw", "KEYS", pattern).split("\n") if key]

    async def heals(self, harm: Callable[[], Any]) -> None:
        """Whatever is done to Redis, everybody is there again, and changes go on."""
        node = await self.node()
        came = node.add(*range(600))
        everybody = {one.connection_id for one in came}
        await node.sees(everybody)
        await deferToThread(harm)  # type: ignore[arg-type]
        for one in came[:100]:
            node.registry.remove(one)
        (new,) = node.add(1_000)
        expected = everybody - {one.connection_id for one in came[:100]} | {new.connection_id}
        await node.sees(expected)
        self.assertEqual(len(self.keys("presence:conn:*")), len(expected))

    async def test_flushed(self) -> None:
        """FLUSHALL: everybody is written anew."""
        await self.heals(lambda: self.server.cli("FLUSHALL"))

    async def test_killed(self) -> None:
        """Redis is killed and comes back with its data: so is whoever came and went meanwhile."""
        await self.heals(self.server.restart)

    async def test_killed_and_empty(self) -> None:
        """Redis is killed and comes back with nothing, not even our scripts."""

        def lose_everything() -> None:
            self.server.options["appendonly"] = "no"
            self.server.restart()

        await self.heals(lose_everything)

    async def test_two_nodes(self) -> None:
        """Nodes see each other's connections; one that is killed is forgotten by the other, one that stops
        leaves nothing."""
        one, two = await self.node("one"), await self.node("two")
        mine, theirs = one.add(*range(100)), two.add(*range(100))
        own = {connection.connection_id for connection in mine}
        await one.sees(own | {connection.connection_id for connection in theirs})
        two.kill()
        # Nobody waits here for the ten seconds of a lease: it ends now.
        await two.store.renew(0)
        await one.sees(own)
        deadline = reactor.seconds() + PATIENCE  # type: ignore[attr-defined]
        while len(self.keys("presence:conn:*")) > 100:
            self.assertLess(reactor.seconds(), deadline)  # type: ignore[attr-defined]
            await deferLater(reactor, 0.1)  # type: ignore[arg-type]
        members = self.server.cli("--raw", "SMEMBERS", "presence:subject:channel:all").split("\n")
        self.assertEqual(set(members), own)
        two.service.running = False
        await one.service.stopService()
        self.assertEqual(self.keys(), [])

    async def test_link_cut_while_telling(self) -> None:
        """Whenever the link breaks while connections of a dead node are told, each of them is told once, and
        then owed no more: what became of a call that nobody answered turns out later."""
        node = await self.node()
        dead = RedisPresence(node.link, "presence:", "dead", "run-1")
        for start in range(0, 1_200, 50):
            await dead.put([seen(number, "42") for number in range(start, start + 50)], 600)
        cut = 0
        while len(node.emitter.endings) < 1_200:
            if len(node.emitter.endings) > cut + 250:
                cut = len(node.emitter.endings)
                node.link.reset("cut by the test")
            await deferLater(reactor, 0.002)  # type: ignore[arg-type]
        self.assertGreater(cut, 700)
        while self.keys("presence:node:dead*") or self.keys("presence:owed:*"):
            await deferLater(reactor, 0.1)  # type: ignore[arg-type]
        told_of = Counter(event.facts.connection_id for event in node.emitter.endings)
        self.assertEqual(told_of, Counter(seen(number).connection_id for number in range(1_200)))

    async def test_stopped_in_the_middle(self) -> None:
        """A stop while many are being told leaves nothing."""
        node = await self.node()
        node.add(*range(3_000))
        while not node.metrics.value("presence_connections") > 500:
            await deferLater(reactor, 0.01)  # type: ignore[arg-type]
        await node.service.stopService()
        self.assertEqual(self.keys(), [])

    async def test_twenty_thousand(self) -> None:
        """20,000 connections are told, shown page by page, and taken away by a stop, without a trace."""
        node = await self.node()
        came = node.add(*range(20_000))
        everybody = {one.connection_id for one in came}
        while node.metrics.value("presence_connections") < 20_000:
            await deferLater(reactor, 0.1)  # type: ignore[arg-type]
        self.assertEqual(await node.shown(), everybody)
        self.assertEqual(self.server.cli("SCARD", "presence:subject:channel:all"), "20000")
        self.assertGreater(int(self.server.cli("PTTL", "presence:subject:channel:all")), 0)
        await node.service.stopService()
        self.assertEqual(self.keys(), [])
        self.assertEqual(node.metrics.total("presence_errors_total"), 0)
