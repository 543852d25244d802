"""What the pipeline knows of the places where events wait, one for each sink.

There are two kinds. `keyed` keeps the order of each key by itself, so that an event that fails holds up
nothing but its key. `streams` feeds a sink that keeps the order of a whole stream, run by run, and costs an
event little more than its place in a queue.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from attrs import frozen
from twisted.internet.defer import Deferred

from ws_gateway.domain.views import SinkView
from ws_gateway.events.lane import Waiting
from ws_gateway.interfaces import ICounter, IHistogram, IMetrics

__all__ = ["Destination", "Done", "SinkInstruments"]

Done = Callable[[Sequence[Waiting]], None]
"""Told of the events that a sink took or gave up, after everything else about them is settled."""

AGE_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)


class Destination(Protocol):
    """One sink, everything that waits for it, and how its target is."""

    @property
    def flows(self) -> bool:
        """Whether everything that waits here is on its way, as far as anybody knows."""

    @property
    def trouble(self) -> str | None:
        """Why something is not delivered at the moment, or None."""

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing at all is left behind of any key, stream or connection."""

    def describe(self) -> SinkView:
        """The sink and its target, for operators."""

    def has_room(self, key: str, allowed: int) -> bool:
        """Whether one more event of a key may wait here."""

    def put(self, waiting: Waiting) -> None:
        """Take an event; it is delivered or given up sooner or later."""

    def stop(self) -> Deferred[None]:
        """Offer nothing any more and close the sink.

        :returns Deferred[None]: fires when the sink is closed; a failure to close is logged.
        """


@frozen
class SinkInstruments:
    """What is counted for each sink.

    :ivar age: observed once for a delivery, not for each event: that costs a tenth of an event's whole way.
    """

    delivered: ICounter
    retries: ICounter
    age: IHistogram

    @classmethod
    def of(cls, sink: str, metrics: IMetrics, is_up: Callable[[], bool]) -> SinkInstruments:
        """All at zero.

        :param is_up: whether deliveries flow.
        """
        labels = {"sink": sink}
        metrics.gauge(
            "event_target_up",
            "1 while deliveries to a sink's target flow, 0 while it is probed.",
            lambda: float(is_up()),
            labels,
        )
        return cls(
            metrics.counter("event_delivered_total", "Events that a sink took.", labels),
            metrics.counter("event_retries_total", "Deliveries that have to be repeated.", labels),
            metrics.histogram(
                "event_queue_age_seconds",
                "Time from an event to its being taken: of the oldest event in each delivery"
                " that a sink took.",
                AGE_BUCKETS,
                labels,
            ),
        )

    def taken(self, count: int, oldest_ms: int, now_ms: int) -> None:
        """A delivery arrived.

        :param oldest_ms: when the oldest of its events occurred.
        """
        self.delivered.inc(count)
        # The wall clock may be set back meanwhile.
        self.age.observe(max(0, now_ms - oldest_ms) / 1000.0)
