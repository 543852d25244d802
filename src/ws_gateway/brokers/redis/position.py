"""Where a reader is in a stream, and whether the stream is still the one that it was reading.

A position is the id of the last entry that was read. Between two looks at the stream much may happen to it:

| what happened | how it shows | the position |
|---|---|---|
| trimmed past the position | more entries were added than were read, and they are gone | stays |
| its end was lost: a failover, a Redis that was killed | fewer were ever added, or its last id is older than
the position; it holds entries that were read | goes back to the newest of them; nothing is read twice |
| flushed, and begun again | the same, but it holds nothing that was ever read | the new beginning |

Entries are counted to know this: `entries-added` of Redis 7 is the number of the newest one. Before Redis 7
trimming can only be guessed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from enum import StrEnum

from attrs import frozen

from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.brokers.redis.streams import BEGINNING, EntryId, StreamInfo, look_at, parse_id, show_id

__all__ = ["Loss", "LossReason", "StreamPosition"]

# Of so many batches every id is remembered: the end that a stream may lose without our reading twice.
_BATCHES = 64
# New entries between those that we know are few: clocks differ by little.
_TRIES = 100


class LossReason(StrEnum):
    """Why a position was lost: the label of `outbox_position_lost_total`."""

    TRIMMED = "trimmed"
    AHEAD = "ahead"
    BEGUN_AGAIN = "begun_again"


@frozen
class Loss:
    """A position that was lost.

    :ivar detail: one sentence for the log.
    """

    reason: LossReason
    detail: str


class StreamPosition:
    """Where one reader is in one stream.

    :ivar last: the id of the last entry that was read; None before the first look.
    """

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self.last: EntryId | None = None
        # The number of the entry `last`, counted from the first one ever added; None if it is not known.
        self._number: int | None = None
        self._first: EntryId | None = None
        self._read: deque[Sequence[EntryId]] = deque(maxlen=_BATCHES)

    def moved(self, ids: Sequence[EntryId]) -> None:
        """Entries were read that follow the position."""
        self.last = ids[-1]
        self._read.append(ids)
        if self._number is not None:
            self._number += len(ids)

    async def look(self, link: RedisLink) -> Loss | None:
        """Compare with the stream. No entries may be on their way to us meanwhile.

        The first look takes the end of the stream for the position; of an absent one, its beginning.

        :raises BrokerDown:
        :raises BrokerRefused:
        """
        info = await look_at(link, self._stream)
        if self.last is None:
            self._begin_at(*((info.last, info.added) if info else (BEGINNING, 0)))
            loss = None
        elif info is None:
            loss = self._begin_again() if self.last != BEGINNING else None
        elif info.last < self.last or self._fewer_than_read(info):
            loss = await self._find(link, info)
        else:
            loss = self._judge_trimming(info)
        self._first = info.first if info else None
        return loss

    def _fewer_than_read(self, info: StreamInfo) -> bool:
        return info.added is not None and self._number is not None and info.added < self._number

    def _judge_trimming(self, info: StreamInfo) -> Loss | None:
        assert self.last is not None
        if info.added is None:
            guessed = info.first is not None and self.last < info.first and self.last != BEGINNING
            if not guessed or self._first == info.first:
                return None
            return Loss(LossReason.TRIMMED, "entries may have been trimmed before they were read")
        if self._number is None:
            if info.last == self.last:
                self._number = info.added
            return None
        gone = info.added if info.last == self.last else info.added - info.length
        missed = gone - self._number
        if missed <= 0:
            return None
        self._number += missed
        return Loss(LossReason.TRIMMED, f"{missed} entries were trimmed or deleted before they were read")

    async def _find(self, link: RedisLink, info: StreamInfo) -> Loss | None:
        """The stream is not what it was. Is it what it was some time ago?"""
        assert self.last is not None
        newest = await self._newest_known(link, info.last)
        if newest is None:
            if info.first is None or info.first != self._first:
                return self._begin_again()
            # It ends before everything that we read, so all of it is older.
            newest = info.last
        former = self.last
        self._begin_at(newest, info.added if newest == info.last else None)
        if newest == former:
            return None
        return Loss(LossReason.AHEAD, "the stream lost entries that had been read already")

    async def _newest_known(self, link: RedisLink, bound: EntryId) -> EntryId | None:
        """The newest entry of the stream that was read, or None.

        What we read may be gone, and what is there may be new, with ids between those that we know.
        """
        known = sorted({entry for batch in self._read for entry in batch})
        for _ in range(_TRIES):
            at = bisect_right(known, bound)
            if not at:
                return None
            entries = await link.run("XREVRANGE", self._stream, show_id(known[at - 1]), "-", "COUNT", 1)
            if not entries:
                return None
            bound = parse_id(entries[0][0])
            if known[bisect_left(known, bound)] == bound:
                return bound
        return None

    def _begin_at(self, last: EntryId, number: int | None) -> None:
        self.last, self._number = last, number
        kept = [entry for batch in self._read for entry in batch if entry < last]
        self._read.clear()
        self._read.append([*kept, last] if last != BEGINNING else [])

    def _begin_again(self) -> Loss:
        self._read.clear()
        self.last, self._number = BEGINNING, 0
        return Loss(LossReason.BEGUN_AGAIN, "the stream was emptied; it is read from its new beginning")
