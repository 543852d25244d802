"""Where a reader is in a stream, by what a Redis of the test says of it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import TestCase

from ws_gateway.brokers.redis.entries import BatchSize, sort_out
from ws_gateway.brokers.redis.position import LossReason, StreamPosition
from ws_gateway.brokers.redis.streams import BEGINNING, EntryId, parse_id, show_id
from ws_gateway.errors import BrokerRefused


class Stream:
    """One stream of a Redis, also of an old one."""

    def __init__(self, counts: bool = True) -> None:
        self.counts = counts
        self.exists = True
        self.entries: list[EntryId] = []
        self.last = BEGINNING
        self.added = 0

    def add(self, *milliseconds: int) -> list[EntryId]:
        """Append entries."""
        new = [(number, 0) for number in milliseconds]
        self.entries += new
        self.last = new[-1]
        self.added += len(new)
        return new

    def lose(self, count: int) -> None:
        """Lose the end, as a failover does."""
        del self.entries[-count:]
        self.last = self.entries[-1]
        self.added -= count

    def begin_again(self) -> None:
        """As after FLUSHALL and the next XADD."""
        self.entries, self.last, self.added = [], BEGINNING, 0

    def run(self, *words: Any) -> Deferred[Any]:
        if words[0] == "XREVRANGE":
            newest = parse_id(words[2].encode())
            found = [entry for entry in self.entries if entry <= newest][-1:]
            return succeed([[show_id(entry).encode(), []] for entry in found])
        if not self.exists:
            return fail(BrokerRefused("ERR", "no such key"))
        first = [show_id(self.entries[0]).encode(), []] if self.entries else None
        told = [b"length", len(self.entries), b"last-generated-id", show_id(self.last).encode()]
        if self.counts:
            told += [b"entries-added", self.added]
        return succeed([*told, b"first-entry", first])


class PositionTests(TestCase):
    """The table of the module."""

    def setUp(self) -> None:
        self.stream = Stream()
        self.position = StreamPosition("s")

    async def look(self) -> LossReason | None:
        loss = await self.position.look(self.stream)  # type: ignore[arg-type]
        return loss and loss.reason

    def read(self) -> list[EntryId]:
        """Read what there is, as XREAD would."""
        last = self.position.last
        new = [entry for entry in self.stream.entries if entry > last]
        if new:
            self.position.moved(new)
        return new

    async def test_start(self) -> None:
        """The first look takes the end for the position."""
        self.stream.add(10, 20)
        self.assertIsNone(await self.look())
        self.assertEqual(self.position.last, (20, 0))

    async def test_start_without_a_stream(self) -> None:
        """An absent stream is read from its beginning; that it is absent is no loss."""
        self.stream.exists = False
        self.assertIsNone(await self.look())
        self.assertIsNone(await self.look())
        self.stream.exists = True
        self.stream.add(10)
        self.assertIsNone(await self.look())
        self.assertEqual(self.read(), [(10, 0)])

    async def test_trimmed(self) -> None:
        """What was trimmed before it was read is a loss once, also when it is found out later."""
        self.stream.add(10)
        await self.look()
        self.stream.add(20, 30, 40, 50)
        del self.stream.entries[:3]
        self.read()
        self.assertIs(await self.look(), LossReason.TRIMMED)
        self.assertIsNone(await self.look())

    async def test_trimmed_and_behind(self) -> None:
        """It is found out also while there is more to read."""
        self.stream.add(10)
        await self.look()
        self.stream.add(20, 30, 40)
        del self.stream.entries[:2]
        self.assertIs(await self.look(), LossReason.TRIMMED)
        self.assertEqual(self.read(), [(30, 0), (40, 0)])
        self.assertIsNone(await self.look())

    async def test_trimmed_behind_us(self) -> None:
        """What was trimmed after it was read is none."""
        await self.look()
        self.stream.add(10, 20)
        self.read()
        self.stream.entries.clear()
        self.assertIsNone(await self.look())

    async def test_end_lost(self) -> None:
        """Where the end was lost the position goes back to what was read and is still there."""
        self.stream.add(10)
        await self.look()
        self.stream.add(20, 30, 40)
        self.read()
        self.stream.lose(2)
        self.assertIs(await self.look(), LossReason.AHEAD)
        self.assertEqual(self.position.last, (20, 0))
        self.assertIsNone(await self.look())

    async def test_end_lost_and_new_ones_with_smaller_ids(self) -> None:
        """What follows the loss is read, also where the new master's clock is behind."""
        self.stream.add(10)
        await self.look()
        self.stream.add(20, 30, 40)
        self.read()
        self.stream.lose(2)
        self.stream.add(25, 35)
        self.assertIs(await self.look(), LossReason.AHEAD)
        self.assertEqual(self.read(), [(25, 0), (35, 0)])

    async def test_end_of_before_our_start_lost(self) -> None:
        """Where even the end of before our start was lost, nothing of before is read."""
        self.stream.add(10, 20, 30)
        await self.look()
        self.stream.lose(1)
        self.assertIs(await self.look(), LossReason.AHEAD)
        self.assertEqual(self.position.last, (20, 0))

    async def test_begun_again(self) -> None:
        """A stream that holds nothing of what was read is read from its beginning."""
        await self.look()
        self.stream.add(10, 20)
        self.read()
        self.stream.begin_again()
        self.stream.add(5)
        self.assertIs(await self.look(), LossReason.BEGUN_AGAIN)
        self.assertEqual(self.read(), [(5, 0)])
        self.assertIsNone(await self.look())

    async def test_begun_again_with_larger_ids(self) -> None:
        """The same where its ids are larger."""
        await self.look()
        self.stream.add(10, 20)
        self.read()
        self.stream.begin_again()
        self.stream.add(30)
        self.assertIs(await self.look(), LossReason.BEGUN_AGAIN)
        self.assertEqual(self.read(), [(30, 0)])

    async def test_begun_again_and_read(self) -> None:
        """Where everything since was read, nothing is lost."""
        await self.look()
        self.stream.add(10, 20)
        self.read()
        self.stream.begin_again()
        self.stream.add(30)
        self.read()
        self.assertIsNone(await self.look())
        self.assertEqual(self.position.last, (30, 0))
        self.stream.add(40)
        self.read()
        self.assertIsNone(await self.look())

    async def test_gone(self) -> None:
        """A stream that is gone is a loss once."""
        self.stream.add(10)
        await self.look()
        self.stream.exists = False
        self.assertIs(await self.look(), LossReason.BEGUN_AGAIN)
        self.assertIsNone(await self.look())

    async def test_before_redis_7(self) -> None:
        """A Redis that does not count entries: trimming is guessed, the rest is known as ever."""
        self.stream.counts = False
        self.stream.add(10)
        await self.look()
        self.stream.add(20, 30)
        del self.stream.entries[:2]
        self.assertIs(await self.look(), LossReason.TRIMMED)
        self.assertEqual(self.read(), [(30, 0)])
        self.assertIsNone(await self.look())
        self.stream.begin_again()
        self.stream.add(5)
        self.assertIs(await self.look(), LossReason.BEGUN_AGAIN)


class EntriesTests(TestCase):
    """Batches."""

    def test_sorted_out(self) -> None:
        """Documents and entries without one are told apart, with their ids."""
        entries = sort_out(
            [
                [b"1-0", [b"data", b"one"]],
                [b"1-1", [b"message", b"\xff"]],
                [b"2-0", [b"x", b"", b"data", b"two"]],
            ]
        )
        self.assertEqual(entries.ids, [(1, 0), (1, 1), (2, 0)])
        self.assertEqual(entries.documents, [b"one", b"two"])
        self.assertEqual(entries.document_ids, ["1-0", "2-0"])
        [unusable] = entries.unusable
        self.assertEqual((unusable.entry_id, unusable.raw), ("1-1", '{"message":"\ufffd"}'.encode()))
        self.assertEqual(entries.size, 6)

    def test_size(self) -> None:
        """As many are asked for as fit; the number grows step by step and shrinks at once."""
        size = BatchSize(500, 1_000_000)
        self.assertEqual(size.count, 100)
        size.learn(100, 1_000)
        self.assertEqual(size.count, 200)
        size.learn(200, 2_000)
        size.learn(400, 4_000)
        self.assertEqual(size.count, 500)
        size.learn(500, 50_000_000)
        self.assertEqual(size.count, 10)
        size.learn(1, 5_000_000)
        self.assertEqual(size.count, 1)
        size.learn(0, 0)
        self.assertEqual(size.count, 1)
