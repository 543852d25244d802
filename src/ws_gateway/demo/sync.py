"""Keeps the roster honest: asks the gateway who is connected at start, every so often, and after it was away.

Events alone would do on good days. A gateway that was killed never says who left, and a demo that was away
has missed who came.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.backend import Connection
from ws_gateway.demo.gateway import GatewayFault
from ws_gateway.demo.roster import Roster

__all__ = ["RosterSync"]

_log = Logger()


class RosterSync(Service):
    """Asks `GET /internal/connections` again and again; one question at a time."""

    name = "roster-sync"

    def __init__(
        self,
        connections: Callable[[], Deferred[list[Connection]]],
        roster: Roster,
        changed: Callable[[], None],
        clock: IReactorTime,
        *,
        interval: float = 15.0,
        retry: float = 2.0,
        lag: float = 0.0,
    ) -> None:
        """
        :param connections: asks the gateway; fails with GatewayFault.
        :param changed: called when the list shows other users online than the roster knew.
        :param interval: seconds from an answer to the next question.
        :param retry: the same after a question that failed.
        :param lag: how many seconds the list may be behind the events: so long these are noted before it is
            asked for.
        """
        self._connections = connections
        self._roster = roster
        self._changed = changed
        self._clock = clock
        self._interval = interval
        self._retry = retry
        self._lag = lag
        self._timer: IDelayedCall | None = None
        self._asking: Deferred[None] | None = None
        self._last_fault = ""

    def startService(self) -> None:
        Service.startService(self)
        self.now()

    def stopService(self) -> Deferred[None]:
        Service.stopService(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._asking is None:
            return succeed(None)
        asking = self._asking
        asking.cancel()
        return asking

    def now(self) -> None:
        """Ask at once, unless a question is on its way already."""
        if not self.running or self._asking is not None:
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        asking = self._asking = Deferred.fromCoroutine(self._ask())
        asking.addErrback(_told)
        if asking.called:
            self._asking = None
        else:
            asking.addCallback(self._done)

    def _done(self, _: None) -> None:
        self._asking = None

    async def _ask(self) -> None:
        self._roster.await_list()
        pause = self._retry
        try:
            if self._lag:
                await deferLater(self._clock, self._lag)
            listed = await self._connections()
        except GatewayFault as fault:
            self._note(fault.detail)
        else:
            pause = self._interval
            self._note("")
            if self._roster.replace({found.connection_id: found.user_id for found in listed}):
                self._changed()
        finally:
            self._roster.forget_list()
            if self.running:
                self._timer = self._clock.callLater(pause, self._again)

    def _again(self) -> None:
        self._timer = None
        self.now()

    def _note(self, fault: str) -> None:
        """Say when it begins to fail, differently or no more; not every time."""
        if fault and fault != self._last_fault:
            _log.warn("cannot ask the gateway who is online: {detail}", detail=fault)
        elif self._last_fault and not fault:
            _log.info("the gateway tells who is online again")
        self._last_fault = fault


def _told(failure: Failure) -> None:
    if not failure.check(CancelledError):
        _log.failure("asking who is online stopped over a bug", failure)
