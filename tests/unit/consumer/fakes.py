"""An inbox and an application that do what a test tells them."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from ws_gateway.backend import Event
from ws_gateway.consumer.calling import Outcome
from ws_gateway.domain.messages import Entry
from ws_gateway.interfaces import IInbox


def entry(number: int, deliveries: int = 1, **changes: Any) -> Entry:
    """An entry with a message event."""
    document = {
        "type": "message_received",
        "connection_id": "c-1",
        "user_id": "42",
        "subjects": ["user:42"],
        "connected_at": 1700000000,
        "event_id": f"e-{number}",
        "message": {"n": number},
        "raw": "{}",
        **changes,
    }
    return Entry("inbox", f"{number}-0".encode(), json.dumps(document).encode(), deliveries)


@implementer(IInbox)
class FakeInbox:
    """Hands out what it was given.

    :ivar trouble: what acknowledge and give_up fail with, while it is set.
    :ivar held: while it is True, they do not come to an end.
    """

    name = "fake"

    def __init__(self) -> None:
        self._entries: deque[Entry] = deque()
        self._takers: deque[tuple[Deferred[list[Entry]], int]] = deque()
        self.acknowledged: list[bytes] = []
        self.letters: list[tuple[bytes, str]] = []
        self.trouble: Exception | None = None
        self.held = False
        self.answers: list[Deferred[None]] = []
        self.cancelled = 0

    @property
    def left(self) -> list[bytes]:
        """What nobody took."""
        return [one.position for one in self._entries]

    def bring(self, *entries: Entry) -> None:
        self._entries.extend(entries)
        self._serve()

    def next(self, most: int) -> Deferred[list[Entry]]:
        def cancel(taker: Deferred[list[Entry]]) -> None:
            self.cancelled += 1
            self._takers.clear()

        taker: Deferred[list[Entry]] = Deferred(cancel)
        self._takers.append((taker, most))
        self._serve()
        return taker

    def _serve(self) -> None:
        while self._takers and self._entries:
            taker, most = self._takers.popleft()
            taker.callback([self._entries.popleft() for _ in range(min(most, len(self._entries)))])

    def acknowledge(self, entries: Sequence[Entry]) -> Deferred[None]:
        self.acknowledged += [one.position for one in entries]
        return self._answer()

    def give_up(self, entry: Entry, reason: str) -> Deferred[None]:
        if self.trouble is None:
            self.letters.append((entry.position, reason))
        return self._answer()

    def _answer(self) -> Deferred[None]:
        if self.trouble is not None:
            return fail(self.trouble)
        if self.held:
            self.answers.append(Deferred())
            return self.answers[-1]
        return succeed(None)


class FakeApplication:
    """Is at work until the test says how far it came."""

    def __init__(self) -> None:
        self.calls: list[list[str | None]] = []
        self.halted = 0
        self._work: Deferred[Outcome] | None = None
        self._so_far: Callable[[int], object] = lambda done: None

    @property
    def at_work(self) -> bool:
        return self._work is not None and not self._work.called

    def call(self, events: Sequence[Event], so_far: Callable[[int], object]) -> Deferred[Outcome]:
        self.calls.append([event.event_id for event in events])
        self._so_far = so_far
        self._work = Deferred()
        return self._work

    def halt(self) -> None:
        self.halted += 1

    def report(self, done: int) -> None:
        """So many are done, and it works on."""
        self._so_far(done)

    def end(self, done: int, error: BaseException | None = None) -> None:
        """It worked on no more than these, or failed on the next one."""
        assert self._work is not None
        self._work.callback(Outcome(done, None if error is None else Failure(error)))
