"""Starting in order and stopping in stages (design decision 10)."""

from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from typing import Any

from attrs import frozen
from twisted.application.service import IService, MultiService
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.components import Componentized
from twisted.python.failure import Failure

__all__ = ["Stage", "StagedService"]

_log = Logger()

_LEAST_SECONDS = 0.5


@frozen
class Stage:
    """One step of the way down.

    :ivar name: a word for the log.
    :ivar stop: called once; the next stage begins when its Deferred, if it returns one, has fired.
    """

    name: str
    stop: Callable[[], Any]


class _Way(Enum):
    UP = auto()
    GOING_DOWN = auto()
    DOWN = auto()


class StagedService(MultiService):
    """The root of all services: starts its children in order and stops in stages, one after the other.

    All stages share one deadline. A stage that is not done when the time is up is cancelled and named in the
    log, and the next one begins; whatever the earlier ones have used, each is given half a second. A stage
    that fails is logged and ends no other. After the last stage, children that still run are stopped, the
    last started first, as stages of their own.

    Stopping twice stops once: everybody who asked hears when it is done.

    :param clock: for the deadline.
    :param grace: seconds from stopService() to the deadline.
    :param stages: what is done, in this order.
    :param adopted: called with the Application when `twistd` gives this service its parent: the one moment at
        which a log observer can be set (`log_routes.route_logs`).
    """

    def __init__(
        self,
        clock: IReactorTime,
        grace: float,
        stages: Sequence[Stage],
        adopted: Callable[[Componentized], object] | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._clock = clock
        self._grace = grace
        self._stages = tuple(stages)
        self._adopted = adopted
        self._way = _Way.UP
        self._waiting: list[Deferred[None]] = []

    def setServiceParent(self, parent: Any) -> None:
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]
        if self._adopted is not None and isinstance(parent, Componentized):
            self._adopted(parent)

    def startService(self) -> None:
        self._way = _Way.UP
        super().startService()  # type: ignore[no-untyped-call]

    def stopService(self) -> Deferred[None]:
        """Go down.

        :returns Deferred[None]: when the last stage is over; it does not fail.
        """
        if self._way is _Way.DOWN:
            return succeed(None)
        finished: Deferred[None] = Deferred()
        self._waiting.append(finished)
        if self._way is _Way.UP:
            self._way = _Way.GOING_DOWN
            self.running = 0
            Deferred.fromCoroutine(self._go_down()).addErrback(self._not_our_plan)
        return finished

    async def _go_down(self) -> None:
        began = self._clock.seconds()
        deadline = began + self._grace
        for stage in self._way_down():
            await _Attempt(self._clock, stage, max(deadline - self._clock.seconds(), _LEAST_SECONDS)).run()
        _log.info("stopped in {seconds:.1f} s", seconds=self._clock.seconds() - began)
        self._tell_everybody()

    def _way_down(self) -> Iterator[Stage]:
        yield from self._stages
        for child in reversed(list(self)):
            # A stage may have stopped it already; what is no Service of Twisted's cannot tell.
            if getattr(child, "running", True):
                yield Stage(_name_of(child), child.stopService)

    def _not_our_plan(self, failure: Failure) -> None:
        _log.failure("going down failed", failure)
        self._tell_everybody()

    def _tell_everybody(self) -> None:
        self._way = _Way.DOWN
        waiting, self._waiting = self._waiting, []
        for finished in waiting:
            finished.callback(None)


def _name_of(child: IService) -> str:
    return str(child.name or type(child).__name__)


class _Attempt:
    """One stage under its deadline: ends when the stage does or when the time is up."""

    def __init__(self, clock: IReactorTime, stage: Stage, seconds: float) -> None:
        self._clock = clock
        self._stage = stage
        self._seconds = seconds
        self._over: Deferred[None] = Deferred()
        self._timer: IDelayedCall | None = None
        self._late = False

    def run(self) -> Deferred[None]:
        """:returns Deferred[None]: does not fail."""
        outcome = maybeDeferred(self._stage.stop)
        outcome.addCallbacks(self._done, self._failed)
        if not self._over.called:
            self._timer = self._clock.callLater(self._seconds, self._time_is_up, outcome)
        return self._over

    def _time_is_up(self, outcome: "Deferred[None]") -> None:
        self._timer = None
        self._late = True
        _log.error(
            "stage {stage} was not over after {seconds:.1f} s; going on without it",
            stage=self._stage.name,
            seconds=self._seconds,
        )
        outcome.cancel()
        self._end()

    def _done(self, result: object) -> None:
        self._end()

    def _failed(self, failure: Failure) -> None:
        # That a cancelled stage says so is no news.
        if not (self._late and failure.check(CancelledError)):
            _log.failure("stage {stage} failed", failure, stage=self._stage.name)
        self._end()

    def _end(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._over.called:
            self._over.callback(None)
