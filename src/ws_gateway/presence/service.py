"""Tells the presence store who is connected to this node, beside the streets and in nobody's way.

Three things go on in turns, one call to the store at a time:

- whoever came or went is told within about a tenth of a second;
- a round over all connections tells of each of them well within its time to live, however quiet it is;
- the lease of the node is renewed, and what dead nodes left is swept away.

Nothing is kept for later and no call is repeated: what a call could not tell, the next round tells. After an
outage, and when the lease was lost (a flush, a failover, a node that stood still), a round begins at once and
does not dawdle.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ws_gateway.domain.messages import ConnectionView
from ws_gateway.domain.registry import Registry
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IMetrics, IPresenceStore, IReadiness
from ws_gateway.presence.changes import Changes, is_full
from ws_gateway.presence.lost import LostConnections
from ws_gateway.presence.pace import Pace
from ws_gateway.presence.round import Round
from ws_gateway.presence.sweep import Sweep

__all__ = ["PresenceService"]

_log = Logger()

LEASE_SECONDS = 10.0
RENEW_SECONDS = 3.0

TICK_SECONDS = 0.1
"""Between two turns .."""

GAP_SECONDS = 0.005
""".. when there is much to tell: Redis and the reactor have others to serve."""

RETRY_SECONDS = 0.5
""".. and when the store could not be told anything."""

_PATIENCE_SECONDS = 2.0
"""An outage is told in the log when it lasts longer; every failure is counted."""

_ROUND_BUCKETS = (0.1, 0.5, 1, 2.5, 5, 10, 20, 30, 60, 120, 300)


@implementer(IReadiness)
class PresenceService(Service):
    """See the module.

    Who knows that the store was out of reach for a moment (a new connection to it) calls `write_anew`.

    :param lost: tells the backend of connections of dead nodes; None where it hears of no ends.
    """

    name = "presence"

    def __init__(
        self,
        store: IPresenceStore,
        registry: Registry,
        clock: IReactorTime,
        pace: Pace,
        metrics: IMetrics,
        lost: LostConnections | None = None,
    ) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock
        self._pace = pace
        self._round = Round((), 0.0, 0.0)
        self._anew = True
        self._renew_at = 0.0
        self._sweep = Sweep(store, clock, metrics, lost)
        self._down = "the store was not asked yet"
        self._down_since = 0.0
        self._told_down = False
        self._refused = ""
        self._life: Deferred[None] | None = None
        self._pausing: tuple[Deferred[None], IDelayedCall] | None = None
        metrics.gauge("presence_connections", "Connections of this node that the store knows.", self._known)
        self._rounds = metrics.histogram(
            "presence_rounds_seconds",
            "How long it took to tell the store of all connections once.",
            _ROUND_BUCKETS,
        )
        self._errors = {
            kind: metrics.counter(
                "presence_errors_total", "Calls to the store that it did not carry out.", {"kind": kind}
            )
            for kind in ("down", "refused", "broken")
        }
        forgotten = metrics.counter(
            "presence_forgotten_total",
            "Connections that went during an outage, too many to remember: the store forgets them by itself.",
        )
        self._changes = Changes(forgotten.inc)

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._registry.observe(self._changes)
        self._down_since = self._clock.seconds()
        self._life = Deferred.fromCoroutine(self._live())
        self._life.addErrback(_unless_cancelled)

    def stopService(self) -> Deferred[None]:
        """Tell the store that all are gone, and give the lease up.

        :returns Deferred[None]: does not fail. Cancelled, it gives up the lease at once, so that what is left
            counts as gone, and other nodes sweep it.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        life, self._life = self._life, None
        if life is not None:
            life.cancel()
        return Deferred.fromCoroutine(self._leave())

    def stop_sweeping(self) -> None:
        """Leave what dead nodes left to others: no more events come from here."""
        self._sweep.stop()

    def write_anew(self) -> None:
        """Tell the store of everybody, soon."""
        self._anew = True
        if self._pausing is not None:
            pausing, call = self._pausing
            self._pausing = None
            call.cancel()
            pausing.callback(None)

    def readiness(self) -> tuple[str, str, str]:
        """See IReadiness: never `failed`, since clients are served without it."""
        detail = ""
        if self._down:
            detail = f"presence is not kept: {self._down}"
        elif self._refused:
            detail = f"presence is kept in part: {self._refused}"
        elif not self._round.over and self._clock.seconds() - self._round.began > self._pace.ttl:
            detail = "presence falls behind: the store is too slow"
        return "presence", "degraded" if detail else "ok", detail

    async def _live(self) -> None:
        while True:
            try:
                seconds = await self._turn()
            except BrokerDown as error:
                self._fail("down", error.detail)
                seconds = RETRY_SECONDS
            except BrokerRefused as error:
                self._fail("refused", str(error))
                seconds = RETRY_SECONDS
            except CancelledError:
                raise
            except Exception:
                _log.failure("presence could not be told")
                self._fail("broken", "of an error of our own; see the log")
                seconds = RETRY_SECONDS
            await self._pause(seconds)

    async def _turn(self) -> float:
        """One call of each kind that has something to do.

        :returns: seconds until the next turn.
        """
        await self._keep_lease()
        gone = self._changes.take_gone()
        if gone:
            await self._remove(gone)
            await self._keep_lease()
        came = self._changes.take_came()
        if came:
            await self._put(came)
            await self._keep_lease()
        await self._go_round()
        sweeping = await self._tell(self._sweep.go_on)
        left = len(self._changes) and (is_full(gone) or is_full(came))
        much = left or sweeping or self._round.due(self._clock.seconds())
        return GAP_SECONDS if much else TICK_SECONDS

    async def _keep_lease(self) -> None:
        if not self._anew and self._clock.seconds() < self._renew_at:
            return
        anew, self._anew = self._anew, False
        try:
            held = await self._store.renew(LEASE_SECONDS)
        except BaseException:
            self._anew = True
            raise
        now = self._clock.seconds()
        self._renew_at = now + RENEW_SECONDS
        if not held:
            # Others may have lost theirs at the same time, and shall have theirs back before somebody looks.
            self._sweep.rest(LEASE_SECONDS)
        if anew or not held:
            self._round = Round(self._registry.ids(), now, 0.0)
        self._recover()

    async def _remove(self, gone: list[ConnectionView]) -> None:
        try:
            await self._tell(self._store.remove, gone)
        except BrokerDown:
            self._changes.give_back(gone)
            raise

    async def _put(self, views: list[ConnectionView]) -> None:
        await self._tell(self._store.put, views, self._pace.ttl)

    async def _tell(self, call: Callable[..., Awaitable[Any]], *what: Any) -> Any:
        """One call to the store. One that is refused holds up nobody else.

        :returns: what the store answered, None if it refused.
        :raises BrokerDown: the next one would fare no better.
        """
        try:
            return await call(*what)
        except BrokerRefused as error:
            self._refuse("refused", str(error))
        except (BrokerDown, CancelledError):
            raise
        except Exception:
            _log.failure("presence could not be told")
            self._refuse("broken", "an error of our own; see the log")
        return None

    async def _go_round(self) -> None:
        now = self._clock.seconds()
        if self._round.over and now >= self._round.began + self._pace.round_seconds:
            if not self._round.refused:
                self._refused = ""
            self._round = Round(self._registry.ids(), now, self._pace.round_seconds)
        current = self._round
        if not current.due(now):
            return
        if views := current.take(self._look):
            await self._put(views)
        if current.over:
            self._rounds.observe(self._clock.seconds() - current.began)

    async def _leave(self) -> None:
        if self._down:
            return  # the lease is over soon, and what the store does not hear of it forgets
        try:
            while gone := self._changes.take_gone():
                await self._store.remove(gone)
            left = Round(self._registry.ids(), 0.0, 0.0)
            while not left.over:
                if views := left.take(self._look):
                    await self._store.remove(views)
            await self._sweep.settle()
            await self._store.renew(0)
        except (BrokerDown, BrokerRefused) as error:
            _log.warn("presence of this node is left to its lease: {detail}", detail=str(error))
        except CancelledError:
            self._store.renew(0).addErrback(
                lambda failure: _log.warn("the lease was not given up: {detail}", detail=str(failure.value))
            )
            raise

    def _look(self, connection_id: str) -> ConnectionView | None:
        """A connection of the round, unless it is gone, or will be told as one that came."""
        connection = self._registry.find(connection_id)
        return None if connection is None or connection_id in self._changes else connection.view()

    def _known(self) -> float:
        if self._down or self._anew:
            return 0
        if not self._round.over and not self._round.seconds:
            return self._round.told
        return max(0, len(self._registry) - self._changes.untold)

    def _refuse(self, kind: str, detail: str) -> None:
        """Something could not be told."""
        self._errors[kind].inc()
        self._round.refused = True
        if not self._refused:
            _log.warn("presence is kept in part: {detail}", detail=detail)
        self._refused = detail

    def _fail(self, kind: str, detail: str) -> None:
        """Nothing can be told now."""
        self._errors[kind].inc()
        self._anew = True
        now = self._clock.seconds()
        if not self._down:
            self._down_since = now
        self._down = detail
        if not self._told_down and now - self._down_since >= _PATIENCE_SECONDS:
            self._told_down = True
            _log.warn("presence is not kept: {detail}", detail=detail)

    def _recover(self) -> None:
        self._down = ""
        if self._told_down:
            self._told_down = False
            seconds = self._clock.seconds() - self._down_since
            _log.info("presence is kept again, after {seconds:.1f} s", seconds=seconds)

    def _pause(self, seconds: float) -> Deferred[None]:
        pausing: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._clock.callLater(seconds, self._go_on)
        self._pausing = pausing, call
        return pausing

    def _go_on(self) -> None:
        if self._pausing is not None:
            pausing, self._pausing = self._pausing[0], None
            pausing.callback(None)


def _unless_cancelled(failure: Failure) -> Any:
    if not failure.check(CancelledError):
        _log.failure("presence is not told any more", failure)
