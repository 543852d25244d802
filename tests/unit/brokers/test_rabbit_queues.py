"""The two queues of a node: what is acknowledged when, and what is held back."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.brokers.rabbit_fakes import FakeChannel, FakeLink
from ws_gateway.brokers.counts import SourceCounts
from ws_gateway.brokers.rabbitmq.names import RabbitNames
from ws_gateway.brokers.rabbitmq.own_queue import OwnQueue, OwnQueueRules
from ws_gateway.brokers.rabbitmq.publisher import Publisher
from ws_gateway.brokers.rabbitmq.shared_queue import (
    DEFER_SECONDS,
    LOOK_SECONDS,
    PREFETCH,
    QUIET_SECONDS,
    SharedQueue,
)
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.publications import BAD, FakeTaker

NAME = "own"
NAMES = RabbitNames()


class OwnQueueTests(SynchronousTestCase):
    """The queue that publications come by."""

    def setUp(self) -> None:
        self.clock, self.link, self.taker = Clock(), FakeLink(), FakeTaker()
        self.canaries: list[bytes] = []
        metrics = FakeMetrics()
        self.queue = OwnQueue(
            self.link,  # type: ignore[arg-type]
            self.clock,
            lambda: 0.0,
            NAMES.outbox,
            NAME,
            OwnQueueRules(in_hand_bytes=100),
            self.canaries.append,
            lambda on: None,
            SourceCounts(metrics, "rabbitmq"),
            metrics,
        )
        self.queue.open(self.taker)
        self.wire = self.link.come()
        self.clock.advance(0)
        self.tag = 0

    @property
    def channel(self) -> FakeChannel:
        return self.wire.consumer(NAME)

    def bring(self, *bodies: bytes, key: str = NAMES.outbox) -> None:
        """What comes within one turn."""
        for body in bodies:
            self.tag += 1
            self.channel.delivered(self.tag, key, body)
        self.clock.advance(0)

    def test_a_turn_is_a_batch(self) -> None:
        """What a turn brings is taken together and acknowledged at once; canaries in between, too."""
        self.bring(b"1", b"2")
        self.bring(b"token", key=NAME)
        self.assertEqual((self.taker.calls, self.canaries), ([2], [b"token"]))
        self.assertEqual(self.channel.acks, [2, 3])

    def test_one_acknowledgement(self) -> None:
        """Batches that are settled in one turn are acknowledged together, up to the last one in a row."""
        self.taker.hold()
        for body in (b"1", b"2", b"3"):
            self.bring(body)
        self.assertEqual(self.channel.acks, [])
        self.taker.release()
        self.clock.advance(0)
        self.assertEqual(self.channel.acks, [3])

    def test_idle(self) -> None:
        """It is idle from when the last batch was acknowledged."""
        self.clock.advance(5)
        self.taker.hold()
        self.bring(b"1")
        self.clock.advance(3)
        self.assertEqual(self.queue.idle_for(), 0)
        self.taker.release()
        self.clock.advance(0)
        self.assertEqual(self.queue.idle_for(), 0)
        self.clock.advance(2)
        self.assertEqual(self.queue.idle_for(), 2)

    def test_large_ones(self) -> None:
        """With too many bytes in hand nothing is read until half of them are taken."""
        self.taker.hold()
        self.bring(b"x" * 60)
        self.assertFalse(self.wire.is_paused)
        self.bring(b"x" * 60)
        self.assertTrue(self.wire.is_paused)
        self.taker.release()
        self.assertFalse(self.wire.is_paused)
        self.bring(b"x" * 1000)
        self.assertFalse(self.wire.is_paused)

    def test_new_channel(self) -> None:
        """What came by a lost channel is not acknowledged, still counts until it is taken, and what was not
        handed over is forgotten."""
        self.taker.hold()
        self.bring(b"x" * 60)
        self.channel.delivered(2, NAMES.outbox, b"x" * 90)
        self.assertTrue(self.wire.is_paused)
        old = self.channel
        self.queue.again("a test")
        self.clock.advance(1)
        self.tag = 0
        self.bring(b"x" * 50)
        self.assertTrue(self.wire.is_paused)
        self.taker.release()
        self.clock.advance(0)
        self.assertFalse(self.wire.is_paused)
        self.assertEqual((old.acks, self.channel.acks, self.taker.calls), ([], [1], [1, 1]))

    def test_closed(self) -> None:
        """Closed, it leaves nothing behind that would act later."""
        self.taker.hold()
        self.bring(b"x" * 200)
        self.queue.close()
        self.taker.release()
        self.assertFalse(self.wire.is_paused)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SharedQueueTests(SynchronousTestCase):
    """The queue that all nodes keep empty, when there is nothing better to do."""

    def setUp(self) -> None:
        self.clock, self.link, self.taker = Clock(), FakeLink(), FakeTaker()
        self.idle = float("inf")
        publisher = Publisher(self.link, self.clock, lambda: 0.0, "a test")  # type: ignore[arg-type]
        publisher.open()
        self.queue = SharedQueue(
            self.link,  # type: ignore[arg-type]
            publisher,
            self.clock,
            lambda: 0.0,
            NAMES,
            lambda: self.idle,
        )
        self.queue.open(self.taker)
        self.wire = self.link.come()
        self.channel = self.wire.consumer(NAMES.outbox)
        self.tag = 0

    def bring(self, count: int, body: bytes = b"fine") -> None:
        for _ in range(count):
            self.tag += 1
            self.channel.delivered(self.tag, NAMES.outbox, body)
        self.clock.advance(0)

    def looks(self, count: int) -> None:
        for _ in range(count):
            self.clock.advance(LOOK_SECONDS)

    def test_at_once(self) -> None:
        """While no client waits, every turn is acknowledged."""
        self.bring(3)
        self.bring(2)
        self.assertEqual(self.channel.acks, [3, 5])

    def test_clients_first(self) -> None:
        """While clients wait, and a moment longer, a full prefetch stays with us."""
        self.idle = 0.0
        self.bring(PREFETCH)
        self.looks(10)
        self.idle = QUIET_SECONDS / 2
        self.looks(10)
        self.assertEqual(self.channel.acks, [])
        self.idle = QUIET_SECONDS
        self.looks(1)
        self.assertEqual(self.channel.acks, [PREFETCH])

    def test_nothing_waits_there(self) -> None:
        """What is less than a prefetch, and no more comes, is all: it is acknowledged at the next look."""
        self.idle = 0.0
        self.bring(1)
        self.assertEqual(self.channel.acks, [])
        self.looks(1)
        self.assertEqual(self.channel.acks, [1])
        self.bring(2)
        self.clock.advance(LOOK_SECONDS / 2)
        self.bring(2)
        self.looks(1)
        self.assertEqual(self.channel.acks, [1])
        self.looks(1)
        self.assertEqual(self.channel.acks, [1, 5])

    def test_no_end(self) -> None:
        """Where clients never cease to wait, the queue is read like any other after a while; after a pause
        they come first again."""
        self.idle = 0.0
        self.bring(PREFETCH)
        self.looks(int(DEFER_SECONDS / LOOK_SECONDS) + 1)
        self.assertEqual(self.channel.acks, [PREFETCH])
        self.bring(PREFETCH)
        self.bring(7)
        self.assertEqual(self.channel.acks[1:], [2 * PREFETCH, 2 * PREFETCH + 7])
        self.idle = QUIET_SECONDS
        self.bring(1)
        self.idle = 0.0
        self.bring(PREFETCH)
        self.assertEqual(self.channel.acks[3:], [2 * PREFETCH + 8])

    def test_dead_letter(self) -> None:
        """A dead letter is written at once, and acknowledged with all before it as soon as it is confirmed:
        it is not to become a second one."""
        self.idle = 0.0
        self.bring(1)
        self.bring(1, BAD)
        [written] = self.wire.written
        self.assertIn(BAD, written)
        self.assertEqual(self.channel.acks, [])
        publishing = next(
            channel for channel in self.wire.channels if not channel.queue and not channel.closed
        )
        publishing.confirmed(1, False, True)
        self.assertEqual(self.channel.acks, [2])

    def test_lost(self) -> None:
        """With the channel everything that was put off is forgotten: others get it."""
        self.idle = 0.0
        self.bring(PREFETCH)
        self.link.go()
        self.looks(100)
        self.assertEqual(self.channel.acks, [])
