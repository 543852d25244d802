"""The function of the application, in a thread of its own: it may block as long as it likes.

One thread, so events come one after the other, and code that is not made for threads meets only one.
"""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ws_gateway.backend import Event

__all__ = ["Consume", "InThread", "NotCallable", "load_function"]

Consume = Callable[[Event], Any]
"""What an application writes: takes an event, returns when it is done with it, raises if it is not."""


class NotCallable(ValueError):
    """There is no such function; the message is one sentence."""


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


class InThread:
    """See the module.

    The thread is a daemon: a function that never returns does not keep the process from ending.

    :param to_reactor: runs a call in the reactor's thread (`reactor.callFromThread`).
    """

    def __init__(self, function: Consume, to_reactor: Callable[..., object]) -> None:
        self._function = function
        self._to_reactor = to_reactor
        self._calls: SimpleQueue[tuple[Event, Deferred[None]]] = SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="consume", daemon=True)

    def __call__(self, event: Event) -> Deferred[None]:
        """Call it.

        :returns Deferred[None]: when it has returned; fails with what it raised.
        """
        if not self._thread.is_alive():
            self._thread.start()
        done: Deferred[None] = Deferred(lambda deferred: None)
        self._calls.put((event, done))
        return done

    def _run(self) -> None:
        while True:
            event, done = self._calls.get()
            try:
                self._function(event)
            except BaseException:
                self._to_reactor(_tell, done, Failure())
            else:
                self._to_reactor(_tell, done, None)


def _tell(done: Deferred[None], outcome: Failure | None) -> None:
    # Whoever waited may have given up.
    if not done.called:
        done.callback(outcome)  # a Failure starts the errbacks
