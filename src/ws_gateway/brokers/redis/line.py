"""What one writer knows of one stream: which batches are under way, which arrived, which nobody knows about.

| state | meaning | a run that is offered |
|---|---|---|
| SENDING | nothing is in doubt | is sent, in batches |
| BROKEN | a batch failed, so none behind it is taken | fails while some are under way, else -> FENCING |
| FENCING | the old epoch is being closed | is held: sent when that is done, failed (BROKEN) if it fails |

The fence tells what arrived. The entries of these batches are remembered by their ids until they are offered
again, and settled without being sent. They are always the oldest of what is not settled, so as soon as
a run goes on behind them, the rest is forgotten: whoever offers has given it up.

Whoever hears of the end of a run may offer the next one within that call. So ends are told last, when nothing
else is left to do.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import Enum, auto
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from ws_gateway.brokers.redis.producer_scripts import KEY_SECONDS
from ws_gateway.errors import BrokerDown

__all__ = ["MOST_BYTES", "MOST_ENTRIES", "Entry", "Line", "Writer"]

Entry = tuple[bytes, bytes]
"""The id by which an entry is known when it is offered again, and what is written."""

MOST_ENTRIES = 500
MOST_BYTES = 1024 * 1024
"""What one batch holds at most (a single entry may be longer): Redis serves nobody else meanwhile."""


class Writer(Protocol):
    """How batches get into a stream."""

    def side_by_side(self, stream: str) -> bool:
        """Whether a batch may be sent before the one before it is answered."""

    def append(self, stream: str, epoch: int, number: int, data: Sequence[bytes]) -> Deferred[None]:
        """Append a batch, if it is the next one of this epoch.

        :raises BrokerDown: (as a failure) not taken, or nobody knows.
        """

    def fence(self, stream: str, epoch: int) -> Deferred[int]:
        """Close an epoch: none of its batches is taken any more.

        :returns Deferred[int]: the number of the last batch that was taken.
        :raises BrokerDown: (as a failure) nobody knows.
        """


class _State(Enum):
    SENDING = auto()
    BROKEN = auto()
    FENCING = auto()


@define(eq=False)
class _Run:
    """What was offered at once.

    :ivar left: batches without an answer.
    :ivar arrived: ids of entries that Redis has; they matter if the run fails.
    """

    entries: Sequence[Entry]
    done: Deferred[None] = field(factory=Deferred)
    left: int = 0
    arrived: list[bytes] = field(factory=list)
    error: BrokerDown | None = None

    def tell(self) -> None:
        """Tell the end to whoever offered it."""
        if self.done.called:
            return
        if self.error is None:
            self.done.callback(None)
        else:
            self.done.errback(Failure(self.error))


@define(eq=False)
class _Batch:
    """What is sent at once."""

    run: _Run
    ids: list[bytes]
    data: list[bytes]
    number: int = 0


class Line:
    """See the module.

    :param writer: the way to Redis at this moment.
    """

    def __init__(self, stream: str, writer: Writer, clock: IReactorTime) -> None:
        self._stream = stream
        self._writer = writer
        self._clock = clock
        self._state = _State.SENDING
        self._epoch = 1
        self._number = 0
        self._last_used = clock.seconds()
        self._ready: deque[_Batch] = deque()
        self._flying: deque[_Batch] = deque()
        # Batches that failed in this epoch: their numbers and ids.
        self._unsure: list[tuple[int, list[bytes]]] = []
        self._arrived: set[bytes] = set()
        self._held: list[_Run] = []
        self._ended: deque[_Run] = deque()
        self._depth = 0

    @property
    def remembered(self) -> int:
        """How many ids are kept because their entries may be offered again."""
        return len(self._arrived) + sum(len(ids) for _, ids in self._unsure)

    def offer(self, entries: Sequence[Entry]) -> Deferred[None]:
        """Append a run of entries, in order.

        :raises BrokerDown: (as a failure) not all of them were taken, or nobody knows.
        """
        if self._state is _State.BROKEN and self._flying:
            return fail(BrokerDown("a batch before it was not taken"))
        run = _Run(entries)
        with self._telling_last():
            if self._state is _State.SENDING:
                self._begin_anew_after_silence()
                self._send(run)
            else:
                self._held.append(run)
                if self._state is _State.BROKEN:
                    self._fence()
        return run.done

    def close(self) -> None:
        """Give up everything; answers that still come change nothing."""
        error = BrokerDown("the gateway stops; whether Redis has it is not known")
        runs = dict.fromkeys([*(batch.run for batch in (*self._flying, *self._ready)), *self._held])
        self._ready.clear()
        self._held.clear()
        with self._telling_last():
            for run in runs:
                self._end(run, error)

    @contextmanager
    def _telling_last(self) -> Iterator[None]:
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
            while self._ended and not self._depth:
                self._ended.popleft().tell()

    def _end(self, run: _Run, error: BrokerDown | None = None) -> None:
        run.error = run.error or error
        self._ended.append(run)

    def _begin_anew_after_silence(self) -> None:
        """Before Redis forgets us (KEY_SECONDS), which would look like a gap, forget the past ourselves."""
        now = self._clock.seconds()
        if now - self._last_used > KEY_SECONDS / 2 and not self._flying and not self._ready:
            self._begin_epoch()
        self._last_used = now

    def _begin_epoch(self) -> None:
        self._epoch += 1
        self._number = 0

    def _send(self, run: _Run) -> None:
        fresh: Sequence[Entry] = run.entries
        if self._arrived:
            run.arrived = [name for name, _ in run.entries if name in self._arrived]
            fresh = [entry for entry in run.entries if entry[0] not in self._arrived]
            self._arrived.difference_update(run.arrived)
            if fresh:
                self._arrived.clear()
        batches = list(_cut(run, fresh))
        run.left = len(batches)
        if not batches:
            self._end(run)
            return
        self._ready.extend(batches)
        self._pump()

    def _pump(self) -> None:
        while self._ready and (self._writer.side_by_side(self._stream) or not self._flying):
            batch = self._ready.popleft()
            self._number += 1
            batch.number = self._number
            self._flying.append(batch)
            answer = self._writer.append(self._stream, self._epoch, batch.number, batch.data)
            batch.data = []
            answer.addCallbacks(self._appended, self._failed, (batch,), {}, (batch,), {})

    def _appended(self, _: None, batch: _Batch) -> None:
        with self._telling_last():
            self._flying.remove(batch)
            batch.run.arrived.extend(batch.ids)
            self._answered(batch.run)
            self._pump()

    def _failed(self, failure: Failure, batch: _Batch) -> None:
        error = failure.value
        assert isinstance(error, BrokerDown), failure
        with self._telling_last():
            self._flying.remove(batch)
            self._state = _State.BROKEN
            self._unsure.append((batch.number, batch.ids))
            unsent, self._ready = self._ready, deque()
            for lost in (batch, *unsent):
                lost.run.error = lost.run.error or error
            for lost in (batch, *unsent):
                self._answered(lost.run)

    def _answered(self, run: _Run) -> None:
        """One more batch of a run has an answer."""
        run.left -= 1
        if run.left:
            return
        if run.error is not None:
            self._arrived.update(run.arrived)
        self._end(run)

    def _fence(self) -> None:
        self._state = _State.FENCING
        self._writer.fence(self._stream, self._epoch).addCallbacks(self._fenced, self._not_fenced)

    def _fenced(self, number: int) -> None:
        for failed, ids in self._unsure:
            if failed <= number:
                self._arrived.update(ids)
        self._unsure.clear()
        self._begin_epoch()
        self._state = _State.SENDING
        held, self._held = self._held, []
        with self._telling_last():
            for run in held:
                if self._state is _State.SENDING:
                    self._send(run)
                else:
                    self._end(run, BrokerDown("a batch before it was not taken"))

    def _not_fenced(self, failure: Failure) -> None:
        error = failure.value
        assert isinstance(error, BrokerDown), failure
        self._state = _State.BROKEN
        held, self._held = self._held, []
        with self._telling_last():
            for run in held:
                self._end(run, error)


def _cut(run: _Run, entries: Sequence[Entry]) -> Iterator[_Batch]:
    """Batches that Redis takes quickly."""
    if len(entries) <= MOST_ENTRIES:  # mostly all of it is one
        whole = [data for _, data in entries]
        if whole and sum(map(len, whole)) <= MOST_BYTES:
            yield _Batch(run, [name for name, _ in entries], whole)
            return
    batch = _Batch(run, [], [])
    size = 0
    for name, data in entries:
        if batch.data and (len(batch.data) >= MOST_ENTRIES or size + len(data) > MOST_BYTES):
            yield batch
            batch = _Batch(run, [], [])
            size = 0
        batch.ids.append(name)
        batch.data.append(data)
        size += len(data)
    if batch.data:
        yield batch
