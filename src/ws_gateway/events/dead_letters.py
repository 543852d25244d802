"""Events that were given up: the newest stay in memory for a look, each leaves a line in the log."""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from attrs import frozen
from twisted.logger import Logger

from ws_gateway.domain.messages import Envelope
from ws_gateway.interfaces import IMetrics

__all__ = ["DeadLetter", "DeadLetters", "Reason"]

_log = Logger()


class Reason(StrEnum):
    """Why an event was given up: the label of `event_dead_letters_total`."""

    REFUSED = "refused"
    ATTEMPTS = "attempts"


@frozen
class DeadLetter:
    """An event that a sink gave up.

    :ivar attempts: how often it was tried.
    :ivar detail: what the target said last.
    """

    sink: str
    envelope: Envelope
    reason: Reason
    attempts: int
    detail: str


class DeadLetters:
    """A ring: when it is full in count or bytes the oldest makes room.

    :param sinks: the names of all sinks, so that every counter exists at zero.
    """

    def __init__(self, sinks: list[str], max_count: int, max_bytes: int, metrics: IMetrics) -> None:
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._letters: deque[DeadLetter] = deque()
        self._bytes = 0
        self._counters = {
            (sink, reason): metrics.counter(
                "event_dead_letters_total",
                "Events that a sink gave up, by reason.",
                {"sink": sink, "reason": reason.value},
            )
            for sink in sinks
            for reason in Reason
        }

    def __len__(self) -> int:
        return len(self._letters)

    @property
    def letters(self) -> tuple[DeadLetter, ...]:
        """What is kept, oldest first."""
        return tuple(self._letters)

    def add(self, letter: DeadLetter) -> None:
        """Count, log and keep."""
        envelope = letter.envelope
        self._counters[letter.sink, letter.reason].inc()
        _log.error(
            "dead letter: {sink} gave up {event_type} {event_id} of connection {connection_id}"
            " after {attempts} attempt(s): {detail}",
            sink=letter.sink,
            reason=letter.reason.value,
            event_type=envelope.type.value,
            event_id=envelope.event_id,
            connection_id=envelope.connection_id,
            attempts=letter.attempts,
            detail=letter.detail,
        )
        self._letters.append(letter)
        self._bytes += len(envelope.body)
        while self._letters and (len(self._letters) > self._max_count or self._bytes > self._max_bytes):
            self._bytes -= len(self._letters.popleft().envelope.body)
