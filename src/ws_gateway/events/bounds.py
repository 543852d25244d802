"""What a pipeline may hold, and what becomes of an event that does not fit.

The rule: a message is taken while it fits into `max_bytes` and its key holds less than `max_per_key`.
`connected` and `disconnected` may go past both by the reserve (a tenth), because a backend that misses one
has a wrong picture for long, while a lost message shows as a gap in `seq`. Past the reserve they are refused
too: every queue has a bound. What is refused is always the newest, counted, and logged at a limited rate.
"""

from __future__ import annotations

from enum import StrEnum

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from ws_gateway.domain.messages import EventType
from ws_gateway.events.limits import PipelineLimits
from ws_gateway.interfaces import IMetrics

__all__ = ["EVENT_OVERHEAD", "Drop", "Drops", "QueueBounds"]

_log = Logger()

# An event that waits costs about this beside its body: envelope, ids, lane and their places in tables.
EVENT_OVERHEAD = 512

# At most one line in so many seconds says how many events were dropped.
_LOG_EVERY = 5.0

_MESSAGE = EventType.MESSAGE_RECEIVED


class QueueBounds:
    """Counts bytes against a bound.

    :ivar max_bytes: the bound for messages; the others may go past it by the reserve.
    :ivar strain: from where on clients are to be slowed down.
    """

    def __init__(self, limits: PipelineLimits) -> None:
        self.max_bytes = limits.max_bytes
        self._max_bytes_reserve = int(limits.max_bytes * (1 + limits.reserve))
        self._max_per_key = limits.max_per_key
        self._max_per_key_reserve = limits.max_per_key + max(1, int(limits.max_per_key * limits.reserve))
        self.strain = limits.max_bytes * limits.strain
        self.bytes = 0

    @property
    def fullness(self) -> float:
        """0 for nothing, 1 at the bound for messages."""
        return self.bytes / self.max_bytes

    def bytes_allowed(self, event_type: EventType) -> int:
        """How many bytes may wait when an event of this type has been taken."""
        return self.max_bytes if event_type is _MESSAGE else self._max_bytes_reserve

    def events_allowed(self, event_type: EventType) -> int:
        """How many events of its key may wait when an event of this type has been taken."""
        return self._max_per_key if event_type is _MESSAGE else self._max_per_key_reserve


class Drop(StrEnum):
    """Why an event was dropped: the label of `event_dropped_total` and the word in the log."""

    QUEUE_FULL = "queue_full"
    KEY_FULL = "key_full"
    NOT_ENCODABLE = "not_encodable"
    STOPPED = "stopped"


class Drops:
    """Counts and logs the events that never reached a sink."""

    def __init__(self, clock: IReactorTime, metrics: IMetrics) -> None:
        self._clock = clock
        self._counters = {
            (event_type, reason): metrics.counter(
                "event_dropped_total",
                "Events that were neither delivered nor kept as a dead letter.",
                {"type": event_type.value, "reason": reason.value},
            )
            for event_type in EventType
            for reason in Drop
        }
        self._unsaid = 0
        self._silent_until = float("-inf")

    def dropped(self, event_type: EventType, reason: Drop, connection_id: str) -> None:
        """One event is lost."""
        self._counters[event_type, reason].inc()
        self._unsaid += 1
        now = self._clock.seconds()
        if now < self._silent_until:
            return
        self._silent_until = now + _LOG_EVERY
        _log.error(
            "event dropped ({reason}): {event_type} of connection {connection_id};"
            " {count} dropped since the last line like this",
            reason=reason.value,
            event_type=event_type.value,
            connection_id=connection_id,
            count=self._unsaid,
        )
        self._unsaid = 0

    def stopped(self, event_type: EventType) -> None:
        """One event still waits at the end; the pipeline logs how many in one line."""
        self._counters[event_type, Drop.STOPPED].inc()
