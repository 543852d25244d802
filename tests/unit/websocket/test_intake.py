"""Clients are slowed down before anything of theirs is lost, and none of them suffers more than that."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from attrs import evolve
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.websocket.gate import QUIET, WALL, Gate, Line
from ws_gateway.domain import codec
from ws_gateway.events.ids import EventIds
from ws_gateway.events.limits import PipelineLimits
from ws_gateway.events.pipeline import EventPipeline
from ws_gateway.testing.frames import BINARY, CONTINUATION, PING, PONG, close_frame, frame
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.stream_sinks import FakeStreamSink
from ws_gateway.websocket.deadlines import Wheel
from ws_gateway.websocket.intake import MAX_PAUSE, RESUMED_AT_ONCE, SLICE_SECONDS, Intake

MESSAGE = frame(b'{"type":"chat"}')


class IntakeTests(SynchronousTestCase):
    """Clients of a gate whose events pile up, or do not."""

    def setUp(self) -> None:
        self.gate = Gate()
        self.gate.start()

    def paused(self) -> tuple[float, float]:
        """(clients that are paused, pauses so far)."""
        metrics = self.gate.metrics
        return metrics.value("ws_reads_paused"), metrics.value("ws_reads_paused_total")

    def is_paused(self, line: Line) -> bool:
        return line.producerState == "paused"

    def test_no_strain(self) -> None:
        """Without a strain nobody is paused."""
        client = self.gate.client()
        client.send(MESSAGE)
        self.assertFalse(self.is_paused(client))
        self.assertEqual(self.paused(), (0, 0))

    def test_who_sends_is_paused(self) -> None:
        """Under strain a client is paused with its next message, which is taken; one that is silent, or only
        answers pings, is not."""
        talker, silent = self.gate.client(), self.gate.client()
        self.gate.intake.strained(True)
        talker.send(MESSAGE)
        silent.send(frame(b"", PONG) + frame(b"", PING) + frame(b'{"type":"ping"}'))
        self.assertEqual((self.is_paused(talker), self.is_paused(silent)), (True, False))
        self.assertEqual(len(self.gate.emitter.messages), 1)
        self.assertEqual(self.paused(), (1, 1))

    def test_strain_within_a_chunk(self) -> None:
        """The message that brings the strain about is the last; those behind it are kept as they came."""
        client = self.gate.client()
        emit = self.gate.emitter.emit

        def straining(event: Any) -> None:
            emit(event)
            self.gate.intake.strained(True)

        self.gate.emitter.emit = straining
        client.send(MESSAGE * 3)
        self.assertEqual(len(self.gate.emitter.messages), 1)
        self.assertTrue(self.is_paused(client))
        self.gate.emitter.emit = emit
        self.gate.intake.strained(False)
        self.gate.clock.advance(0)
        self.assertEqual(len(self.gate.emitter.messages), 3)

    def test_every_kind_of_frame(self) -> None:
        """Messages that the fast lane leaves to Autobahn are no exception."""
        client = self.gate.client()
        self.gate.intake.strained(True)
        binary, pieces = frame(b"x", BINARY), frame(b"{", fin=False) + frame(b"}", CONTINUATION)
        client.send(binary + binary + pieces + pieces + MESSAGE)
        for count in range(1, 6):
            self.assertEqual(len(self.gate.emitter.messages), count)
            self.gate.advance(MAX_PAUSE + 0.25)
        self.assertEqual(len(self.gate.emitter.messages), 5)

    def test_delivered_while_paused(self) -> None:
        """A transport that brings more although it was told to pause (TLS does) only makes it wait."""
        client = self.gate.client()
        self.gate.intake.strained(True)
        client.send(MESSAGE)
        client.protocol.dataReceived(MESSAGE)
        self.assertEqual(len(self.gate.emitter.messages), 1)
        self.gate.intake.strained(False)
        self.gate.clock.advance(0)
        self.assertEqual(len(self.gate.emitter.messages), 2)

    def test_strain_is_over(self) -> None:
        """When the strain is over all go on, and nothing was lost."""
        clients = [self.gate.client() for _ in range(3)]
        self.gate.intake.strained(True)
        for client in clients:
            client.send(MESSAGE)
            client.send(MESSAGE)
        self.assertEqual(self.paused(), (3, 3))
        self.gate.intake.strained(False)
        self.gate.clock.advance(0)
        self.assertEqual(self.paused(), (0, 3))
        for client in clients:
            client.send()
        self.assertEqual(len(self.gate.emitter.messages), 6)

    def test_longest_pause(self) -> None:
        """After the longest pause a client is read from again, and paused again with its next message."""
        client = self.gate.client()
        self.gate.intake.strained(True)
        client.send(MESSAGE)
        client.send(MESSAGE)
        self.gate.advance(MAX_PAUSE - 0.5)
        late = self.gate.client()
        late.send(MESSAGE)
        self.gate.advance(1)
        self.assertEqual((self.is_paused(client), self.is_paused(late)), (False, True))
        client.send()
        self.assertEqual(len(self.gate.emitter.messages), 3)
        self.assertTrue(self.is_paused(client))
        self.gate.advance(MAX_PAUSE)
        self.assertFalse(self.is_paused(late))

    def test_gone(self) -> None:
        """When a client is lost in a pause, what was read of it is taken, then it is forgotten."""
        client = self.gate.client()
        self.gate.intake.strained(True)
        client.send(MESSAGE * 3)
        client.lose()
        self.assertEqual(self.paused()[0], 0)
        self.gate.intake.strained(False)
        self.gate.advance(MAX_PAUSE + 1)
        self.assertEqual(self.gate.emitter.types, ["connected", *["message_received"] * 3, "disconnected"])

    def test_kicked(self) -> None:
        """A client that is told to close is read from again, so that its answer is heard."""
        client = self.gate.client()
        self.gate.intake.strained(True)
        client.send(MESSAGE)
        client.send(MESSAGE)
        [connection] = self.gate.registry.everyone()
        connection.kick(4403, "out")
        self.assertFalse(self.is_paused(client))
        self.assertEqual(self.paused()[0], 0)
        client.send(close_frame(4403))
        self.assertEqual(client.received.close, (4403, "out"))
        self.assertTrue(client.disconnecting)
        client.lose()
        self.assertEqual(self.gate.emitter.endings[0].code, 4403)

    def test_goodbye_and_gone(self) -> None:
        """A client that says goodbye behind a message is heard when it goes on, or when it is gone."""
        client, hasty = self.gate.client(), self.gate.client()
        self.gate.intake.strained(True)
        for line in (client, hasty):
            line.send(MESSAGE + close_frame(1000))
        hasty.lose()
        self.assertEqual([ending.code for ending in self.gate.emitter.endings], [1000])
        self.gate.advance(MAX_PAUSE + 0.25)
        self.assertEqual(client.received.close, (1000, ""))


class Client:
    """Somebody who is paused."""

    def __init__(self, intake: Intake) -> None:
        self.reads = False
        intake.pause(self)

    def go_on_reading(self) -> None:
        self.reads = True


class TurnTests(SynchronousTestCase):
    """The end of a strain, turn by turn."""

    def setUp(self) -> None:
        self.turns: list[Callable[[], None]] = []
        self.clock = Clock()
        self.intake = Intake(Wheel(self.clock), self.turns.append, FakeMetrics())
        self.intake.strained(True)
        self.clients = [Client(self.intake) for _ in range(2 * RESUMED_AT_ONCE + 1)]
        self.intake.strained(False)

    def turn(self) -> int:
        """One turn of the reactor.

        :returns: how many are read from now.
        """
        [call] = self.turns
        self.turns.clear()
        call()
        return sum(client.reads for client in self.clients)

    def test_some_at_a_time(self) -> None:
        """They go on in the order in which they were paused, so many in each turn."""
        self.assertEqual(self.turn(), RESUMED_AT_ONCE)
        self.assertTrue(all(client.reads for client in self.clients[:RESUMED_AT_ONCE]))
        self.assertEqual(self.turn(), 2 * RESUMED_AT_ONCE)
        self.assertEqual(self.turn(), 2 * RESUMED_AT_ONCE + 1)
        self.assertEqual(self.turns, [])

    def test_slices(self) -> None:
        """Where what was read of them takes long, they are fewer."""
        for client in self.clients:
            client.go_on_reading = lambda: self.clock.advance(SLICE_SECONDS * 0.4)  # type: ignore[method-assign]
        paused = len(self.clients)
        for _ in range(3):
            self.turn()
            paused -= 3
            self.assertEqual(len(self.intake._paused), paused)

    def test_strain_comes_back(self) -> None:
        """The rest stay paused when the strain comes back, until it is over again."""
        self.turn()
        self.intake.strained(True)
        self.assertEqual(self.turn(), RESUMED_AT_ONCE)
        self.assertEqual(self.turns, [])
        self.intake.strained(False)
        self.intake.strained(False)
        self.assertEqual(self.turn(), 2 * RESUMED_AT_ONCE)

    def test_short_relief(self) -> None:
        """A strain that is over and comes back within a turn resumes nobody."""
        self.intake.strained(True)
        self.assertEqual(self.turn(), 0)

    def test_strain_of_the_resumed(self) -> None:
        """When one that goes on brings the strain back, those behind it in the same turn stay paused."""

        def straining() -> None:
            self.clients[3].reads = True
            self.intake.strained(True)

        self.clients[3].go_on_reading = straining
        self.assertEqual(self.turn(), 4)


class DeadlineTests(SynchronousTestCase):
    """Pings every 2 to 4 seconds, answers within 1: much less than the longest pause."""

    def setUp(self) -> None:
        rules = evolve(QUIET, ping_interval=4, ping_timeout=1)
        self.gate = Gate(session=rules)
        self.gate.start()

    def test_unread_pong(self) -> None:
        """A client is not dropped for a pong that we do not read, however often it is paused."""
        client = self.gate.client()
        self.gate.intake.strained(True)
        client.send(MESSAGE)
        pings = 0
        for _ in range(20):
            self.gate.advance(1)
            if client.received.frames[pings:]:
                pings = len(client.received.frames)
                client.send(MESSAGE)
                client.send(frame(b"", PONG))
            else:
                client.send()
        self.assertGreater(pings, 3)
        self.assertEqual(self.gate.emitter.endings, [])
        self.assertFalse(client.disconnecting)

    def test_pong_behind_much_else(self) -> None:
        """Nor when the pong lies far behind at the end of a pause."""
        client = self.gate.client()
        self.gate.advance(3.25)
        self.assertEqual(client.received.frames, [(0x80 | PING, b"")])
        self.gate.intake.strained(True)
        client.send(MESSAGE)
        self.gate.advance(4)
        self.gate.intake.strained(False)
        self.gate.advance(0.75)
        self.assertFalse(client.disconnecting)

    def test_dead(self) -> None:
        """A client that died in a pause is found out after it."""
        client = self.gate.client()
        self.gate.intake.strained(True)
        client.send(MESSAGE)
        self.gate.advance(MAX_PAUSE + 4 + 1 + 1)
        self.assertTrue(client.disconnecting)


class FloodTests(SynchronousTestCase):
    """A flood into a slow target, through everything from the socket to the sink."""

    def test_nothing_is_lost(self) -> None:
        """50,000 messages over 20 connections, many times what may wait, all arrive, in order, and few
        of them wait at any time."""
        clock = Clock()
        bound = 8 * 1024 * 1024
        sink = FakeStreamSink(max_batch=500, window=2, later=lambda call: clock.callLater(0.01, call))
        feed = Feed()
        gate = Gate(reactor=clock, emitter=feed)
        pipeline = EventPipeline(
            [sink],
            codec.encode_event,
            EventIds(random.Random(3).getrandbits),
            clock,
            lambda: WALL * 1000,
            lambda: 0.5,
            gate.metrics,
            PipelineLimits(max_bytes=bound),
            strained=gate.intake.strained,
        )
        feed.emit = pipeline.emit
        clients = [gate.client() for _ in range(20)]
        chunk = MESSAGE * 500
        chunks_left = dict.fromkeys(clients, 5)
        most = 0
        while chunks_left or pipeline.waiting:
            for client in list(chunks_left):
                if client.producerState == "producing":
                    client.send(chunk)
                    chunks_left[client] -= 1
                    if not chunks_left[client]:
                        del chunks_left[client]
            most = max(most, pipeline.waiting_bytes)
            clock.advance(0.001)
        self.assertEqual(gate.metrics.total("event_dropped_total"), 0)
        self.assertEqual(len(sink.streams["messages"]), 50_000)
        self.assertLess(most, bound / 2)
        self.assertGreater(gate.metrics.value("ws_reads_paused_total"), 20)
        self.assertEqual(gate.metrics.value("ws_reads_paused"), 0)
        numbers: dict[str, int] = {}
        for envelope in sink.streams["messages"]:
            seq = int(envelope.body.partition(b'"seq":')[2].partition(b",")[0])
            if seq != numbers.get(envelope.connection_id, 0) + 1:
                self.fail(f"{seq} comes after {numbers[envelope.connection_id]}")
            numbers[envelope.connection_id] = seq
        self.assertEqual(sink.violations, [])


class Feed:
    """An emitter that is decided upon later."""

    emit: Any = None
