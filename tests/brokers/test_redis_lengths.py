"""Lengths and ages of streams in a real Redis."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from tests.brokers.outboxes import eventually, link_to, until_up
from tests.servers.process import free_port
from tests.servers.shared import own_name, shared_redis
from ws_gateway.brokers.redis.lengths import StreamLengths
from ws_gateway.testing.metrics import FakeMetrics


class LengthsTests(TestCase):
    """The gauges."""

    timeout = 60

    async def setUp(self) -> None:
        self.link = link_to(shared_redis().dsn)
        self.link.startService()
        self.addCleanup(self.link.stopService)
        await until_up(self.link)
        self.stream, self.absent, self.strange = (own_name("stream") for _ in range(3))
        self.metrics = FakeMetrics()
        streams = (self.stream, self.absent, self.strange, self.stream)
        self.lengths = StreamLengths(
            self.link, streams, reactor, lambda: 1_700_000_100.0, self.metrics, interval=0.05
        )
        self.addCleanup(self.lengths.stopService)

    def length(self, stream: str) -> float:
        return self.metrics.value("broker_stream_length", stream=stream)

    def age(self, stream: str) -> float:
        return self.metrics.value("broker_stream_oldest_seconds", stream=stream)

    async def test_shown(self) -> None:
        """Length and age of the oldest entry are shown, and follow; an absent stream has neither."""
        self.assertEqual((self.length(self.stream), self.age(self.stream)), (0, 0))
        self.lengths.startService()
        for milliseconds in (1_700_000_000_000, 1_700_000_090_000):
            await self.link.run("XADD", self.stream, f"{milliseconds}-0", "data", "x")
        await eventually(lambda: self.length(self.stream) == 2, "the length")
        self.assertEqual(self.age(self.stream), 100)
        await self.link.run("XTRIM", self.stream, "MAXLEN", 1)
        await eventually(lambda: self.length(self.stream) == 1, "the new length")
        self.assertEqual(self.age(self.stream), 10)
        self.assertEqual((self.length(self.absent), self.age(self.absent)), (0, 0))

    async def test_no_stream(self) -> None:
        """A key that is no stream hides only itself."""
        await self.link.run("SET", self.strange, "x")
        await self.link.run("XADD", self.stream, "*", "data", "x")
        self.lengths.startService()
        await eventually(lambda: self.length(self.stream) == 1, "the length")
        self.assertEqual(self.length(self.strange), 0)

    async def test_back_again(self) -> None:
        """After a connection that was lost the figures go on."""
        self.lengths.startService()
        self.link.reset("a test")
        await eventually(lambda: self.link.is_up, "the link")
        await self.link.run("XADD", self.stream, "*", "data", "x")
        await eventually(lambda: self.length(self.stream) == 1, "the length")

    async def test_down(self) -> None:
        """Without a Redis there are no figures, and stopping ends at once."""
        link = link_to(f"redis://127.0.0.1:{free_port()}")
        lengths = StreamLengths(link, [self.stream], reactor, lambda: 0.0, FakeMetrics())
        lengths.startService()
        await lengths.stopService()
