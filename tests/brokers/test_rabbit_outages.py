"""Whatever happens to RabbitMQ, every event is accounted for and every publication comes.

One broker of its own, killed once; everything else that can be done to it happens while it runs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.brokers.rabbit import chance, client, make_link, messages, own_names, until
from tests.servers.rabbitmq import RabbitServer
from tests.servers.shared import own_name
from ws_gateway.brokers.rabbitmq.link import LinkState
from ws_gateway.brokers.rabbitmq.relay import RabbitRelay
from ws_gateway.brokers.rabbitmq.source import RabbitSource, SourceRules
from ws_gateway.domain.messages import Envelope, EventType, Receipt
from ws_gateway.errors import BrokerDown, EventRefused
from ws_gateway.events.rabbitmq import RabbitSink
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.publications import FakeTaker

KEYS = 10


@cache
def own_rabbit() -> RabbitServer:
    """A broker that these tests may do anything to."""
    server = RabbitServer()
    server.start()
    return server


def event(key: int, number: int) -> Envelope:
    """An event of a key."""
    body = b"%d-%d" % (key, number)
    return Envelope(body.decode(), EventType.MESSAGE_RECEIVED, f"c-{key}", f"c-{key}", body, 0)


class Feed:
    """Offers events as the pipeline does: one of each key at a time, again until the sink has it.

    :ivar taken: how many of each key the sink has said that it has.
    """

    def __init__(self, sink: RabbitSink) -> None:
        self._sink = sink
        self._ending = False
        self.taken = [0] * KEYS
        self.failures = 0
        self._done = gatherResults([Deferred.fromCoroutine(self._feed(key)) for key in range(KEYS)])

    async def _feed(self, key: int) -> None:
        while not self._ending:
            [result] = await self._sink.deliver([event(key, self.taken[key])])
            if isinstance(result, Receipt):
                self.taken[key] += 1
                # A turn for others; a client that writes without end would take it, too.
                await deferLater(reactor, 0, lambda: None)
            else:
                assert not result.check(EventRefused), result
                self.failures += 1
                await deferLater(reactor, 0.05, lambda: None)

    def more(self, least: int) -> Callable[[], bool]:
        """Whether each key has got on since now."""
        goals = [taken + least for taken in self.taken]
        return lambda: all(taken >= goal for taken, goal in zip(self.taken, goals, strict=True))

    async def end(self) -> None:
        """Let every key finish what it has in hand."""
        self._ending = True
        await self._done


class RabbitOutageTests(TestCase):
    """Events are written and publications are read the whole time."""

    async def street(self, heartbeat: int = 30, canary_seconds: float = 0) -> None:
        self.server = own_rabbit()
        self.names = own_names()
        self.inbox = own_name("inbox")
        self.metrics = FakeMetrics()
        self.writing = make_link(self.server.dsn, heartbeat, metrics=self.metrics, name="writing")
        self.reading = make_link(self.server.dsn, heartbeat, metrics=self.metrics, name="reading")
        self.sink = RabbitSink(
            self.writing, reactor, chance, self.metrics, self.names, inbox_queue=self.inbox
        )
        self.relay = RabbitRelay(self.writing, reactor, chance, self.names)
        rules = SourceRules(canary_seconds=canary_seconds, canary_patience=1)
        self.source = RabbitSource(
            self.reading, self.writing, "node", "run", reactor, chance, self.metrics, self.names, rules
        )
        self.taker = FakeTaker()
        self.source.feed(self.taker)
        self.writing.startService()
        self.source.startService()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.end_street()))
        await self.sink.settled()
        await self.relay.settled()
        await self.source.positioned()
        self.feed = Feed(self.sink)
        await until(self.feed.more(20), "events")
        self.relayed = 0
        await self.relay_some()

    async def end_street(self) -> None:
        await self.feed.end()
        await self.sink.close()
        self.relay.close()
        await self.source.stopService()
        await self.writing.stopService()
        with client(self.server) as channel:
            channel.queue_delete(self.inbox)
            channel.queue_delete(f"{self.names.outbox}.node.run")

    async def relay_some(self) -> None:
        """Relay a few publications, each until the broker has it."""
        for _ in range(5):
            while True:
                try:
                    await self.relay.relay([b"%d" % self.relayed])
                except BrokerDown:
                    await deferLater(reactor, 0.05, lambda: None)
                else:
                    break
            self.relayed += 1

    async def assert_all_there(self) -> None:
        """Every event that the sink has taken is in the queue, in order for each key, however often; every
        publication that was relayed came, in order."""
        await until(self.feed.more(20), "events to flow again")
        await self.relay_some()
        await self.taker.has(b"%d" % (self.relayed - 1))
        await until(lambda: self.source.readiness()[1] == "ok", "the source to be well")
        self.assertEqual(self.writing.readiness()[1], "ok")
        await self.feed.end()
        self.assertEqual(self.sink.readiness(), ("rabbitmq_events", "ok", ""))
        found: list[list[int]] = [[] for _ in range(KEYS)]
        for _, body in messages(self.server, self.inbox):
            key, _, number = body.decode().partition("-")
            found[int(key)].append(int(number))
        for key, numbers in enumerate(found):
            self.assertEqual(list(dict.fromkeys(numbers)), list(range(self.feed.taken[key])))
        once = list(dict.fromkeys(self.taker.documents))
        self.assertEqual(once, [b"%d" % number for number in range(self.relayed)])
        self.assertEqual(self.metrics.value("broker_unroutable_total"), 0)

    def do(self, what: Callable[..., Any], *arguments: Any) -> Deferred[Any]:
        """Do something that blocks while everything goes on."""
        return deferToThread(what, *arguments)

    async def test_killed(self) -> None:
        """A broker that is killed with events under way, and comes back with its data, has lost none."""
        await self.street()
        await self.do(self.server.kill)
        await until(lambda: self.writing.state is not LinkState.UP, "the loss to be noticed")
        self.assertEqual(self.writing.readiness()[1], "degraded")
        [result] = await self.sink.deliver([event(0, 0)])
        self.assertNotIsInstance(result, Receipt)
        await self.do(self.server.start)
        await self.assert_all_there()

    async def test_frozen(self) -> None:
        """A broker that stands still for 6 s, with a heartbeat of 2 s, is given up and found again."""
        await self.street(heartbeat=2)
        self.server.freeze()
        try:
            await deferLater(reactor, 6, lambda: None)
            self.assertIsNot(self.writing.state, LinkState.UP)
            self.assertIsNot(self.reading.state, LinkState.UP)
        finally:
            self.server.thaw()
        await self.assert_all_there()

    async def test_alarm(self) -> None:
        """During a memory alarm nothing is published and nothing is given up; publications are read on. When
        it is over, everything flows by the same connection."""
        await self.street(canary_seconds=0.2)
        before = self.writing.wire
        await self.do(self.server.ctl, "set_vm_memory_high_watermark", "absolute", "1")
        try:
            await until(lambda: self.writing.blocked, "the alarm")
            _, status, detail = self.writing.readiness()
            self.assertEqual(status, "degraded")
            self.assertIn("memory alarm", detail)
            taken = list(self.feed.taken)
            await self.assertFailure(self.relay.relay([b"refused"]), BrokerDown)
            # Longer than canaries have patience.
            await deferLater(reactor, 2, lambda: None)
            self.assertEqual(self.feed.taken, taken)
            self.assertEqual(self.reading.readiness()[1], "ok")
        finally:
            await self.do(self.server.ctl, "set_vm_memory_high_watermark", "absolute", "1GB")
        await self.assert_all_there()
        self.assertEqual(self.feed.failures, 0)
        self.assertIs(self.writing.wire, before)
        self.assertEqual(self.metrics.value("ws_broker_canary_missed_total", broker="rabbitmq"), 0)

    async def test_connections_closed(self) -> None:
        """Connections that an operator closes are made again; the operator's words are told."""
        await self.street()
        said: list[str] = []
        for link in (self.writing, self.reading):
            assert link.wire is not None
            link.wire.ended.addCallback(lambda error, link=link: (said.append(link.trouble), error)[1])
        await self.do(self.server.ctl, "close_all_connections", "maintenance of a test")
        await until(lambda: len(said) == 2, "both connections to be closed")
        for words in said:
            self.assertIn("maintenance of a test", words)
        await self.assert_all_there()
        lost = self.metrics.value("broker_connections_lost_total", broker="rabbitmq")
        self.assertGreaterEqual(lost, 2)
