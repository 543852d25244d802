"""The books of confirms, and the channel that is kept for them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.brokers.rabbit_fakes import FakeChannel, FakeLink, FakeWire
from ws_gateway.brokers.rabbitmq.kept import KeptChannel
from ws_gateway.brokers.rabbitmq.publisher import Message, Outcome, Publisher
from ws_gateway.errors import BrokerRefused

CONFIRMED, UNROUTABLE, NACKED, UNKNOWN, UNSENT = Outcome


def some(count: int, start: int = 0) -> list[Message]:
    return [Message("e", "k", b"%d" % at, f"m-{at}") for at in range(start, start + count)]


class PublisherTests(SynchronousTestCase):
    """Every message has an outcome, and only one."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.link = FakeLink()
        self.publisher = self.make()
        self.wire = self.link.come()

    def make(self, **options: Any) -> Publisher:
        publisher = Publisher(self.link, self.clock, lambda: 0.0, "a test", **options)  # type: ignore[arg-type]
        publisher.open()
        return publisher

    @property
    def channel(self) -> FakeChannel:
        return self.wire.channels[-1]

    def test_single_and_multiple(self) -> None:
        """Confirms come one by one, for many at once, and out of order."""
        answer = self.publisher.publish(some(5))
        self.assertEqual(len(self.wire.written), 1)
        self.channel.confirmed(4, False, True)
        self.channel.confirmed(3, True, True)
        self.assertNoResult(answer)
        self.channel.confirmed(5, True, True)
        self.assertEqual(self.successResultOf(answer), [CONFIRMED] * 5)

    def test_mixed(self) -> None:
        """Each message has its own outcome."""
        answer = self.publisher.publish(some(4))
        self.channel.returned("m-1")
        self.channel.confirmed(2, True, True)
        self.channel.confirmed(3, False, False)
        self.channel.confirmed(4, False, True)
        self.assertEqual(self.successResultOf(answer), [CONFIRMED, UNROUTABLE, NACKED, CONFIRMED])

    def test_same_id_twice(self) -> None:
        """A repetition that is under way beside its original has its own outcome."""
        first, second = self.publisher.publish(some(1)), self.publisher.publish(some(1))
        self.channel.returned("m-0")
        self.channel.confirmed(1, False, True)
        self.channel.confirmed(2, False, True)
        self.assertEqual(self.successResultOf(first), [UNROUTABLE])
        self.assertEqual(self.successResultOf(second), [CONFIRMED])

    def test_nothing(self) -> None:
        """Publishing nothing is done at once."""
        self.assertEqual(self.successResultOf(self.publisher.publish([])), [])
        self.assertEqual(self.wire.written, [])

    def test_patience(self) -> None:
        """Without a confirm in time the outcome is unknown; a late one is passed over."""
        answer = self.publisher.publish(some(2))
        self.clock.advance(20)
        later = self.publisher.publish(some(1, 2))
        self.clock.advance(10)
        self.assertEqual(self.successResultOf(answer), [UNKNOWN] * 2)
        self.assertEqual(self.publisher.trouble, "no confirm within 30 s")
        self.assertNoResult(later)
        self.channel.confirmed(2, True, True)
        self.channel.confirmed(3, False, True)
        self.assertEqual(self.successResultOf(later), [CONFIRMED])
        self.assertEqual(self.publisher.trouble, "")

    def test_alarm(self) -> None:
        """During an alarm nothing is sent and no time passes for confirms, however long it lasts."""
        answer = self.publisher.publish(some(1))
        self.clock.advance(29)
        self.link.alarm(True)
        waiting = self.publisher.publish(some(1, 1))
        for _ in range(100):
            self.clock.advance(29)
        self.assertNoResult(answer)
        self.assertNoResult(waiting)
        self.assertEqual(len(self.wire.written), 1)
        self.link.alarm(False)
        self.assertEqual(len(self.wire.written), 2)
        self.channel.confirmed(1, False, True)
        self.assertEqual(self.successResultOf(answer), [CONFIRMED])
        self.clock.advance(29)
        self.assertNoResult(waiting)
        self.clock.advance(1.5)
        self.assertEqual(self.successResultOf(waiting), [UNKNOWN])

    def test_channel_lost_in_alarm(self) -> None:
        """A channel that is lost during an alarm does not end the alarm; a connection that is lost does."""
        self.link.alarm(True)
        self.channel.break_down(BrokerRefused("X", "closed"))
        self.clock.advance(1)
        answer = self.publisher.publish(some(1))
        self.assertEqual(self.wire.written, [])
        self.link.go()
        self.assertEqual(self.successResultOf(answer), [UNSENT])
        self.wire = self.link.come()
        self.publisher.publish(some(1))
        self.assertEqual(len(self.wire.written), 1)

    def test_lost(self) -> None:
        """What was sent is unknown, what waited unsent; confirms of a former channel count for nothing."""
        self.publisher.close()
        self.publisher = self.make(window=2)
        self.wire = self.link.come()
        old = self.channel
        answer = self.publisher.publish(some(3))
        self.link.go("the plug was pulled")
        self.assertEqual(self.successResultOf(answer), [UNKNOWN, UNKNOWN, UNSENT])
        self.assertEqual(self.publisher.trouble, "the plug was pulled")
        self.assertEqual(self.successResultOf(self.publisher.publish(some(1))), [UNSENT])
        self.wire = self.link.come()
        self.assertEqual(self.publisher.trouble, "")
        answer = self.publisher.publish(some(1))
        old.confirmed(1, False, True)
        self.assertNoResult(answer)
        self.channel.confirmed(1, False, True)
        self.assertEqual(self.successResultOf(answer), [CONFIRMED])

    def test_refused(self) -> None:
        """Why a channel was closed stays told until something is confirmed again."""
        answer = self.publisher.publish(some(1))
        self.channel.break_down(BrokerRefused("ACCESS_REFUSED", "ACCESS_REFUSED - may not write"))
        self.assertEqual(self.successResultOf(answer), [UNKNOWN])
        self.assertFalse(self.publisher.is_up)
        self.clock.advance(1)
        self.assertTrue(self.publisher.is_up)
        self.assertIn("may not write", self.publisher.trouble)
        answer = self.publisher.publish(some(1))
        self.channel.confirmed(1, False, True)
        self.assertEqual(self.successResultOf(answer), [CONFIRMED])
        self.assertEqual(self.publisher.trouble, "")

    def test_again_from_within(self) -> None:
        """Whoever is told may publish at once: nothing is sent twice, no timer is left behind."""
        told: list[Deferred[Any]] = []
        answer = self.publisher.publish(some(1))
        answer.addCallback(lambda outcomes: told.append(self.publisher.publish(some(1, 1))))
        self.clock.advance(30)
        self.assertEqual(len(self.wire.written), 2)
        self.channel.confirmed(2, False, True)
        self.assertEqual(self.successResultOf(told[0]), [CONFIRMED])
        self.publisher.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class KeptChannelTests(SynchronousTestCase):
    """One channel, again and again."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.link = FakeLink()
        self.lost: list[str] = []
        self.problem: Exception | None = None
        self.prepared = 0

        async def prepare(wire: Any, channel: Any) -> None:
            self.prepared += 1
            if self.problem is not None:
                raise self.problem

        self.kept = KeptChannel(
            self.link,  # type: ignore[arg-type]
            self.clock,
            lambda: 0.0,
            "a test",
            prepare,
            self.lost.append,
        )
        self.kept.open()

    def test_settled(self) -> None:
        """Waiting ends when the channel is ready, or when it is clear that it will not be for now."""
        waiting = self.kept.settled()
        self.assertNoResult(waiting)
        self.link.guests[0].unreachable()
        self.successResultOf(waiting)
        waiting = self.kept.settled()
        self.link.come()
        self.successResultOf(waiting)
        self.successResultOf(self.kept.settled())
        self.assertIsNotNone(self.kept.channel)

    def test_refused(self) -> None:
        """What cannot be prepared is tried again with growing pauses, and its trouble is told meanwhile."""
        self.problem = BrokerRefused("NOT_FOUND", "NOT_FOUND - nothing there")
        waiting = self.kept.settled()
        wire = self.link.come()
        self.successResultOf(waiting)
        self.assertEqual(self.kept.trouble, "NOT_FOUND - nothing there")
        self.assertTrue(wire.channels[0].closed)
        for _ in range(60):
            self.clock.advance(1)
        # 0.1, 0.2, 0.4, 0.8, 1.6 s, and then every 2.5 s.
        self.assertGreater(self.prepared, 15)
        self.assertLess(self.prepared, 35)
        self.problem = None
        self.clock.advance(5)
        self.assertEqual(self.kept.trouble, "")
        self.assertIsNotNone(self.kept.channel)
        self.assertEqual(self.lost, [])

    def test_defect(self) -> None:
        """A defect of ours is logged and tried again like anything else."""
        self.problem = KeyError("defect")
        self.link.come()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertIn("KeyError", self.kept.trouble)
        self.problem = None
        self.clock.advance(1)
        self.assertIsNotNone(self.kept.channel)

    def test_again(self) -> None:
        """Beginning again closes the channel and tells its owner."""
        wire = self.link.come()
        self.kept.again("no reason")
        self.assertTrue(wire.channels[0].closed)
        self.assertEqual(self.lost, ["no reason"])
        self.clock.advance(1)
        self.assertEqual(len(wire.channels), 2)
        self.assertIs(self.kept.channel, wire.channels[1])

    def test_no_answer(self) -> None:
        """A broker that does not answer is given up with its connection, but not while it has an alarm."""
        wire = FakeWire()
        wire.hanging = True
        self.link.come(wire)
        self.link.blocked = True
        self.clock.advance(20)
        self.assertEqual(self.link.abandoned, [])
        self.link.blocked = False
        self.clock.advance(20)
        self.assertEqual(len(self.link.abandoned), 1)

    def test_closed(self) -> None:
        """After the end nothing is opened and nobody is told; no timer is left behind."""
        wire = self.link.come()
        self.kept.close()
        self.kept.close()
        self.assertTrue(wire.channels[0].closed)
        self.assertEqual(self.lost, [])
        self.assertEqual(self.link.guests, [])
        self.successResultOf(self.kept.settled())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closed_while_prepared(self) -> None:
        """A channel that is opened when it is not wanted any more is not kept."""
        wire = FakeWire()
        wire.hanging = True
        self.link.come(wire)
        self.kept.close()
        self.assertIsNone(self.kept.channel)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_gone(self) -> None:
        """The end of the connection is told once, and the next connection begins at once."""
        self.link.come()
        self.link.go("cut")
        self.assertEqual(self.lost, ["cut"])
        self.assertIsNone(self.kept.channel)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.link.come()
        self.assertIsNotNone(self.kept.channel)
