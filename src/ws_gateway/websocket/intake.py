"""Slows clients down before anything of theirs is lost: we stop reading, and TCP makes them wait.

While the events of clients pile up although every target is up (`strained`), a client that sends a message is
paused right behind it: what else was read of it is left as it is. Clients that say nothing are left alone.

All go on when the strain is over, some at a time, so that they do not bring it back at once; and each of them
after `max_pause` in any case, for one message at least: so its pings, its pongs and its end are not missed.
"""

from collections.abc import Callable
from itertools import islice
from typing import Protocol

from ws_gateway.interfaces import IMetrics
from ws_gateway.websocket.deadlines import Wheel

__all__ = ["Intake", "Paused"]

MAX_PAUSE = 5.0
"""Seconds; well below what a client waits for a pong."""

RESUMED_AT_ONCE = 100
"""Clients that go on in one turn of the reactor .."""

SLICE_SECONDS = 0.005
""".. or fewer: what was read of one of them may be hundreds of messages, and the targets have to be heard."""


class Paused(Protocol):
    """A client that is not read from."""

    def go_on_reading(self) -> None:
        """Read from it again."""


class Intake:
    """See the module.

    :param later: runs a function in a later turn of the reactor.
    :ivar held: whether who sends is to be paused; looked at with every message.
    """

    def __init__(
        self,
        wheel: Wheel,
        later: Callable[[Callable[[], None]], object],
        metrics: IMetrics,
        max_pause: float = MAX_PAUSE,
    ) -> None:
        self._wheel = wheel
        self._later = later
        self._max_pause = max_pause
        self._paused: dict[Paused, float] = {}
        self._watching = False
        self._resuming = False
        self.held = False
        self._pauses = metrics.counter(
            "ws_reads_paused_total", "Pauses in reading from a client because events pile up."
        )
        metrics.gauge("ws_reads_paused", "Clients that are not read from now.", lambda: len(self._paused))

    def strained(self, strained: bool) -> None:
        """Whether events pile up though every target is up."""
        self.held = strained
        if not strained and self._paused and not self._resuming:
            self._resuming = True
            self._later(self._resume_some)

    def pause(self, client: Paused) -> None:
        """Remember a client that is read from no longer, until it is told to go on."""
        now = self._wheel.now()
        self._paused[client] = now
        self._pauses.inc()
        if not self._watching:
            self._watching = True
            self._wheel.watch(self, now + self._max_pause)

    def forget(self, client: Paused) -> None:
        """It is gone, or goes on by itself."""
        self._paused.pop(client, None)

    def due(self, now: float) -> None:
        """See Watched: the oldest pause, perhaps, is long enough."""
        self._watching = False
        over = now - self._max_pause
        for client in [client for client, since in self._paused.items() if since <= over]:
            self._resume(client)
        if self._paused and not self._watching:
            self._watching = True
            self._wheel.watch(self, next(iter(self._paused.values())) + self._max_pause)

    def _resume_some(self) -> None:
        self._resuming = False
        until = self._wheel.now() + SLICE_SECONDS
        for client in list(islice(self._paused, RESUMED_AT_ONCE)):
            if self.held:
                return
            self._resume(client)
            if self._wheel.now() >= until:
                break
        if self._paused:
            self._resuming = True
            self._later(self._resume_some)

    def _resume(self, client: Paused) -> None:
        del self._paused[client]
        client.go_on_reading()
