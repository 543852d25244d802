"""Taking, bounding, draining and stopping."""

from __future__ import annotations

import uuid
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionDone
from twisted.logger import LogEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.events.street import Connection, Street, labels
from ws_gateway.domain.messages import EventType, Receipt, Stamp
from ws_gateway.errors import EventFailed
from ws_gateway.events.bounds import EVENT_OVERHEAD, Drop
from ws_gateway.events.log import LogSink
from ws_gateway.interfaces import IEventEmitter, IEventSink, IReadiness
from ws_gateway.testing.sinks import FakeSink, Outcome


class PipelineTestCase(SynchronousTestCase):
    """Collects what is logged."""

    def logged(self) -> list[LogEvent]:
        """The list that log events are added to from now on."""
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        return events


class EmitTests(PipelineTestCase):
    """What becomes of an event that is handed over."""

    def test_interfaces(self) -> None:
        """The pipeline is an emitter and can say how it is."""
        street = Street()
        verifyObject(IEventEmitter, street.pipeline)
        verifyObject(IReadiness, street.pipeline)

    def test_envelope(self) -> None:
        """The envelope carries id, time, key and the encoded event; ids sort like the events."""
        street, a = Street(), Connection("a")
        street.clock.advance(1.5)
        street.emit(a.message())
        street.emit(a.message("room"))
        first, second = street.sink.accepted
        self.assertEqual((first.connection_id, first.key, second.key), ("a", "a", "room"))
        self.assertEqual(first.occurred_at_ms, 1_700_000_001_500)
        self.assertEqual((first.body, second.body), (b"a/1", b"a/2"))
        self.assertEqual(uuid.UUID(first.event_id).version, 7)
        self.assertLess(first.event_id, second.event_id)

    def test_same_id_in_every_attempt(self) -> None:
        """A repeated event has the id and the bytes that it had before."""
        street = Street()
        street.sink.script(Outcome.DOWN, Outcome.FAIL)
        street.emit(Connection("a").message())
        street.clock.advance(1)
        street.clock.advance(2)
        self.assertEqual(len(street.sink.offered), 3)
        self.assertEqual(len(set(street.sink.offered)), 1)

    def test_own_stamp(self) -> None:
        """An event that brings its id and time keeps them."""
        street, stamp = Street(), Stamp("e-1", 1_600_000_000_000)
        street.emit(evolve(Connection("a").disconnected(), stamp=stamp))
        (envelope,) = street.sink.accepted
        self.assertEqual((envelope.event_id, envelope.occurred_at_ms), ("e-1", 1_600_000_000_000))

    def test_refused(self) -> None:
        """Whoever hands an event over hears whether it was refused; one that nobody wants was not."""
        street, a = Street(max_per_key=1), Connection("a")
        street.sink.script(Outcome.HANG)
        taken = [street.pipeline.emit(a.message()) for _ in range(2)]
        self.assertEqual(taken, [True, False])
        self.assertIs(Street(0).pipeline.emit(a.message()), True)
        self.assertIs(Street(types=()).pipeline.emit(a.message()), True)
        self.successResultOf(street.pipeline.stopService())
        self.assertIs(street.pipeline.emit(a.message()), False)

    def test_filter(self) -> None:
        """Types that are not sent go nowhere, hold up nothing, and count as accepted."""
        street, a = Street(types={EventType.MESSAGE_RECEIVED}), Connection("a")
        accepted: list[str] = []
        street.emit(a.connected(), lambda: accepted.append("connected"))
        street.emit(a.message("room"))
        street.emit(a.disconnected(), lambda: accepted.append("disconnected"))
        self.assertEqual(labels(street.sink.accepted), ["a/1"])
        self.assertEqual(accepted, ["connected", "disconnected"])

    def test_no_sink(self) -> None:
        """Without a sink (EVENTS_MODE=none) an event is accepted by nobody, which is all of them."""
        street = Street(0)
        accepted: list[bool] = []
        street.emit(Connection("a").connected(), lambda: accepted.append(True))
        self.assertEqual(accepted, [True])
        self.assertEqual(street.pipeline.readiness(), ("events", "ok", ""))

    def test_accepted_once(self) -> None:
        """`accepted` is called once: when the event was delivered, dead-lettered or dropped."""
        street, a = Street(max_per_key=1), Connection("a")
        calls: list[str] = []
        street.sink.script(Outcome.HANG)
        street.emit(a.message(), lambda: calls.append("delivered"))
        street.emit(a.message(), lambda: calls.append("dropped"))
        self.assertEqual(calls, ["dropped"])
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        street.sink.script(Outcome.REFUSE)
        street.emit(a.message(), lambda: calls.append("dead"))
        self.assertEqual(calls, ["dropped", "delivered", "dead"])

    def test_accepted_raises(self) -> None:
        """An exception in `accepted` is logged and stops nothing."""
        street, a = Street(), Connection("a")
        street.sink.script(Outcome.HANG)

        def broken() -> None:
            raise RuntimeError("bug of the caller")

        street.emit(a.message(), broken)
        street.emit(a.message())
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual(labels(street.sink.accepted), ["a/1", "a/2"])

    def test_emit_from_accepted(self) -> None:
        """`accepted` may emit again."""
        street, a = Street(), Connection("a")
        street.emit(a.message(), lambda: street.emit(a.message()))
        self.assertEqual(labels(street.sink.accepted), ["a/1", "a/2"])
        self.assertTrue(street.pipeline.idle)

    def test_no_wire_form(self) -> None:
        """An event that cannot be encoded is logged and counted; emit does not raise."""
        street, a = Street(), Connection("a")
        event = a.message()
        street.pipeline._encode = lambda *_: 1 / 0
        accepted: list[bool] = []
        street.emit(event, lambda: accepted.append(True))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(
            street.metrics.value("event_dropped_total", type="message_received", reason="not_encodable"), 1
        )
        self.assertEqual(accepted, [True])

    def test_many_events_of_a_prompt_sink(self) -> None:
        """Thousands of events that wait behind one and are then taken at once do not pile up the stack."""
        street = Street(max_per_key=100_000)
        street.sink.script(Outcome.HANG)
        a = Connection("a")
        for _ in range(5_000):
            street.emit(a.message())
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(len(street.sink.accepted), 5_000)
        self.assertTrue(street.pipeline.idle)

    def test_nothing_is_left(self) -> None:
        """A connection whose events are delivered leaves no lane and no memory behind."""
        street = Street(2)
        for number in range(50):
            connection = Connection(f"c{number}")
            street.emit(connection.connected())
            street.emit(connection.message())
            street.emit(connection.message(f"key{number}"))
            street.emit(connection.disconnected())
        for destination in street.pipeline._destinations:
            self.assertEqual(destination._lanes, {})
            self.assertTrue(destination._gate.empty)
        self.assertTrue(street.pipeline.idle)
        self.assertEqual(street.pipeline.waiting_bytes, 0)


class BrokenSinkTests(SynchronousTestCase):
    """A sink that breaks its word costs its own events their attempts and stops nothing."""

    def deliver_with(self, deliver: Any) -> Street:
        """A street with one attempt an event, whose sink has another deliver()."""
        street = Street(attempts=1)
        street.sink.deliver = deliver
        street.emit(Connection("a").message())
        self.assertEqual(len(street.pipeline.dead_letters), 1)
        self.assertTrue(street.pipeline.idle)
        return street

    def test_raises(self) -> None:
        """deliver() raises."""

        def deliver(envelopes: object) -> None:
            raise RuntimeError("bug")

        self.deliver_with(deliver)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 2)

    def test_fails(self) -> None:
        """The Deferred fails."""
        self.deliver_with(lambda _: fail(ConnectionDone()))
        self.assertEqual(len(self.flushLoggedErrors(ConnectionDone)), 2)

    def test_wrong_number(self) -> None:
        """There are fewer results than events."""
        street = self.deliver_with(lambda _: succeed([]))
        self.assertIn("not 1 results", street.pipeline.dead_letters[0].detail)

    def test_unknown_failure(self) -> None:
        """A result that is another failure than the three."""
        street = self.deliver_with(lambda _: succeed([Failure(KeyError("x"))]))
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(street.pipeline.dead_letters[0].detail, "unexpected KeyError")

    def test_settling_fails(self) -> None:
        """Even a bug of our own ends in the log."""
        street = Street()
        street.pipeline._destinations[0]._done = lambda _: 1 / 0
        street.emit(Connection("a").message())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class BoundsTests(PipelineTestCase):
    """Bounds in bytes and events, the reserve, counters, the log."""

    def dropped(self, street: Street, event_type: str, reason: str) -> float:
        """A counter of dropped events."""
        return street.metrics.value("event_dropped_total", type=event_type, reason=reason)

    def test_counters_exist_at_zero(self) -> None:
        """All counters and gauges exist before the first event."""
        street = Street()
        for event_type in EventType:
            for reason in Drop:
                self.assertEqual(self.dropped(street, event_type.value, reason.value), 0)
        for name in ("event_delivered_total", "event_retries_total"):
            self.assertEqual(street.metrics.value(name, sink="sink0"), 0)
        for name in ("event_queue_events", "event_queue_bytes", "event_queue_oldest_seconds"):
            self.assertEqual(street.metrics.value(name), 0)

    def test_key_full(self) -> None:
        """The newest message of a full key is refused; other keys go on."""
        street, a = Street(max_per_key=3), Connection("a")
        street.sink.script(Outcome.HANG)
        for _ in range(5):
            street.emit(a.message())
        self.assertEqual(self.dropped(street, "message_received", "key_full"), 2)
        street.emit(Connection("b").message())
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(labels(street.sink.accepted), ["b/1", "a/1", "a/2", "a/3"])

    def test_key_reserve(self) -> None:
        """`disconnected` finds room behind a full key, within the reserve."""
        street, a = Street(max_per_key=10), Connection("a")
        street.sink.always(Outcome.HANG)
        for _ in range(11):
            street.emit(a.message())
        street.emit(a.disconnected())
        self.assertEqual(street.pipeline.waiting, 11)
        street.emit(a.disconnected())
        self.assertEqual(self.dropped(street, "disconnected", "key_full"), 1)

    def test_queue_full(self) -> None:
        """When the bytes are used up messages are refused, of every key; room that comes free is used."""
        size = EVENT_OVERHEAD + 100
        street = Street(max_bytes=3 * size, concurrency=1)
        street.sink.script(Outcome.HANG)
        for number in range(5):
            street.emit(Connection(f"c{number}").message(raw="x" * 100))
        self.assertEqual(street.pipeline.waiting_bytes, 3 * size)
        self.assertEqual(self.dropped(street, "message_received", "queue_full"), 2)
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(street.pipeline.waiting_bytes, 0)
        street.emit(Connection("c9").message(raw="x" * 100))
        self.assertEqual(self.dropped(street, "message_received", "queue_full"), 2)

    def test_bytes_reserve(self) -> None:
        """`connected` and `disconnected` go past the bound by the reserve and no further."""
        street = Street(max_bytes=100 * EVENT_OVERHEAD, concurrency=1)
        street.sink.always(Outcome.HANG)
        for number in range(200):
            street.emit(Connection(f"m{number}").message())
        full = street.pipeline.waiting
        self.assertLess(full, 100)
        for number in range(200):
            street.emit(Connection(f"c{number}").connected())
        self.assertGreaterEqual(street.pipeline.waiting, full + 9)
        self.assertLessEqual(street.pipeline.waiting_bytes, 110 * EVENT_OVERHEAD)
        self.assertEqual(
            self.dropped(street, "connected", "queue_full"), 200 - (street.pipeline.waiting - full)
        )

    def test_counted_once(self) -> None:
        """An event that waits for two sinks counts once, until the slower one has it."""
        street = Street(2)
        slow, _ = street.sinks
        slow.script(Outcome.HANG)
        street.emit(Connection("a").message(raw="x" * 100))
        self.assertEqual(street.pipeline.waiting, 1)
        self.assertEqual(street.pipeline.waiting_bytes, EVENT_OVERHEAD + 100)
        self.assertEqual(street.metrics.value("event_queue_bytes"), EVENT_OVERHEAD + 100)
        slow.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(street.pipeline.waiting, 0)

    def test_age(self) -> None:
        """The age is that of the oldest event that waits."""
        street = Street()
        street.sink.script(Outcome.HANG, Outcome.HANG)
        street.emit(Connection("a").message())
        street.clock.advance(2)
        street.emit(Connection("b").message())
        street.clock.advance(3)
        self.assertEqual(street.metrics.value("event_queue_oldest_seconds"), 5)
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(street.metrics.value("event_queue_oldest_seconds"), 3)

    def test_readiness(self) -> None:
        """Over 80 % full the node wants no new clients, whatever else is the matter."""
        street = Street(max_bytes=10 * (EVENT_OVERHEAD + 100))
        street.sink.script(Outcome.DOWN)
        for number in range(8):
            street.emit(Connection(f"c{number}").message(raw="x" * 100))
        self.assertEqual(street.pipeline.readiness()[1], "degraded")
        street.emit(Connection("c8").message(raw="x" * 100))
        self.assertEqual(street.pipeline.readiness(), ("events", "failed", "the event queue is 90% full"))

    def test_log_is_limited(self) -> None:
        """A flood of drops gives a line at once and then one every few seconds, with the number."""
        logged = self.logged()
        street, a = Street(max_per_key=1), Connection("a")
        street.sink.script(Outcome.HANG)
        for _ in range(101):
            street.emit(a.message())
        self.assertEqual([event["count"] for event in logged], [1])
        street.clock.advance(5)
        street.emit(a.message())
        self.assertEqual([event["count"] for event in logged], [1, 100])
        self.assertEqual(logged[1]["connection_id"], "a")


class StopTests(PipelineTestCase):
    """Draining and the end."""

    def test_drain(self) -> None:
        """drain() fires when nothing waits; a paused target is probed meanwhile."""
        street = Street()
        street.sink.script(Outcome.DOWN, Outcome.DOWN)
        street.emit(Connection("a").message())
        drained = street.pipeline.drain()
        street.clock.advance(1)
        self.assertNoResult(drained)
        street.clock.advance(2)
        self.successResultOf(drained)
        self.assertEqual(len(street.sink.accepted), 1)

    def test_drain_of_nothing(self) -> None:
        """An empty pipeline is drained at once."""
        self.successResultOf(Street().pipeline.drain())

    def test_drain_waits_for_late_events(self) -> None:
        """Events that come during draining, such as `disconnected`, are delivered and waited for."""
        street, a = Street(), Connection("a")
        street.sink.always(Outcome.HANG)
        street.emit(a.message())
        drained = street.pipeline.drain()
        street.emit(a.disconnected())
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertNoResult(drained)
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.successResultOf(drained)

    def test_drain_cancelled(self) -> None:
        """Who waits with a deadline may give up; the events are not touched."""
        street = Street()
        street.sink.script(Outcome.HANG)
        street.emit(Connection("a").message())
        drained = street.pipeline.drain()
        drained.addTimeout(5, street.clock)
        street.clock.advance(5)
        self.failureResultOf(drained)
        street.sink.hanging[0].settle(Outcome.ACCEPT)
        self.assertEqual(len(street.sink.accepted), 1)

    def test_stop(self) -> None:
        """What waits is counted in one line; timers are gone; the sinks are closed."""
        street = Street(2)
        paused, hanging = street.sinks
        paused.script(Outcome.DOWN)
        hanging.script(Outcome.HANG, Outcome.FAIL)
        accepted: list[str] = []
        street.emit(Connection("a").message(), lambda: accepted.append("a"))
        street.emit(Connection("b").connected(), lambda: accepted.append("b"))
        drained = street.pipeline.drain()
        logged = self.logged()
        self.successResultOf(street.pipeline.stopService())
        self.assertEqual([event["undelivered"] for event in logged if "undelivered" in event], [2])
        self.assertEqual(street.clock.getDelayedCalls(), [])
        self.assertEqual((paused.closed, hanging.closed), (1, 1))
        self.assertEqual(accepted, ["a", "b"])
        self.assertEqual(street.metrics.total("event_dropped_total"), 2)
        self.assertEqual(street.metrics.value("event_dropped_total", type="connected", reason="stopped"), 1)
        self.successResultOf(drained)

    def test_stop_with_nothing_left(self) -> None:
        """A clean stop says so."""
        street = Street()
        street.emit(Connection("a").message())
        logged = self.logged()
        self.successResultOf(street.pipeline.stopService())
        [event] = logged
        self.assertEqual(event["undelivered"], 0)
        self.assertEqual(event["log_level"].name, "info")

    def test_emit_after_stop(self) -> None:
        """An event that comes too late is counted, and nothing is offered."""
        street = Street()
        self.successResultOf(street.pipeline.stopService())
        accepted: list[bool] = []
        street.emit(Connection("a").disconnected(), lambda: accepted.append(True))
        self.assertEqual(street.sink.offered, [])
        self.assertEqual(accepted, [True])
        self.assertEqual(
            street.metrics.value("event_dropped_total", type="disconnected", reason="stopped"), 1
        )

    def test_stop_twice(self) -> None:
        """The second stop changes nothing."""
        street = Street()
        self.successResultOf(street.pipeline.stopService())
        self.successResultOf(street.pipeline.stopService())
        self.assertEqual(street.sink.closed, 1)

    def test_close_fails(self) -> None:
        """A sink that cannot be closed does not keep the others from closing."""
        street = Street(2)
        broken, sound = street.sinks
        broken.close = lambda: fail(EventFailed("no"))
        self.successResultOf(street.pipeline.stopService())
        self.assertEqual(sound.closed, 1)
        self.assertEqual(len(self.flushLoggedErrors(EventFailed)), 1)

    def test_stop_waits_for_the_sinks(self) -> None:
        """The stop is over when the sinks are closed."""
        street = Street()
        closing: Deferred[None] = Deferred()
        street.sink.close = lambda: closing
        stopped = street.pipeline.stopService()
        self.assertNoResult(stopped)
        closing.callback(None)
        self.successResultOf(stopped)


class LogSinkTests(PipelineTestCase):
    """The sink for watching."""

    def test_line(self) -> None:
        """One line an event, without what the client said."""
        logged = self.logged()
        sink = LogSink()
        verifyObject(IEventSink, sink)
        fake = FakeSink()
        street = Street([fake])
        street.emit(Connection("a").message())
        results = self.successResultOf(sink.deliver(fake.accepted))
        self.assertEqual([type(result) for result in results], [Receipt])
        self.assertEqual([event["connection_id"] for event in logged], ["a"])
        self.successResultOf(sink.close())
