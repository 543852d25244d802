"""Those who wait for a key."""

from collections.abc import Callable, Sequence
from itertools import islice
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

__all__ = ["AT_ONCE", "MOST", "Asked", "Waiters"]

AT_ONCE = 32
"""How many are answered in one turn of the reactor: each answer costs a signature and opens a connection."""

MOST = 10_000
"""How many may wait. Further ones are answered at once: strangers must not fill our memory."""


@frozen
class Asked:
    """What a token's header says about its key."""

    algorithm: str
    kid: str | None


class Waiters:
    """Everybody who waits for a fetch hears when it is over; whoever leaves before is forgotten.

    :param answer: what somebody is told, when it is said.
    """

    def __init__(self, clock: IReactorTime, answer: Callable[[Asked], Deferred[Sequence[Any]]]) -> None:
        self._clock = clock
        self._answer = answer
        # Those whose fetch is under way, and those whose fetch is over and whose turn comes.
        self._waiting: dict[Deferred[Sequence[Any]], Asked] = {}
        self._called: dict[Deferred[Sequence[Any]], Asked] = {}
        self._turn: IDelayedCall | None = None

    def __len__(self) -> int:
        return len(self._waiting) + len(self._called)

    def join(self, asked: Asked) -> Deferred[Sequence[Any]]:
        """Wait, unless too many do already.

        :returns Deferred[Sequence]: cancelling it leaves.
        """
        if len(self) >= MOST:
            return self._answer(asked)
        waiter: Deferred[Sequence[Any]] = Deferred(self._leave)
        self._waiting[waiter] = asked
        return waiter

    def call(self) -> None:
        """The fetch is over: answer everybody who waits for it, the first now, the others turn by turn."""
        self._called.update(self._waiting)
        self._waiting.clear()
        if self._turn is None:
            self._serve()

    def dismiss(self, error: Callable[[], Exception]) -> None:
        """Answer everybody with an error."""
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        left = [*self._called, *self._waiting]
        self._called.clear()
        self._waiting.clear()
        for waiter in left:
            if not waiter.called:  # One answer may make another waiter leave.
                waiter.errback(error())

    def _serve(self) -> None:
        self._turn = None
        for waiter in list(islice(self._called, AT_ONCE)):
            asked = self._called.pop(waiter, None)
            if asked is not None:  # Here, too.
                self._answer(asked).chainDeferred(waiter)
        if self._called:
            self._turn = self._clock.callLater(0, self._serve)

    def _leave(self, waiter: Deferred[Sequence[Any]]) -> None:
        self._waiting.pop(waiter, None)
        self._called.pop(waiter, None)
