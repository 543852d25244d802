"""The broker in memory keeps the promises of publication sources and relays. The real ones: tests/brokers."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import TestCase

from ws_gateway.brokers.memory import MemoryBroker, MemoryRelay, MemorySource
from ws_gateway.errors import BrokerDown
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.publications import BAD, FakeTaker, publication_tests


class MemoryUnderTest:
    """A broker in memory."""

    def __init__(self) -> None:
        self.broker = MemoryBroker()
        self.relay = MemoryRelay(self.broker)

    def source(self) -> MemorySource:
        return MemorySource(self.broker, FakeMetrics())

    def write(self, documents: Sequence[bytes]) -> Deferred[None]:
        if not self.broker.is_up:
            self.broker.come_back()
        self.broker.write(documents)
        return succeed(None)

    def dead_letters(self, least: int) -> Deferred[list[tuple[str, bytes]]]:
        return succeed(self.broker.dead_letters)

    def interrupt(self) -> Deferred[None]:
        self.broker.go_down()
        return succeed(None)

    def tear_down(self) -> Deferred[None]:
        return succeed(None)


class MemoryTests(publication_tests(lambda test: succeed(MemoryUnderTest()))):  # type: ignore[misc]
    """The suite, on the broker in memory."""


class MemoryBrokerTests(TestCase):
    """What the broker in memory can do besides."""

    def node(self, broker: MemoryBroker) -> tuple[FakeTaker, MemorySource, FakeMetrics]:
        taker, metrics = FakeTaker(), FakeMetrics()
        source = MemorySource(broker, metrics)
        source.feed(taker)
        source.startService()
        return taker, source, metrics

    def test_down(self) -> None:
        """While it is down nothing is relayed and every node says so."""
        broker = MemoryBroker()
        _, source, _ = self.node(broker)
        self.assertEqual(source.readiness(), ("memory_outbox", "ok", ""))
        broker.go_down()
        self.assertEqual(source.readiness(), ("memory_outbox", "degraded", "the broker in memory is down"))
        self.failureResultOf(MemoryRelay(broker).relay([b"lost"]), BrokerDown)
        broker.come_back()
        self.assertEqual(source.readiness()[1], "ok")

    def test_bounded(self) -> None:
        """Of more than it keeps, the oldest are forgotten."""
        broker = MemoryBroker(kept=3)
        taker, _, _ = self.node(broker)
        taker.hold()
        broker.write([b"0"])
        broker.write([b"%d" % number for number in range(1, 10)])
        taker.release()
        self.assertEqual(taker.documents, [b"0", b"7", b"8", b"9"])

    def test_counted(self) -> None:
        """What came and what nobody could use is counted."""
        broker = MemoryBroker()
        _, _, metrics = self.node(broker)
        broker.write([b"good", BAD])
        self.assertEqual(metrics.value("outbox_received_total", broker="memory"), 2)
        self.assertEqual(metrics.value("outbox_dead_letters_total", broker="memory"), 1)

    def test_stopped_in_the_middle(self) -> None:
        """A stop waits for what the taker has, and leaves the rest."""
        broker = MemoryBroker()
        taker, source, _ = self.node(broker)
        taker.hold()
        broker.write([b"%d" % number for number in range(150)])
        stopped = source.stopService()
        self.assertNoResult(stopped)
        taker.release()
        self.successResultOf(stopped)
        self.assertEqual(taker.offered, 100)
