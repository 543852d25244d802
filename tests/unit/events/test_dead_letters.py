"""The ring of dead letters."""

from __future__ import annotations

from attrs import evolve
from twisted.logger import LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.events.dead_letters import DeadLetter, DeadLetters, Reason
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.sinks import make_envelope


def letter(number: int, size: int = 10) -> DeadLetter:
    """A dead letter whose body has so many bytes."""
    envelope = evolve(make_envelope(number), body=b"x" * size)
    return DeadLetter("webhook", envelope, Reason.REFUSED, 1, "the target answered 422")


class DeadLettersTests(SynchronousTestCase):
    """Bounded, counted, logged."""

    def ring(self, max_count: int = 3, max_bytes: int = 100) -> DeadLetters:
        """A ring with counters of one sink."""
        self.metrics = FakeMetrics()
        return DeadLetters(["webhook"], max_count, max_bytes, self.metrics)

    def test_count_bound(self) -> None:
        """The newest letters are kept."""
        ring = self.ring(max_count=3)
        letters = [letter(number) for number in range(5)]
        for each in letters:
            ring.add(each)
        self.assertEqual(ring.letters, tuple(letters[2:]))
        self.assertEqual(len(ring), 3)

    def test_bytes_bound(self) -> None:
        """Big letters push out more."""
        ring = self.ring(max_bytes=100)
        ring.add(letter(1, 60))
        ring.add(letter(2, 60))
        self.assertEqual([kept.envelope.event_id for kept in ring.letters], [make_envelope(2).event_id])

    def test_too_big(self) -> None:
        """A letter bigger than the bound is counted and logged, not kept; the room is free again."""
        ring = self.ring(max_bytes=100)
        ring.add(letter(1, 101))
        self.assertEqual(len(ring), 0)
        ring.add(letter(2, 100))
        self.assertEqual(len(ring), 1)
        self.assertEqual(self.metrics.value("event_dead_letters_total", sink="webhook", reason="refused"), 2)

    def test_counters_exist_at_zero(self) -> None:
        """Each sink has a counter for each reason from the start."""
        self.ring()
        for reason in Reason:
            self.assertEqual(
                self.metrics.value("event_dead_letters_total", sink="webhook", reason=reason.value), 0
            )

    def test_log_line(self) -> None:
        """One line names the event and says why; what the client sent is not in it."""
        events: list[LogEvent] = []
        globalLogPublisher.addObserver(events.append)
        self.addCleanup(globalLogPublisher.removeObserver, events.append)
        self.ring().add(letter(1))
        [event] = events
        self.assertEqual(event["event_id"], make_envelope(1).event_id)
        self.assertEqual(event["connection_id"], "c-1")
        self.assertEqual(event["event_type"], "message_received")
        self.assertEqual(event["attempts"], 1)
        self.assertEqual(event["detail"], "the target answered 422")
        self.assertNotIn("xxxxxxxxxx", repr(event))
