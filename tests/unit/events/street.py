"""What the tests of the pipeline share: events of a connection, and a pipeline with everything faked."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock

from ws_gateway.domain.messages import (
    Connected,
    ConnectionFacts,
    DisconnectCause,
    Disconnected,
    Envelope,
    Event,
    MessageReceived,
)
from ws_gateway.domain.retry import Backoff
from ws_gateway.events.ids import EventIds
from ws_gateway.events.limits import PipelineLimits
from ws_gateway.events.pipeline import EventPipeline
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.sinks import FakeSink

# No jitter to calculate with: the tests draw the largest number, so delays are 1, 2, 4, 8, 16, 16, ..
BACKOFF = Backoff(base=1.0, maximum=16.0)
CHANCE = 1.0


class Connection:
    """Makes the events of one connection."""

    def __init__(self, connection_id: str) -> None:
        self.facts = ConnectionFacts(connection_id, "7", ("user:7",), 1_700_000_000, "node-1")
        self.seq = 0

    def connected(self) -> Connected:
        """Its first event."""
        return Connected(self.facts, b"", None)

    def message(self, key: str | None = None, raw: str = "{}") -> MessageReceived:
        """Its next message."""
        self.seq += 1
        strategy = None if key is None else "topic"
        return MessageReceived(self.facts, b"", self.seq, raw.encode(), raw, None, key, strategy)

    def disconnected(self) -> Disconnected:
        """Its last event."""
        return Disconnected(self.facts, b"", self.seq + 1, 1000, "", DisconnectCause.CLIENT)


def encode(event: Event, event_id: str, occurred_at_ms: int) -> bytes:
    """A body that says which event it is: `<connection>/<seq>`, and is as long as the message."""
    label = f"{event.facts.connection_id}/{event.seq}"
    return label.ljust(len(getattr(event, "raw", ""))).encode()


def labels(envelopes: Sequence[Envelope]) -> list[str]:
    """Which events these are."""
    return [envelope.body.decode().strip() for envelope in envelopes]


class Street:
    """A pipeline on fakes.

    :param sinks: how many fake sinks, or the sinks.
    :ivar strains: what the pipeline said of the strain on it, in order.
    """

    def __init__(self, sinks: int | list[Any] = 1, **limits: Any) -> None:
        self.types = limits.pop("types", None)
        recorder = limits.pop("recorder", None)
        sink_limits = limits.pop("sink_limits", None)
        self.strains: list[bool] = []
        self.clock = Clock()
        self.metrics = FakeMetrics()
        self.sinks: list[Any] = (
            [FakeSink(f"sink{number}") for number in range(sinks)] if isinstance(sinks, int) else sinks
        )
        arguments: dict[str, Any] = {} if self.types is None else {"types": self.types}
        self.pipeline = EventPipeline(
            self.sinks,
            encode,
            EventIds(random.Random(3).getrandbits),
            self.clock,
            self.wall_ms,
            lambda: CHANCE,
            self.metrics,
            PipelineLimits(**{"backoff": BACKOFF, **limits}),
            recorder=recorder,
            sink_limits=sink_limits,
            strained=self.strains.append,
            **arguments,
        )
        self.pipeline.startService()
        self.emit = self.pipeline.emit

    @property
    def sink(self) -> Any:
        """The only sink."""
        [sink] = self.sinks
        return sink

    def wall_ms(self) -> int:
        """The wall clock goes with the other one."""
        return 1_700_000_000_000 + int(self.clock.seconds() * 1000)

    def offered(self) -> list[str]:
        """What was offered to the only sink, in order."""
        return labels(self.sink.offered)
