"""One wheel for all deadlines of all connections: a tick every quarter of a second, a set for each slot.

A `callLater` costs 626 bytes and moving one to an earlier time is slow among many; here a deadline is an
entry in a set, and a connection has one at a time. Deadlines are met up to a slot late, never early.
"""

from typing import Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

__all__ = ["Watched", "Wheel"]

_log = Logger()


class Watched(Protocol):
    """Something with a deadline."""

    def due(self, now: float) -> None:
        """The deadline has come; watch again for the next one."""


class Wheel:
    """See the module.

    :param slot: seconds.
    """

    def __init__(self, clock: IReactorTime, slot: float = 0.25) -> None:
        self._slot = slot
        self._slots: dict[int, set[Watched]] = {}
        self._turned = 0
        self._call = LoopingCall(self._turn)
        self._call.clock = clock
        self.now = clock.seconds

    def __len__(self) -> int:
        return sum(len(slot) for slot in self._slots.values())

    def start(self) -> Deferred[LoopingCall]:
        """Begin to turn. The Deferred fires when it has stopped."""
        self._turned = int(self.now() / self._slot)
        return self._call.start(self._slot, now=False)

    def stop(self) -> None:
        """Stop turning; what is watched is forgotten."""
        if self._call.running:
            self._call.stop()
        self._slots.clear()

    def watch(self, watched: Watched, deadline: float) -> int:
        """Call `watched.due` once the deadline has passed.

        :returns: what `forget` wants back.
        """
        slot = max(int(min(deadline, 1e15) / self._slot) + 1, self._turned + 1)
        self._slots.setdefault(slot, set()).add(watched)
        return slot

    def forget(self, watched: Watched, slot: int) -> None:
        """No longer call it for this deadline. Does nothing if it was called already."""
        entries = self._slots.get(slot)
        if entries is not None:
            entries.discard(watched)
            if not entries:
                del self._slots[slot]

    def _turn(self) -> None:
        now = self.now()
        current = int(now / self._slot)
        passed = range(self._turned + 1, current + 1)
        # After a long stall it is cheaper to look at the slots that exist.
        slots = passed if len(passed) <= len(self._slots) else sorted(s for s in self._slots if s <= current)
        for slot in slots:
            self._turned = slot
            for watched in self._slots.pop(slot, ()):
                try:
                    watched.due(now)
                except Exception:
                    _log.failure("a deadline of {watched!r} failed", watched=type(watched).__name__)
        self._turned = max(self._turned, current)
