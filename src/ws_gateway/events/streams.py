"""A sink that takes runs of events: a line for each stream, several runs of it under way, repetitions.

Everything about a stream is its own: its order, what is under way, and whether it flows. So a stream that
cannot be written (its key is of another type, say) holds up no other one, and a target that is down is
noticed by each of its streams for itself. When one of them comes back, the others do not wait out their
back-off.

| a line | meaning | is left by |
|---|---|---|
| flows | up to `window` runs are under way | a run that fails -> settles |
| settles | runs are under way, nothing is offered | the last one ends, what failed is put back -> waits |
| waits | nothing is offered | the end of the back-off, or another stream that is back -> probes |
| probes | one run is under way | it fails -> waits (longer); it is taken -> flows |

A line with neither events nor runs is forgotten. Here nothing is bounded for each key: a stream holds the
events of all keys in one line, so a key that talks much delays the others and costs what it costs against
the one bound in bytes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.domain.views import SinkView
from ws_gateway.errors import TargetDown
from ws_gateway.events.destination import Done, SinkInstruments
from ws_gateway.events.health import Target, TargetHealth
from ws_gateway.events.lane import Waiting
from ws_gateway.events.limits import SinkLimits
from ws_gateway.interfaces import IMetrics, IStreamSink

__all__ = ["StreamDestination"]

_log = Logger()

LOUD = 4
"""Streams that are down at the same time and say so in the log; partitions may be a thousand."""

PROBES_A_SECOND = 100
"""About so many streams that are down are tried, however many they are: a target that is away answers none of
them, and the first that it answers is news for all."""

LONGEST_PAUSE = 30.0
"""Seconds that a stream is kept waiting for that."""


@define(eq=False)
class Line:
    """What waits for one stream.

    :ivar listens: whether it could offer more than it has, so that the next event must set it going.
    :ivar in_line: whether it stands in line for its turn to offer.
    :ivar under_way: how many runs are.
    :ivar failed: runs that failed, while others are still under way.
    :ivar health: of the stream while it is down; None while it flows.
    """

    stream: str
    waiting: deque[Waiting] = field(factory=deque, repr=False)
    listens: bool = True
    in_line: bool = False
    under_way: int = 0
    failed: list[list[Waiting]] = field(factory=list, repr=False)
    health: TargetHealth | None = None


class StreamDestination:
    """Feeds an IStreamSink; a Destination.

    :param wall_ms: Unix milliseconds, as events are stamped with.
    :param turned: called when a stream flows no longer, or again.
    """

    def __init__(
        self,
        sink: IStreamSink,
        limits: SinkLimits,
        clock: IReactorTime,
        wall_ms: Callable[[], int],
        random: Callable[[], float],
        done: Done,
        turned: Callable[[], None],
        metrics: IMetrics,
    ) -> None:
        self._sink = sink
        self._limits = limits
        self._clock = clock
        self._wall_ms = wall_ms
        self._random = random
        self._done = done
        self._turned = turned
        self._stream_of = sink.stream_of
        self._max_batch = sink.max_batch
        self._window = sink.window
        self._lines: dict[str, Line] = {}
        self._down: dict[str, Line] = {}
        self._ready: deque[Line] = deque()
        self._in_flight = 0
        self._offered = 0
        self._pumping = False
        self._stopped = False
        self._hastened_until = float("-inf")
        self._end_of_turn: IDelayedCall | None = None
        self._instruments = SinkInstruments.of(sink.name, metrics, lambda: self.flows)

    @property
    def flows(self) -> bool:
        """See Destination."""
        return not self._down

    @property
    def trouble(self) -> str | None:
        """See Destination."""
        detail = self._detail
        if not detail:
            return None
        if len(self._down) == len(self._lines):
            return f"{self._sink.name} target is down: {detail}"
        return (
            f"{self._sink.name} target is down for {len(self._down)} of {len(self._lines)} streams: {detail}"
        )

    @property
    def idle(self) -> bool:
        """See Destination."""
        return not self._lines and not self._ready

    def describe(self) -> SinkView:
        """See Destination."""
        states = [line.health.state for line in self._down.values() if line.health is not None]
        state = states[0] if states else Target.UP
        waiting = self._offered
        for line in self._lines.values():
            waiting += len(line.waiting) + sum(len(run) for run in line.failed)
        return SinkView(self._sink.name, waiting, self._in_flight, state.value, self._detail)

    def has_room(self, key: str, allowed: int) -> bool:
        """See Destination: there are no lines of keys that could be full."""
        return True

    def put(self, waiting: Waiting) -> None:
        """See Destination."""
        stream = self._stream_of(waiting)
        line = self._lines.get(stream)
        if line is None:
            line = self._lines[stream] = Line(stream)
        queue = line.waiting
        queue.append(waiting)
        if line.listens:
            self._line_up(line)
            if self._end_of_turn is None:
                # What one turn of the reactor brings leaves as one run ..
                self._end_of_turn = self._clock.callLater(0, self._turn_ended)
        elif len(queue) == self._max_batch:
            self._pump()  # .. and a whole run need not wait for it.

    def stop(self) -> Deferred[None]:
        """See Destination."""
        self._stopped = True
        for line in self._down.values():
            if line.health is not None:
                line.health.stop()
        if self._end_of_turn is not None:
            self._end_of_turn.cancel()
            self._end_of_turn = None
        closed: Deferred[None] = maybeDeferred(self._sink.close)
        return closed.addErrback(
            lambda failure: _log.failure("closing the sink {sink} failed", failure, sink=self._sink.name)
        )

    # What leaves.

    def _turn_ended(self) -> None:
        self._end_of_turn = None
        self._pump()

    def _line_up(self, line: Line) -> None:
        line.listens = False
        line.in_line = True
        self._ready.append(line)

    def _may_offer(self, line: Line) -> bool:
        if line.failed:
            return False
        if line.health is None:
            return line.under_way < self._window
        return line.health.state is Target.DUE

    def _go_on(self, line: Line) -> None:
        """Something about a line has changed: find its place."""
        if line.in_line:
            return
        may_offer = self._may_offer(line)
        if not line.waiting:
            line.listens = may_offer
            if not line.under_way and self._lines.get(line.stream) is line:
                del self._lines[line.stream]
        elif may_offer:
            self._line_up(line)

    def _pump(self) -> None:
        """Offer as much as may be offered now. A sink that answers at once does not make this recurse."""
        if self._pumping or self._stopped:
            return
        self._pumping = True
        ready = self._ready
        try:
            while ready and self._in_flight < self._limits.concurrency and not self._stopped:
                line = ready.popleft()
                line.in_line = False
                if self._may_offer(line):
                    self._offer(line)
                self._go_on(line)
        finally:
            self._pumping = False

    def _offer(self, line: Line) -> None:
        queue = line.waiting
        if len(queue) <= self._max_batch:
            run = list(queue)
            queue.clear()
        else:
            take = queue.popleft
            run = [take() for _ in range(self._max_batch)]
        probe = line.health is not None
        if line.health is not None:
            line.health.probe_left()
        line.under_way += 1
        self._in_flight += 1
        self._offered += len(run)
        try:
            answer = self._sink.append(line.stream, run)
        except Exception:
            answer = fail(Failure())
        answer.addCallbacks(self._taken, self._failed, (line, run, probe), {}, (line, run, probe), {})
        answer.addErrback(self._broken)

    def _broken(self, failure: Failure) -> None:
        _log.failure("settling a run for {sink} failed", failure, sink=self._sink.name)

    # What comes back.

    def _taken(self, _: Any, line: Line, run: list[Waiting], probe: bool) -> None:
        self._ended(line, run)
        if self._stopped:
            return
        self._instruments.taken(len(run), run[0].occurred_at_ms, self._wall_ms())
        if probe:
            self._is_back(line)
        self._settle(line)
        # Lines are settled before anybody is told, who might emit again.
        self._done(run)
        self._pump()

    def _failed(self, failure: Failure, line: Line, run: list[Waiting], probe: bool) -> None:
        self._ended(line, run)
        if self._stopped:
            return
        error = failure.value
        if not isinstance(error, TargetDown):
            # A sink that breaks its word: whether it took them is not known.
            _log.failure("the sink {sink} failed in an unknown way", failure, sink=self._sink.name)
            error = TargetDown(f"unexpected {type(error).__name__}")
        self._instruments.retries.inc()
        line.failed.append(run)
        if line.health is None:
            line.health = TargetHealth(
                f"{self._sink.name} {line.stream}",
                self._limits,
                self._clock,
                self._random,
                lambda: self._due(line),
                self._turned,
                quiet=len(self._down) >= LOUD,
            )
            self._down[line.stream] = line
        line.health.target_down(probe, error.detail, error.retry_after, self._fair_pause())
        self._settle(line)
        self._pump()

    def _fair_pause(self) -> float:
        """How long a stream that is down leaves the probes to the others, at least."""
        return min(len(self._down) / PROBES_A_SECOND, LONGEST_PAUSE) * (1.0 + self._random()) / 2.0

    def _ended(self, line: Line, run: list[Waiting]) -> None:
        self._in_flight -= 1
        self._offered -= len(run)
        line.under_way -= 1

    def _settle(self, line: Line) -> None:
        """Put back what failed, in its old order, when nothing is under way any more."""
        if line.failed and not line.under_way:
            for run in sorted(line.failed, key=lambda run: run[0].number, reverse=True):
                line.waiting.extendleft(reversed(run))
            line.failed.clear()
        self._go_on(line)

    def _is_back(self, line: Line) -> None:
        health, line.health = line.health, None
        self._down.pop(line.stream, None)
        if health is not None:
            health.answered(probe=True)
        now = self._clock.seconds()
        if now < self._hastened_until:
            return  # a thousand of them may come back at once
        self._hastened_until = now + self._limits.backoff.base
        for other in list(self._down.values()):
            if other.health is not None:
                other.health.hasten()

    def _due(self, line: Line) -> None:
        self._go_on(line)
        self._pump()

    @property
    def _detail(self) -> str:
        """What was said last of the stream that has been down for the longest time."""
        for line in self._down.values():
            if line.health is not None:
                return line.health.detail
        return ""
