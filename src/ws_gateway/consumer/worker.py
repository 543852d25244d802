"""From an inbox to the application: one event at a time, again until it is done, and then acknowledged.

An event that the application fails on is tried again, the ones behind it wait: so their order holds. After
the last attempt it becomes a dead letter. An event that was brought too often without an answer, because the
process died with it each time, becomes one without a further attempt.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.backend import Event, EventInvalid, EventUnknown, parse_event
from ws_gateway.domain.messages import Entry
from ws_gateway.domain.retry import Backoff
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IInbox

__all__ = ["Worker"]

_log = Logger()

_PROGRESS_SECONDS = 10.0
_MOST_REASON = 500


class Worker(Service):
    """See the module.

    :param consume: the application; its Deferred fires when it is done with the event.
    :param attempts: how often an event is tried.
    :param limit: after so many events the worker is finished; None: never.
    :param finished: called once, when it is.
    :param grace: seconds that the event in hand may still take when the service stops.
    """

    def __init__(
        self,
        inbox: IInbox,
        consume: Callable[[Event], Deferred[Any]],
        clock: IReactorTime,
        random: Callable[[], float],
        attempts: int = 8,
        backoff: Backoff | None = None,
        limit: int | None = None,
        finished: Callable[[], object] = lambda: None,
        grace: float = 10.0,
    ) -> None:
        self._inbox = inbox
        self._consume = consume
        self._clock = clock
        self._random = random
        self._attempts = attempts
        self._backoff = backoff or Backoff()
        self._limit = limit
        self._finished = finished
        self._grace = grace
        self._in_hand: Deferred[Any] | None = None
        self._life: Deferred[None] = succeed(None)
        self._progress = LoopingCall(self._say_progress)
        self._progress.clock = clock
        self._said = 0
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
        life, self._life = self._life, succeed(None)
        if self._in_hand is None:
            life.cancel()
            return life
        alarm = self._clock.callLater(self._grace, life.cancel)

        def over(_: Any) -> None:
            if alarm.active():
                alarm.cancel()

        return life.addBoth(over)

    async def _live(self) -> None:
        while self.running:
            entry = await self._inbox.next()
            await self._work(entry)
            if self._limit is not None and self.done + self.given_up >= self._limit:
                self._finished()
                return

    async def _work(self, entry: Entry) -> None:
        event = await self._event_of(entry)
        if event is None:
            return
        if entry.deliveries > self._attempts:
            await self._give_up(entry, f"brought {entry.deliveries} times and never acknowledged")
            return
        for attempt in range(1, self._attempts + 1):
            reason = await self._try(entry, event, attempt)
            if reason is None:
                await self._acknowledge(entry)
                self.done += 1
                return
            self.failed += 1
            if not self.running:
                return  # it comes again
            if attempt < self._attempts:
                await deferLater(self._clock, self._backoff.delay(attempt - 1, self._random()))
        await self._give_up(entry, f"failed {self._attempts} times: {reason}")

    async def _event_of(self, entry: Entry) -> Event | None:
        """The event; None if there is nothing to do (any more)."""
        try:
            return parse_event(entry.body)
        except EventUnknown as news:
            _log.info("event of the unknown type {type} passed over", type=news.type[:64])
            await self._acknowledge(entry)
            self.done += 1
        except EventInvalid as error:
            await self._give_up(entry, f"no event: {error}")
        return None

    async def _try(self, entry: Entry, event: Event, attempt: int) -> str | None:
        """One attempt.

        :returns: None if it went well, else what went wrong.
        """
        self._in_hand = self._consume(event)
        try:
            await self._in_hand
        except CancelledError:
            raise
        except BaseException as error:
            _log.failure(
                "the application failed on {type} {event_id} (attempt {attempt} of {attempts})",
                Failure(),
                type=event.type,
                event_id=event.event_id,
                attempt=attempt,
                attempts=self._attempts,
            )
            return f"{type(error).__name__}: {error}"[:_MOST_REASON]
        finally:
            self._in_hand = None
        _log.debug(
            "{type} of {connection_id} done",
            type=event.type,
            connection_id=event.connection_id,
            event_id=event.event_id,
            source=entry.source,
        )
        return None

    async def _acknowledge(self, entry: Entry) -> None:
        try:
            await self._inbox.acknowledge(entry)
        except (BrokerDown, BrokerRefused) as error:
            _log.warn("an event was not acknowledged and may come again: {detail}", detail=str(error))

    async def _give_up(self, entry: Entry, reason: str) -> None:
        _log.error(
            "event given up: {reason}", reason=reason, source=entry.source, position=entry.position.decode()
        )
        self.given_up += 1
        try:
            await self._inbox.give_up(entry, reason)
        except (BrokerDown, BrokerRefused) as error:
            _log.error("a dead letter could not be written, it comes again: {detail}", detail=str(error))

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
        if not failure.check(CancelledError):
            _log.failure("consuming is over", failure)
            self._finished()
