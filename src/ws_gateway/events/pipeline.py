"""The way of an event from a session to the sinks.

    emit -> filter -> stamp and encode, once -> bounds -> a line in each destination -> the sink

The pipeline is the only place that repeats deliveries and the only place where events wait.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import islice

from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from ws_gateway.domain.messages import Event, EventType
from ws_gateway.domain.views import RecordedEvent, SinkView
from ws_gateway.events.bounds import EVENT_OVERHEAD, Drop, Drops, QueueBounds
from ws_gateway.events.dead_letters import DeadLetter, DeadLetters
from ws_gateway.events.destination import Destination
from ws_gateway.events.keyed import KeyedDestination
from ws_gateway.events.lane import Waiting
from ws_gateway.events.limits import PipelineLimits, SinkLimits
from ws_gateway.events.recorder import NOT_SENT, TAKEN, EventRecorder
from ws_gateway.events.strain import Strain
from ws_gateway.events.streams import StreamDestination
from ws_gateway.interfaces import IEventEmitter, IEventSink, IMetrics, IReadiness, IStreamSink

__all__ = ["EventPipeline"]

_log = Logger()

_MESSAGE = EventType.MESSAGE_RECEIVED

# Past this part of the bound the node asks for no new clients.
_FAILED_ABOVE = 0.8


def _nobody(strained: bool) -> None:
    """Who is told where no client can be slowed down."""


@implementer(IEventEmitter, IReadiness)
class EventPipeline(Service):
    """Carries events to every sink, in order, until each sink took them or gave them up.

    :param sinks: of either kind; none of them means that events go nowhere.
    :param encode: makes the wire document of (event, event_id, occurred_at_ms).
    :param ids: makes event ids of Unix milliseconds, each sorting after the one before.
    :param clock: drives the retries.
    :param wall_ms: Unix milliseconds.
    :param random: numbers from 0 up to 1, for the jitter.
    :param types: the event types that are sent (`EVENTS_TYPES`).
    :param recorder: remembers the last events for operators; None remembers none.
    :param sink_limits: by the name of a sink, where it differs from `limits`.
    :param strained: told True when clients should be slowed down before something is lost, False when no
        longer; see `strain`.
    """

    name = "events"

    def __init__(
        self,
        sinks: Sequence[IEventSink | IStreamSink],
        encode: Callable[[Event, str, int], bytes],
        ids: Callable[[int], str],
        clock: IReactorTime,
        wall_ms: Callable[[], int],
        random: Callable[[], float],
        metrics: IMetrics,
        limits: PipelineLimits | None = None,
        types: Collection[EventType] = frozenset(EventType),
        recorder: EventRecorder | None = None,
        sink_limits: Mapping[str, SinkLimits] | None = None,
        strained: Callable[[bool], None] | None = None,
    ) -> None:
        limits = limits or PipelineLimits()
        self._encode = encode
        self._ids = ids
        self._wall_ms = wall_ms
        # Hashing an enum member is slow, so the usual case asks no set.
        self._unsent = frozenset(EventType) - frozenset(types)
        self._recorder = recorder
        self._bounds = QueueBounds(limits)
        self._drops = Drops(clock, metrics)
        self._dead_letters = DeadLetters(
            [sink.name for sink in sinks], limits.dead_letters, limits.dead_letter_bytes, metrics
        )
        self._destinations: list[Destination] = []
        self._strain = Strain(
            self._bounds.strain,
            clock,
            lambda: all(destination.flows for destination in self._destinations),
            lambda: self._bounds.bytes,
            strained or _nobody,
        )
        patience: Mapping[str, SinkLimits] = sink_limits or {}
        for sink in sinks:
            self._destinations.append(
                self._destination(sink, patience.get(sink.name, limits), clock, random, metrics)
            )
        self._sinks = len(self._destinations)
        self._puts = [destination.put for destination in self._destinations]
        # The others always have room.
        self._bounded_by_key = [d for d in self._destinations if isinstance(d, KeyedDestination)]
        self._waiting: dict[Waiting, None] = {}
        self._number = 0
        self._stopped = False
        self._drained: list[Deferred[None]] = []
        metrics.gauge("event_queue_events", "Events that wait for a sink.", lambda: self.waiting)
        metrics.gauge("event_queue_bytes", "Bytes that wait for a sink.", lambda: self.waiting_bytes)
        metrics.gauge(
            "event_queue_oldest_seconds", "Age of the oldest event that waits.", lambda: self.oldest_seconds
        )

    @property
    def waiting(self) -> int:
        """How many events wait, each counted once."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """What they count against the bound."""
        return self._bounds.bytes

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest of them has waited."""
        for waiting in islice(self._waiting, 1):
            return max(0, self._wall_ms() - waiting.occurred_at_ms) / 1000.0
        return 0.0

    @property
    def dead_letters(self) -> tuple[DeadLetter, ...]:
        """The newest events that were given up, oldest first."""
        return self._dead_letters.letters

    @property
    def max_bytes(self) -> int:
        """How many bytes of messages may wait."""
        return self._bounds.bytes_allowed(EventType.MESSAGE_RECEIVED)

    def sinks(self) -> tuple[SinkView, ...]:
        """Each sink and how its target is."""
        return tuple(destination.describe() for destination in self._destinations)

    def last_events(
        self, connection_id: str, limit: int, with_text: bool = False
    ) -> tuple[RecordedEvent, ...]:
        """The last events of a connection that are remembered, the newest last."""
        if self._recorder is None:
            return ()
        waiting = {waiting.number for waiting in self._waiting if waiting.connection_id == connection_id}
        dead = {letter.envelope.event_id for letter in self._dead_letters.letters}
        return self._recorder.last(connection_id, limit, waiting, dead, with_text)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is remembered of any key or connection."""
        return not self._waiting and all(destination.idle for destination in self._destinations)

    def emit(self, event: Event, accepted: Callable[[], None] | None = None) -> bool:
        event_type = event.type
        if not self._destinations or (self._unsent and event_type in self._unsent):
            if self._recorder is not None:
                self._recorder.record(event, NOT_SENT, self._wall_ms())
            self._tell(accepted)
            return True
        if self._stopped:
            return self._drop(event, Drop.STOPPED, accepted)
        key = connection_id = event.facts.connection_id
        try:
            stamp = event.stamp
            if stamp is None:
                occurred_at_ms = self._wall_ms()
                event_id = self._ids(occurred_at_ms)
            else:
                event_id = stamp.event_id
                occurred_at_ms = stamp.occurred_at_ms
            body = self._encode(event, event_id, occurred_at_ms)
        except Exception:
            _log.failure("event of connection {connection_id} has no wire form", connection_id=connection_id)
            return self._drop(event, Drop.NOT_ENCODABLE, accepted)
        if event_type is _MESSAGE:
            key = event.ordering_key or connection_id  # type: ignore[union-attr]
        bounds = self._bounds
        size = len(body) + EVENT_OVERHEAD
        total = bounds.bytes + size
        if total > bounds.max_bytes and total > bounds.bytes_allowed(event_type):
            return self._drop(event, Drop.QUEUE_FULL, accepted)
        if self._bounded_by_key and not self._has_room(key, event_type):
            return self._drop(event, Drop.KEY_FULL, accepted)
        bounds.bytes = total
        number = self._number = self._number + 1
        waiting = Waiting(
            event_id,
            event_type,
            connection_id,
            key,
            body,
            occurred_at_ms,
            event.traceparent,
            number,
            size,
            self._sinks,
            accepted,
        )
        self._waiting[waiting] = None
        if self._recorder is not None:
            self._recorder.record(event, TAKEN, occurred_at_ms, event_id, number)
        for put in self._puts:
            put(waiting)
        if bounds.bytes > self._strain.mark:
            self._strain.judge()
        return True

    def drain(self) -> Deferred[None]:
        """Wait until nothing waits. New events are still taken meanwhile, and waited for.

        :returns Deferred[None]: cancelling it gives up the waiting, not the events.
        """
        drained: Deferred[None] = Deferred(self._drained_cancelled)
        if self._waiting:
            self._drained.append(drained)
        else:
            drained.callback(None)
        return drained

    def readiness(self) -> tuple[str, str, str]:
        if self._bounds.fullness > _FAILED_ABOVE:
            return self.name, "failed", f"the event queue is {self._bounds.fullness:.0%} full"
        trouble = [destination.trouble for destination in self._destinations if destination.trouble]
        if trouble:
            return self.name, "degraded", "; ".join(trouble)
        return self.name, "ok", ""

    def stopService(self) -> Deferred[None]:
        """Deliver nothing any more, say in one line what is left undelivered, close the sinks.

        A delivery that is under way counts as undelivered: its outcome will not be known.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        if self._stopped:
            return gatherResults([]).addCallback(lambda _: None)
        self._stopped = True
        closing = [destination.stop() for destination in self._destinations]
        undelivered = list(self._waiting)
        self._waiting.clear()
        self._bounds.bytes = 0
        self._strain.stop()
        for waiting in undelivered:
            self._drops.stopped(waiting.type)
            self._tell(waiting.accepted)
        say = _log.warn if undelivered else _log.info
        say("event pipeline stopped; {undelivered} event(s) were not delivered", undelivered=len(undelivered))
        self._say_drained()
        return gatherResults(closing).addCallback(lambda _: None)

    def _destination(
        self,
        sink: IEventSink | IStreamSink,
        limits: SinkLimits,
        clock: IReactorTime,
        random: Callable[[], float],
        metrics: IMetrics,
    ) -> Destination:
        done, turned = self._sink_is_done, self._strain.judge
        if IStreamSink.providedBy(sink):
            return StreamDestination(sink, limits, clock, self._wall_ms, random, done, turned, metrics)
        letters = self._dead_letters
        return KeyedDestination(sink, limits, clock, self._wall_ms, random, letters, done, turned, metrics)

    def _has_room(self, key: str, event_type: EventType) -> bool:
        allowed = self._bounds.events_allowed(event_type)
        return all(destination.has_room(key, allowed) for destination in self._bounded_by_key)

    def _sink_is_done(self, settled: Sequence[Waiting]) -> None:
        everything, freed, told = self._waiting, 0, []
        for waiting in settled:
            waiting.sinks_left -= 1  # type: ignore[misc]  # the one thing about it that changes
            if not waiting.sinks_left:
                del everything[waiting]
                freed += waiting.size
                if waiting.accepted is not None:
                    told.append(waiting.accepted)
        self._bounds.bytes -= freed
        if self._strain.is_on:
            self._strain.judge()
        for accepted in told:
            self._tell(accepted)
        if self._drained and not self._waiting:
            self._say_drained()

    def _drop(self, event: Event, reason: Drop, accepted: Callable[[], None] | None) -> bool:
        self._drops.dropped(event.type, reason, event.facts.connection_id)
        if self._recorder is not None:
            self._recorder.record(event, reason.value, self._wall_ms())
        self._tell(accepted)
        return False

    def _tell(self, accepted: Callable[[], None] | None) -> None:
        if accepted is None:
            return
        try:
            accepted()
        except Exception:
            _log.failure("telling that an event was accepted failed")

    def _say_drained(self) -> None:
        drained, self._drained = self._drained, []
        for deferred in drained:
            deferred.callback(None)

    def _drained_cancelled(self, deferred: Deferred[None]) -> None:
        if deferred in self._drained:
            self._drained.remove(deferred)
