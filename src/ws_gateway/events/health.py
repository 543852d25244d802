"""Whether a sink's target is up, and when to ask it again.

| state | meaning | left by |
|---|---|---|
| UP | deliveries flow | a delivery that says the target is down, or a streak of failures -> WAITING |
| WAITING | nothing is offered until the back-off is over | its end, or better news -> DUE |
| DUE | one delivery may leave, as a probe | the probe leaves -> PROBING |
| PROBING | the probe is under way | it fails -> WAITING (longer); it is answered -> UP |

Deliveries that were under way when the target went down change nothing: only the probe decides.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ws_gateway.events.limits import SinkLimits

__all__ = ["Target", "TargetHealth"]

_log = Logger()


class Target(Enum):
    """The states of the table above."""

    UP = "up"
    WAITING = "waiting"
    DUE = "due"
    PROBING = "probing"


class TargetHealth:
    """Judges a target by what became of the deliveries to it.

    :param name: the sink's.
    :param random: numbers from 0 up to 1.
    :param due: called when a probe may leave.
    :param turned: called when the target went down, and when it is back.
    :param quiet: whether that is kept out of the log.
    """

    def __init__(
        self,
        name: str,
        limits: SinkLimits,
        clock: IReactorTime,
        random: Callable[[], float],
        due: Callable[[], None],
        turned: Callable[[], None],
        quiet: bool = False,
    ) -> None:
        self._name = name
        self._limits = limits
        self._clock = clock
        self._random = random
        self._due = due
        self._turned = turned
        self._quiet = quiet
        self._timer: IDelayedCall | None = None
        self._failures = 0
        self._down_since = 0.0
        self._streak = 0
        self._streak_keys: set[str] = set()
        self.state = Target.UP
        self.detail = ""

    @property
    def is_up(self) -> bool:
        """Whether deliveries flow."""
        return self.state is Target.UP

    def answered(self, probe: bool) -> None:
        """The target took or refused an event: it is there and in its senses."""
        if self._streak:
            self._forget_streak()
        if probe and self.state is Target.PROBING:
            self.state = Target.UP
            self._failures = 0
            self.detail = ""
            if not self._quiet:
                _log.info(
                    "{sink} target is back after {seconds:.1f} s",
                    sink=self._name,
                    seconds=self._clock.seconds() - self._down_since,
                )
            self._turned()

    def target_down(self, probe: bool, detail: str, retry_after: float | None, at_least: float = 0.0) -> None:
        """A delivery says that the target is down.

        :param at_least: seconds until the next probe, whatever the back-off says.
        """
        was_up = self.state is Target.UP
        if was_up:
            self._down_since = self._clock.seconds()
            self._forget_streak()
            if not self._quiet:
                _log.warn("{sink} target is down: {detail}", sink=self._name, detail=detail)
        elif not (probe and self.state is Target.PROBING):
            return
        self.state = Target.WAITING
        self.detail = detail
        delay = self._limits.backoff.delay(self._failures, self._random(), retry_after)
        self._failures += 1
        self._timer = self._clock.callLater(max(delay, at_least), self._waited)
        if was_up:
            self._turned()

    def event_failed(self, probe: bool, key: str, detail: str, retry_after: float | None) -> None:
        """The target failed on an event. As a probe, or as the last of a streak, that means it is down."""
        if probe:
            self.target_down(probe, detail, retry_after)
        elif self.state is Target.UP:
            self._streak += 1
            if len(self._streak_keys) < self._limits.streak_keys:
                self._streak_keys.add(key)
            if self._streak >= self._limits.streak and len(self._streak_keys) >= self._limits.streak_keys:
                in_a_row = f"{self._streak} failures in a row, the last: {detail}"
                self.target_down(probe, in_a_row, retry_after)

    def probe_left(self) -> None:
        """A probe is under way."""
        self.state = Target.PROBING

    def hasten(self) -> None:
        """There is better news of the target: do not wait for the end of the back-off."""
        if self.state is Target.WAITING:
            self.stop()
            self._waited()

    def stop(self) -> None:
        """Call nobody any more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _waited(self) -> None:
        self._timer = None
        self.state = Target.DUE
        self._due()

    def _forget_streak(self) -> None:
        self._streak = 0
        self._streak_keys.clear()
