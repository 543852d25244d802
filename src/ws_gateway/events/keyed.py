"""A sink that takes single events: a lane for each key, deliveries, retries.

A lane is in exactly one place: in line (`_ready`), under way, resting after a failure, or held by the gate.
One delivery carries the heads of up to `max_batch` lanes, never two events of one key: so a batch of which
only a part succeeds cannot change the order within a key.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.domain.messages import EventType
from ws_gateway.domain.views import SinkView
from ws_gateway.errors import EventFailed, EventRefused, TargetDown
from ws_gateway.events.dead_letters import DeadLetter, DeadLetters, Reason
from ws_gateway.events.destination import Done, SinkInstruments
from ws_gateway.events.gate import Gate
from ws_gateway.events.health import Target, TargetHealth
from ws_gateway.events.lane import Lane, Waiting
from ws_gateway.events.limits import SinkLimits
from ws_gateway.events.resting import RestingLanes
from ws_gateway.interfaces import IEventSink, IMetrics

__all__ = ["KeyedDestination"]

_log = Logger()

_MESSAGE = EventType.MESSAGE_RECEIVED

PATIENCE = 3
"""Setbacks of one event that say nothing about the event."""


class KeyedDestination:
    """Feeds an IEventSink; a Destination.

    :param wall_ms: Unix milliseconds, as events are stamped with.
    :param turned: called when deliveries flow no longer, or again.
    """

    def __init__(
        self,
        sink: IEventSink,
        limits: SinkLimits,
        clock: IReactorTime,
        wall_ms: Callable[[], int],
        random: Callable[[], float],
        dead_letters: DeadLetters,
        done: Done,
        turned: Callable[[], None],
        metrics: IMetrics,
    ) -> None:
        self._sink = sink
        self._limits = limits
        self._clock = clock
        self._wall_ms = wall_ms
        self._random = random
        self._dead_letters = dead_letters
        self._done = done
        self._concurrency = limits.concurrency
        self._max_batch = sink.max_batch
        self._lanes: dict[str, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._gate = Gate()
        self._resting = RestingLanes(clock, self._rested)
        self._health = TargetHealth(sink.name, limits, clock, random, self._pump, turned)
        self._in_flight = 0
        self._waiting = 0
        self._pumping = False
        self._stopped = False
        self._end_of_turn: IDelayedCall | None = None
        self._instruments = SinkInstruments.of(sink.name, metrics, lambda: self._health.is_up)

    @property
    def flows(self) -> bool:
        """See Destination."""
        return self._health.is_up

    @property
    def trouble(self) -> str | None:
        """See Destination."""
        if self._health.is_up:
            return None
        return f"{self._sink.name} target is down: {self._health.detail}"

    @property
    def idle(self) -> bool:
        """See Destination."""
        return not self._lanes and not self._ready and not self._resting and self._gate.empty

    def describe(self) -> SinkView:
        """See Destination."""
        health = self._health
        return SinkView(self._sink.name, self._waiting, self._in_flight, health.state.value, health.detail)

    def has_room(self, key: str, allowed: int) -> bool:
        """See Destination."""
        lane = self._lanes.get(key)
        return lane is None or len(lane) < allowed

    def put(self, waiting: Waiting) -> None:
        """See Destination."""
        key = waiting.key
        self._waiting += 1
        if waiting.type is not _MESSAGE or key != waiting.connection_id:
            self._gate.entered(waiting)
        lane = self._lanes.get(key)
        if lane is not None:
            lane.append(waiting)
            return
        lane = self._lanes[key] = Lane(key, waiting)
        self._line_up(lane)
        if self._max_batch == 1:
            self._pump()
        elif self._end_of_turn is None:
            # What one turn of the reactor brings leaves as one batch.
            self._end_of_turn = self._clock.callLater(0, self._turn_ended)

    def stop(self) -> Deferred[None]:
        """See Destination."""
        self._stopped = True
        self._health.stop()
        self._resting.stop()
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

    def _line_up(self, lane: Lane) -> None:
        head = lane.head
        at_home = head.type is _MESSAGE and lane.key == head.connection_id
        if at_home or not self._gate.holds(lane):
            self._ready.append(lane)

    def _rested(self, lane: Lane) -> None:
        self._ready.append(lane)
        self._pump()

    def _pump(self) -> None:
        """Offer as much as may be offered now. A sink that answers at once does not make this recurse."""
        if self._pumping or self._stopped:
            return
        self._pumping = True
        try:
            while self._ready and self._in_flight < self._concurrency and not self._stopped:
                state = self._health.state
                if state is Target.UP:
                    self._offer(self._next_batch(), probe=False)
                elif state is Target.DUE:
                    self._health.probe_left()
                    self._offer([self._take_probe()], probe=True)
                else:
                    break
        finally:
            self._pumping = False

    def _next_batch(self) -> list[Lane]:
        ready = self._ready
        if self._max_batch == 1:
            return [ready.popleft()]
        return [ready.popleft() for _ in range(min(len(ready), self._max_batch))]

    def _take_probe(self) -> Lane:
        """The oldest event in line; one with many setbacks stands behind those with fewer.

        So an event that makes a sound target fail, or hang, cannot hold up the others as an eternal probe.
        """
        lane = min(self._ready, key=lambda lane: (lane.setbacks // PATIENCE, lane.head.number))
        self._ready.remove(lane)
        return lane

    def _offer(self, lanes: list[Lane], probe: bool) -> None:
        self._in_flight += 1
        try:
            answer = self._sink.deliver([lane.head for lane in lanes])
        except Exception:
            answer = fail(Failure())
        answer.addBoth(self._settled, lanes, probe)
        answer.addErrback(self._broken)

    def _broken(self, failure: Failure) -> None:
        _log.failure("settling a delivery to {sink} failed", failure, sink=self._sink.name)

    # What comes back.

    def _settled(self, results: Any, lanes: list[Lane], probe: bool) -> None:
        self._in_flight -= 1
        if self._stopped:
            return
        oldest: Waiting | None = None
        taken = 0
        for lane, result in zip(lanes, self._checked(results, len(lanes)), strict=True):
            if isinstance(result, Failure):
                self._failed(lane, result, probe)
            else:
                waiting = lane.head
                if oldest is None or waiting.number < oldest.number:
                    oldest = waiting
                taken += 1
                self._health.answered(probe)
                self._finished(lane)
        if oldest is not None:
            self._instruments.taken(taken, oldest.occurred_at_ms, self._wall_ms())
        self._pump()

    def _checked(self, results: Any, expected: int) -> Sequence[Any]:
        """One result for each event, whatever the sink answered."""
        if isinstance(results, list) and len(results) == expected:
            return results
        if isinstance(results, Failure):
            _log.failure("the sink {sink} failed as a whole", results, sink=self._sink.name)
            return [results] * expected
        error = EventFailed(f"the sink answered {type(results).__name__}, not {expected} results")
        return [Failure(error)] * expected

    def _failed(self, lane: Lane, failure: Failure, probe: bool) -> None:
        error = failure.value
        if isinstance(error, TargetDown):
            self._target_failed(lane, error, probe)
        elif isinstance(error, EventRefused):
            self._health.answered(probe)
            self._give_up(lane, Reason.REFUSED, lane.attempts + 1, error.detail)
        else:
            if not isinstance(error, EventFailed):
                # A sink that breaks its word costs its own events their attempts, nothing else.
                _log.failure("the sink {sink} failed in an unknown way", failure, sink=self._sink.name)
                error = EventFailed(f"unexpected {type(error).__name__}")
            self._event_failed(lane, error, probe)

    def _target_failed(self, lane: Lane, error: TargetDown, probe: bool) -> None:
        self._instruments.retries.inc()
        took_it_down = self._health.is_up
        self._health.target_down(probe, error.detail, error.retry_after)
        if took_it_down or probe:
            lane.setbacks += 1
        if took_it_down and lane.setbacks > PATIENCE:
            # The target comes back for others and goes down with this one again and again: perhaps it is
            # this event that it hangs on. It is never given up for that, but it gets out of the others' way.
            rounds = lane.setbacks - PATIENCE - 1
            self._resting.rest(lane, self._limits.backoff.delay(rounds, self._random(), error.retry_after))
        else:
            self._ready.appendleft(lane)

    def _event_failed(self, lane: Lane, error: EventFailed, probe: bool) -> None:
        self._health.event_failed(probe, lane.key, error.detail, error.retry_after)
        if probe:
            self._instruments.retries.inc()
            lane.setbacks += PATIENCE
            self._ready.append(lane)
            return
        lane.attempts += 1
        if lane.attempts >= self._limits.attempts:
            self._give_up(lane, Reason.ATTEMPTS, lane.attempts, error.detail)
            return
        self._instruments.retries.inc()
        delay = self._limits.backoff.delay(lane.attempts - 1, self._random(), error.retry_after)
        self._resting.rest(lane, delay)

    def _give_up(self, lane: Lane, reason: Reason, attempts: int, detail: str) -> None:
        self._dead_letters.add(DeadLetter(self._sink.name, lane.head, reason, attempts, detail))
        self._finished(lane)

    def _finished(self, lane: Lane) -> None:
        """The head is through. Lanes are settled before anybody is told, who might emit again."""
        waiting = lane.head
        self._waiting -= 1
        if lane.advance():
            self._line_up(lane)
        else:
            del self._lanes[lane.key]
        if waiting.type is not _MESSAGE or waiting.key != waiting.connection_id:
            self._ready.extend(self._gate.left(waiting))
        self._done((waiting,))
