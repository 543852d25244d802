"""Handle each event once, although it may come more than once.

The gateway delivers at least once: if it cannot know whether an event arrived (the connection broke before
the answer), it sends it again under the same `event_id`. So a repeated id is no attack by itself. It is an
event that is done already, and the right answer is 2xx: anything else makes the gateway send it yet again.
The same memory makes a recorded and repeated request harmless.

The memory belongs to one process. Behind several, keep the ids where all of them look: a table with a unique
column `event_id`, written in the transaction that handles the event, does the same and survives a restart.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

__all__ = ["EventInProgress", "ReplayWindow"]


class EventInProgress(Exception):
    """The event came again while its first delivery is still being handled, so nobody knows how that ends.

    Let it become a 500: the gateway repeats the event a little later. (A 4xx would give it up for good, a 503
    would hold back all others.) It mostly means that handling takes longer than the gateway waits.
    """


class ReplayWindow:
    """A bounded memory of event ids. Threads may share it.

    :param seconds: how long an id is remembered. Below twice the `tolerance` of `verify()` a recorded request
        could be handled again.
    :param max_ids: how many ids are remembered; beyond that the oldest are forgotten first.
    :param clock: seconds that never go backwards.
    """

    def __init__(
        self, seconds: float = 3600.0, max_ids: int = 100_000, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if not seconds > 0 or max_ids < 1:
            raise ValueError("a ReplayWindow remembers at least one id for more than no time")
        self._seconds = seconds
        self._max_ids = max_ids
        self._clock = clock
        self._lock = Lock()
        self._done: OrderedDict[str, float] = OrderedDict()
        self._running: set[str] = set()

    def __len__(self) -> int:
        """How many handled events are remembered."""
        with self._lock:
            return len(self._done)

    @contextmanager
    def once(self, event_id: str | None) -> Iterator[bool]:
        """Handle an event within this context, if the value is True; it was handled before, if False.

        The id counts as handled when the context ends well. If it ends with an exception, the id is
        forgotten, so that the gateway's next attempt is handled.

        :param event_id: an event without one cannot be recognised: it is always new.
        :raises EventInProgress: the event is being handled at this moment.
        """
        if event_id is None:
            yield True
            return
        with self._lock:
            if event_id in self._running:
                raise EventInProgress(f"event {event_id} is being handled already")
            first = not self._is_done(event_id)
            if first:
                self._running.add(event_id)
        if not first:
            yield False
            return
        well = False
        try:
            yield True
            well = True
        finally:
            with self._lock:
                self._running.discard(event_id)
                if well:
                    self._remember(event_id)

    def first_time(self, event_id: str) -> bool:
        """Remember an id.

        For work that cannot fail, or that calls `forget()` when it does; otherwise take `once()`, because an
        id that stays here after a failure turns the gateway's next attempt away.

        :returns: whether the id was new.
        """
        with self._lock:
            if event_id in self._running or self._is_done(event_id):
                return False
            self._remember(event_id)
            return True

    def forget(self, event_id: str) -> None:
        """Let the next delivery of this event be the first again. An unknown id is no error."""
        with self._lock:
            self._done.pop(event_id, None)

    def _is_done(self, event_id: str) -> bool:
        # All ids live equally long, so the oldest stand in front.
        oldest_kept = self._clock() - self._seconds
        while self._done and next(iter(self._done.values())) <= oldest_kept:
            self._done.popitem(last=False)
        return event_id in self._done

    def _remember(self, event_id: str) -> None:
        self._done[event_id] = self._clock()
        if len(self._done) > self._max_ids:
            self._done.popitem(last=False)
