"""From an inbox to the application: one event after the other, again until it is done, and acknowledged.

An event that the application fails on is tried again, the ones behind it wait: so their order holds. After
the last attempt it becomes a dead letter. An event that was brought too often without an answer, because the
process died with it each time, becomes one without a further attempt.

| state | what happens | a stop |
|---|---|---|
| IDLE | before the start, and after the end | |
| WAITING | for events | ends it at once |
| CALLING | the application is at work | lets it end with the event in hand, for a while |
| RESTING | until the next attempt | ends it at once: the event comes again |
| TELLING | the broker is told what is done, or gets a dead letter | lets it be told, for a while |
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any

from attrs import field, frozen
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredList, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.backend import Event, EventInvalid, EventUnknown, parse_event
from ws_gateway.consumer.calling import IApplication, Outcome
from ws_gateway.domain.messages import Entry
from ws_gateway.domain.retry import Backoff
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IInbox

__all__ = ["Rules", "State", "Worker"]

_log = Logger()

_PROGRESS_SECONDS = 10.0
_MOST_REASON = 500

Job = tuple[Entry, Event]


class State(Enum):
    """The states of the table above."""

    IDLE = "idle"
    WAITING = "waiting"
    CALLING = "calling"
    RESTING = "resting"
    TELLING = "telling"


_ENDED_AT_ONCE = (State.WAITING, State.RESTING)


@frozen
class Rules:
    """How events are worked on.

    :ivar attempts: how often an event is tried.
    :ivar at_once: how many are given to the application together. 1: each is acknowledged before the next
        begins. More: after the death of the process those that were done last may come again.
    :ivar limit: after so many events the worker is finished; None: never.
    :ivar grace: seconds that the event in hand may still take when the service stops.
    """

    attempts: int = 8
    backoff: Backoff = field(factory=Backoff)
    at_once: int = 100
    limit: int | None = None
    grace: float = 10.0


_RULES = Rules()


class Worker(Service):
    """See the module.

    :param random: a number, 0 <= number < 1, for the waiting times between attempts.
    :param finished: called once, when the limit is reached.
    """

    def __init__(
        self,
        inbox: IInbox,
        application: IApplication,
        clock: IReactorTime,
        random: Callable[[], float],
        rules: Rules = _RULES,
        finished: Callable[[], object] = lambda: None,
    ) -> None:
        self._inbox = inbox
        self._application = application
        self._clock = clock
        self._random = random
        self._rules = rules
        self._finished = finished
        self._life: Deferred[None] = succeed(None)
        self._told: list[Deferred[None]] = []
        self._progress = LoopingCall(self._say_progress)
        self._progress.clock = clock
        self._said = 0
        self.state = State.IDLE
        self.done = 0
        self.failed = 0
        self.given_up = 0

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._life = Deferred.fromCoroutine(self._live()).addErrback(self._not_our_plan)
        self._progress.start(_PROGRESS_SECONDS, now=False).addErrback(self._not_our_plan)

    def stopService(self) -> Deferred[None]:
        """Take nothing more. The event in hand may come to its end for a while; what does not is not
        acknowledged, and comes again.

        :returns Deferred[None]: when that is over.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        if self._progress.running:
            self._progress.stop()
        self._application.halt()
        life, self._life = self._life, succeed(None)
        if self.state in _ENDED_AT_ONCE:
            life.cancel()
        alarm = self._clock.callLater(self._rules.grace, life.cancel)

        def over(_: Any) -> None:
            self.state = State.IDLE
            if alarm.active():
                alarm.cancel()

        return life.addBoth(over)

    async def _live(self) -> None:
        while self.running:
            room = self._room()
            if room == 0:
                self.state = State.IDLE
                self._finished()
                return
            self.state = State.WAITING
            entries = await self._inbox.next(room)
            await self._work(await self._jobs(entries))

    def _room(self) -> int:
        """How many events more are wanted now."""
        most, limit = self._rules.at_once, self._rules.limit
        return most if limit is None else min(most, limit - self.done - self.given_up)

    async def _jobs(self, entries: Sequence[Entry]) -> list[Job]:
        """What there is for the application to do; the rest is dealt with."""
        jobs = []
        for entry in entries:
            try:
                event = parse_event(entry.body)
            except EventUnknown as news:
                _log.info("event of the unknown type {type} passed over", type=news.type[:64])
                self._acknowledge([entry])
            except EventInvalid as error:
                await self._give_up(entry, f"no event: {error}")
            else:
                # The first time is forgiven: nobody knows whether it was in hand when the process died.
                if entry.deliveries > self._rules.attempts + 1:
                    why = f"brought {entry.deliveries} times and never acknowledged"
                    await self._give_up(entry, why)
                else:
                    jobs.append((entry, event))
        await self._all_told()
        return jobs

    async def _work(self, jobs: list[Job]) -> None:
        failures = 0
        while jobs and self.running:
            outcome = await self._call(jobs)
            if outcome.done:
                failures = 0
                jobs = jobs[outcome.done :]
            await self._all_told()
            if outcome.failure is None:
                continue
            failures += 1
            self.failed += 1
            self._say_failure(*jobs[0], outcome.failure, failures)
            if failures >= self._rules.attempts:
                entry, _ = jobs.pop(0)
                await self._give_up(entry, f"failed {failures} times: {_sentence(outcome.failure)}")
                failures = 0
            elif self.running:
                self.state = State.RESTING
                await deferLater(self._clock, self._rules.backoff.delay(failures - 1, self._random()))

    def _call(self, jobs: Sequence[Job]) -> Deferred[Outcome]:
        """Have the application work, and acknowledge what it is done with meanwhile."""
        told = 0

        def so_far(done: int) -> None:
            nonlocal told
            if done > told:
                self._acknowledge([entry for entry, _ in jobs[told:done]])
                told = done

        def over(outcome: Outcome) -> Outcome:
            so_far(outcome.done)
            return outcome

        self.state = State.CALLING
        return self._application.call([event for _, event in jobs], so_far).addCallback(over)

    def _acknowledge(self, entries: Sequence[Entry]) -> None:
        self.done += len(entries)
        last = entries[-1]
        _log.debug(
            "{count} done, up to {position} of {source}",
            count=len(entries),
            position=last.position.decode(),
            source=last.source,
        )
        self._told.append(self._inbox.acknowledge(entries).addErrback(self._not_acknowledged))

    def _not_acknowledged(self, failure: Failure) -> None:
        if failure.check(BrokerDown, BrokerRefused):
            _log.warn("events were not acknowledged and may come again: {detail}", detail=str(failure.value))
        elif not failure.check(CancelledError):
            _log.failure("acknowledging failed within us", failure)

    async def _all_told(self) -> None:
        """Wait until the broker knows what is done: so no more than one handful is ever in doubt."""
        told, self._told = [one for one in self._told if not one.called], []
        if told:
            self.state = State.TELLING
            await DeferredList(told)

    async def _give_up(self, entry: Entry, reason: str) -> None:
        """Make it a dead letter. While the broker is away that waits for it; nothing else could be done."""
        self.state = State.TELLING
        _log.error(
            "event given up: {reason}",
            reason=reason,
            source=entry.source,
            position=entry.position.decode(),
        )
        self.given_up += 1
        failures = 0
        while True:
            try:
                await self._inbox.give_up(entry, reason)
            except BrokerRefused as error:
                _log.error(
                    "a dead letter could not be written, the event stays unacknowledged: {detail}",
                    detail=str(error),
                )
                return
            except BrokerDown as error:
                if not failures:
                    _log.warn("a dead letter waits: {detail}", detail=str(error))
                if not self.running:
                    return  # it comes again
            else:
                return
            self.state = State.RESTING
            await deferLater(self._clock, self._rules.backoff.delay(failures, self._random()))
            self.state = State.TELLING
            failures += 1

    def _say_failure(self, entry: Entry, event: Event, failure: Failure, attempt: int) -> None:
        _log.failure(
            "the application failed on {type} {event_id} (attempt {attempt} of {attempts})",
            failure,
            type=event.type,
            event_id=event.event_id,
            source=entry.source,
            attempt=attempt,
            attempts=self._rules.attempts,
        )

    def _say_progress(self) -> None:
        if self.done + self.given_up > self._said:
            self._said = self.done + self.given_up
            _log.info(
                "{done} events done, {failed} attempts failed, {given_up} given up ({broker})",
                done=self.done,
                failed=self.failed,
                given_up=self.given_up,
                broker=self._inbox.name,
            )

    def _not_our_plan(self, failure: Failure) -> None:
        self.state = State.IDLE
        if not failure.check(CancelledError):
            _log.failure("consuming is over", failure)
            self._finished()


def _sentence(failure: Failure) -> str:
    return f"{type(failure.value).__name__}: {failure.getErrorMessage()}"[:_MOST_REASON]
