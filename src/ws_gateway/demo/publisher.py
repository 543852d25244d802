"""The demo's way out: publications leave in the order in which they were handed in, one in flight.

While the gateway is away the first one is tried again with growing, jittered pauses, until it has waited for
`patience` seconds; then it is given up and said so. The queue is bounded: whoever hands in looks at `full`
first and passes the pressure on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.backend import Call
from ws_gateway.demo.gateway import GatewayDown, GatewayRefused

__all__ = ["Publisher"]

_log = Logger()
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 4.0


@dataclass(slots=True)
class _Waiting:
    """A publication in the queue; a later one of the same `replaces` word makes it needless."""

    call: Call[int] = field(repr=False)
    since: float
    replaces: str | None


class Publisher(Service):
    """A bounded first-in, first-out queue in front of the gateway."""

    name = "publisher"

    def __init__(
        self,
        send: Callable[[Call[int]], Deferred[int]],
        clock: IReactorTime,
        random: Callable[[], float],
        *,
        limit: int = 1000,
        patience: float = 30.0,
        recovered: Callable[[], None] = lambda: None,
    ) -> None:
        """
        :param send: `GatewayClient.send`.
        :param random: numbers from 0 to 1, for the jitter.
        :param limit: so many publications may wait.
        :param patience: seconds after which a publication is too old to be tried again.
        :param recovered: called when the gateway takes a publication after it did not.
        """
        self._send_call = send
        self._clock = clock
        self._random = random
        self._limit = limit
        self._patience = patience
        self._recovered = recovered
        self._queue: deque[_Waiting] = deque()
        self._in_flight = False
        self._work: Deferred[None] = succeed(None)
        self._awake: Deferred[None] | None = None
        self._waiting: list[Deferred[None]] = []
        self._down = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def full(self) -> bool:
        """Whether the next publication would find no room; so it is before the start and after the stop."""
        return not self.running or len(self._queue) >= self._limit

    def settled(self) -> Deferred[None]:
        """Wait until nothing is under way: everything was sent, or given up."""
        if not self._queue and not self._in_flight:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        return waiting

    def submit(self, call: Call[int], replaces: str | None = None) -> bool:
        """Queue a publication. Never raises, never blocks.

        :param replaces: if the last one in the queue has the same word, it is replaced: it tells older news
            of the same thing, and nobody has seen it yet.
        :returns: whether it was taken.
        """
        waiting = _Waiting(call, self._clock.seconds(), replaces)
        if self.running and replaces is not None and self._queue and self._queue[-1].replaces == replaces:
            self._queue[-1] = waiting
            return True
        if self.full:
            return False
        self._queue.append(waiting)
        if not self._in_flight:
            self._in_flight = True
            self._work = Deferred.fromCoroutine(self._run())
            self._work.addErrback(_told)
        return True

    def nudge(self) -> None:
        """The gateway gave a sign of life: end a pause between two attempts."""
        if self._awake is not None:
            awake, self._awake = self._awake, None
            awake.callback(None)

    def stopService(self) -> Deferred[None]:
        """Give up what is in flight and what waits, and say how much it was."""
        Service.stopService(self)
        lost = len(self._queue) + self._in_flight
        if lost:
            _log.warn("stopped with {count} publications not sent", count=lost)
        self._queue.clear()
        self._work.cancel()
        return self._work

    async def _run(self) -> None:
        try:
            while self._queue:
                await self._send(self._queue.popleft())
        finally:
            self._in_flight = False
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.callback(None)

    async def _send(self, publication: _Waiting) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                await self._send_call(publication.call)
            except GatewayRefused as refusal:
                _log.error("publication refused: {detail}", detail=refusal.detail)
                return
            except GatewayDown as fault:
                self._note_down(fault.detail)
            else:
                self._note_up()
                return
            delay = pause * (0.5 + self._random() / 2)
            if self._clock.seconds() + delay - publication.since > self._patience:
                _log.error("publication given up after {seconds:g} seconds", seconds=self._patience)
                return
            await self._pause(delay)
            pause = min(pause * 2, _LONGEST_PAUSE)

    async def _pause(self, seconds: float) -> None:
        self._awake = Deferred()
        timer = self._clock.callLater(seconds, self.nudge)
        try:
            await self._awake
        finally:
            self._awake = None
            if timer.active():
                timer.cancel()

    def _note_down(self, detail: str) -> None:
        if not self._down:
            self._down = True
            _log.warn("the gateway is down, publications wait: {detail}", detail=detail)

    def _note_up(self) -> None:
        if self._down:
            self._down = False
            _log.info("the gateway is back, {count} publications follow", count=len(self._queue))
            self._recovered()


def _told(failure: Failure) -> None:
    if not failure.check(CancelledError):
        _log.failure("the publisher stopped over a bug", failure)
