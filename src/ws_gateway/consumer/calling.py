"""The function of the application, in a thread of its own: it may block as long as it likes.

One thread, so events come one after the other, and code that is not made for threads meets only one. The
thread gets several events at a time and says now and then how far it is: a function that is quick costs no
change of threads for each event, and one that is slow, or waits for something, is reported at once.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Awaitable, Callable, Sequence
from queue import SimpleQueue
from typing import Any, Protocol

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ws_gateway.backend import Event

__all__ = ["Consume", "IApplication", "InReactor", "InThread", "NotCallable", "Outcome", "load_function"]

Consume = Callable[[Event], Any]
"""What an application writes: takes an event, returns when it is done with it, raises if it is not."""


class NotCallable(ValueError):
    """There is no such function; the message is one sentence."""


@frozen
class Outcome:
    """How far the application came.

    :ivar done: how many events it is done with, from the first on.
    :ivar failure: what it raised at the next one; None if it did not.
    """

    done: int
    failure: Failure | None = None


class IApplication(Protocol):
    """Whoever is called with events."""

    def call(self, events: Sequence[Event], so_far: Callable[[int], object]) -> Deferred[Outcome]:
        """Call the function with one event after the other, up to the first that it fails on.

        :param so_far: called now and then with how many are done.
        :returns Deferred[Outcome]: does not fail by itself. Cancelling gives up waiting.
        """

    def halt(self) -> None:
        """Call it with no further event of those that were given. Idempotent."""


def load_function(name: str) -> Consume:
    """Find `module:function`.

    :raises NotCallable: there is none.
    """
    module_name, colon, path = name.partition(":")
    if not colon or not module_name or not path:
        raise NotCallable(f"{name!r}: must be module:function, such as shop.live:on_event")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise NotCallable(f"{name!r}: there is no module {error.name}") from None
    for part in path.split("."):
        found = getattr(found, part, None)
    if not callable(found):
        raise NotCallable(f"{name!r}: the module has no function {path}")
    consume: Consume = found
    return consume


@define(eq=False)
class _Batch:
    """What the thread has to do. `done` and `reporting` are written by both threads; either may be late."""

    events: Sequence[Event]
    so_far: Callable[[int], object]
    answer: Deferred[Outcome] = field(factory=lambda: Deferred(lambda _: None))
    done: int = 0
    reporting: bool = False
    halted: bool = False

    def report(self) -> None:
        # First this: what is done from here on is reported by itself.
        self.reporting = False
        if not self.answer.called:
            self.so_far(self.done)

    def end(self, failure: Failure | None) -> None:
        # Whoever waited may have given up.
        if not self.answer.called:
            self.answer.callback(Outcome(self.done, failure))


class InThread:
    """See the module.

    The thread is a daemon: a function that never returns does not keep the process from ending.

    :param to_reactor: runs a call in the reactor's thread (`reactor.callFromThread`).
    """

    def __init__(self, function: Consume, to_reactor: Callable[..., object]) -> None:
        self._function = function
        self._to_reactor = to_reactor
        self._batches: SimpleQueue[_Batch] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="consume", daemon=True)
        self._batch: _Batch | None = None

    def call(self, events: Sequence[Event], so_far: Callable[[int], object]) -> Deferred[Outcome]:
        """See IApplication."""
        if not self._thread.is_alive():
            self._thread.start()
        batch = self._batch = _Batch(events, so_far)
        self._batches.put(batch)
        return batch.answer

    def halt(self) -> None:
        """See IApplication."""
        if self._batch is not None:
            self._batch.halted = True

    def _run(self) -> None:
        while True:
            batch = self._batches.get()
            failure = None
            try:
                for event in batch.events:
                    if batch.halted:
                        break
                    self._function(event)
                    batch.done += 1
                    if not batch.reporting:
                        batch.reporting = True
                        self._to_reactor(batch.report)
            except BaseException:
                failure = Failure()
            self._to_reactor(batch.end, failure)


class InReactor:
    """For applications that live in the reactor themselves.

    :param function: its awaitable is there when it is done with the event.
    """

    def __init__(self, function: Callable[[Event], Awaitable[Any]]) -> None:
        self._function = function
        self._halted = False

    def call(self, events: Sequence[Event], so_far: Callable[[int], object]) -> Deferred[Outcome]:
        """See IApplication."""
        self._halted = False
        return Deferred.fromCoroutine(self._call(events, so_far))

    def halt(self) -> None:
        """See IApplication."""
        self._halted = True

    async def _call(self, events: Sequence[Event], so_far: Callable[[int], object]) -> Outcome:
        done = 0
        for event in events:
            if self._halted:
                break
            try:
                await self._function(event)
            except Exception:
                return Outcome(done, Failure())
            done += 1
            so_far(done)
        return Outcome(done)
