"""Nodes that read an outbox in a real Redis, as the tests of sources and relays have them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import random
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater

from tests.servers.shared import own_name
from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.brokers.redis.relay import RedisRelay
from ws_gateway.brokers.redis.source import ReadingRules, RedisSource
from ws_gateway.brokers.redis.streams import OutboxStreams
from ws_gateway.dsn import parse_redis
from ws_gateway.errors import BrokerDown
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.publications import FakeTaker

__all__ = ["QUICK", "Node", "Outbox", "eventually", "link_to", "until_up"]

QUICK = ReadingRules(look_seconds=0.2, canary_seconds=0.2, canary_patience=1.0)
"""Looks often, so that a test does not wait."""

_PATIENCE = 60.0


def link_to(dsn: str, purpose: str = "", metrics: FakeMetrics | None = None) -> RedisLink:
    """A link with a name of its own, not started."""
    return RedisLink(
        parse_redis(dsn), reactor, random, metrics or FakeMetrics(), purpose or own_name("link"), timeout=2.0
    )


async def until_up(link: RedisLink) -> None:
    """Wait until a link is up, and has told everybody else."""
    up: Deferred[None] = Deferred()
    link.subscribe(lambda: up.called or up.callback(None))
    await up
    await deferLater(reactor, 0)


async def eventually(happened: Callable[[], Any], what: str) -> None:
    """Look again and again until it has happened."""
    deadline = reactor.seconds() + _PATIENCE  # type: ignore[attr-defined]
    while not happened():
        if reactor.seconds() > deadline:  # type: ignore[attr-defined]
            raise AssertionError(f"waited in vain for {what}")
        await deferLater(reactor, 0.02)


class Node:
    """A source with its links and its taker."""

    def __init__(
        self,
        streams: OutboxStreams,
        reading: str,
        writing: str | None = None,
        rules: ReadingRules = QUICK,
    ) -> None:
        self.metrics = FakeMetrics()
        self.taker = FakeTaker()
        self.reading = link_to(reading, own_name("reading"), self.metrics)
        self.writing = link_to(writing or reading, own_name("writing"), self.metrics)
        self.source = RedisSource(
            self.reading,
            self.writing,
            streams,
            own_name("run"),
            reactor,
            random,
            self.metrics,
            rules,
        )
        self.source.feed(self.taker)

    async def start(self) -> None:
        """Read from now on."""
        self.writing.startService()
        self.source.startService()
        await self.source.positioned()

    async def stop(self) -> None:
        """Read no more."""
        self.taker.release()
        if self.source.running:
            await self.source.stopService()
        if self.writing.running:
            await self.writing.stopService()

    def lost(self, reason: str) -> float:
        """How often the position was lost for this reason."""
        return self.metrics.value("outbox_position_lost_total", reason=reason)

    @property
    def missed(self) -> float:
        """How many canaries did not come back."""
        return self.metrics.value("ws_broker_canary_missed_total", broker="redis")


class Outbox:
    """One outbox that nobody else uses, as the contract suite wants it.

    :ivar link: of a backend.
    """

    def __init__(self, dsn: str, streams: OutboxStreams | None = None) -> None:
        self.dsn = dsn
        name = own_name("outbox")
        self.streams = streams or OutboxStreams(name, f"{name}.dlq")
        self.link = link_to(dsn)
        self.relay_link = link_to(dsn)
        self.relay = RedisRelay(self.relay_link, self.streams)
        self.nodes: list[Node] = []

    async def begin(self) -> Outbox:
        """Connect."""
        for link in (self.link, self.relay_link):
            link.startService()
            await until_up(link)
        return self

    async def node(self, **differences: Any) -> Node:
        """One more node that reads.

        :param differences: from the usual rules.
        """
        node = Node(self.streams, self.dsn, rules=evolve(QUICK, **differences))
        self.nodes.append(node)
        await node.start()
        return node

    def source(self) -> RedisSource:
        node = Node(self.streams, self.dsn)
        self.nodes.append(node)
        node.writing.startService()
        return node.source

    def write(self, documents: Sequence[bytes]) -> Deferred[None]:
        added = [self.link.run("XADD", self.streams.outbox, "*", "data", document) for document in documents]
        return gatherResults(added).addCallback(lambda _: None)

    def dead_letters(self, least: int) -> Deferred[list[tuple[str, bytes]]]:
        return Deferred.fromCoroutine(self._dead_letters(least))

    async def _dead_letters(self, least: int) -> list[tuple[str, bytes]]:
        for node in self.nodes:
            await eventually(
                lambda node=node: node.metrics.total("outbox_dead_letters_total") >= least, "bad publications"
            )
            await eventually(lambda node=node: node.writing.is_up, "the link that dead letters go by")
            # A script that is under way on this link, and the one that follows it.
            for _ in range(3):
                await node.writing.run("PING")
        entries: list[Any] = []
        while len(entries) < least:
            entries = await self.link.run("XRANGE", self.streams.dead_letters, "-", "+")
        found = []
        for _, fields in entries:
            assert fields[::2] == [b"reason", b"raw"], fields
            found.append((fields[1].decode(), fields[3]))
        return found

    def interrupt(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._interrupt())

    async def _interrupt(self) -> None:
        clients = (await self.link.run("CLIENT", "LIST")).decode().splitlines()
        reading = [line for line in clients if "name=ws-gateway-reading" in line]
        assert len(reading) >= len(self.nodes)
        for line in reading:
            number = line.split()[0].removeprefix("id=")
            await self.link.run("CLIENT", "KILL", "ID", number)

    def tear_down(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._tear_down())

    async def _tear_down(self) -> None:
        for node in self.nodes:
            await node.stop()
        for link in (self.link, self.relay_link):
            await link.stopService()


async def write_through(link: RedisLink, stream: str, document: bytes) -> bool:
    """Append, once; whether Redis said that it has it."""
    try:
        await link.run("XADD", stream, "*", "data", document)
    except BrokerDown:
        return False
    return True
