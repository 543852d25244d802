"""What waits for a client that reads too slowly."""

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.websocket.queue import (
    MAX_CHUNK_BYTES,
    MAX_CONTROL_BYTES,
    ClientQueue,
    DropStrategy,
    QueueLimits,
)


def drained(queue: ClientQueue) -> list[bytes]:
    pieces = []
    while piece := queue.take():
        pieces.append(piece)
    return pieces


class QueueTests(SynchronousTestCase):
    def queue(self, count: int = 3, size: int = 100, strategy: str = "drop_oldest") -> ClientQueue:
        return ClientQueue(QueueLimits(count, size, DropStrategy(strategy)))

    def test_in_order(self) -> None:
        """What fits comes out in order, in one piece."""
        queue = self.queue()
        self.assertEqual(queue.put([b"1", b"2"]), 2)
        self.assertEqual(queue.put([b"3"]), 1)
        self.assertEqual((len(queue), queue.waiting_bytes, queue.dropped), (3, 3, 0))
        self.assertEqual(drained(queue), [b"123"])
        self.assertEqual((len(queue), queue.waiting_bytes), (0, 0))

    def test_drop_oldest(self) -> None:
        """The oldest publications make room, by count and by bytes."""
        queue = self.queue()
        self.assertEqual(queue.put([b"1", b"2", b"3", b"4", b"5"]), 5)
        self.assertEqual((queue.dropped, queue.overflowed), (2, False))
        self.assertEqual(queue.put([b"x" * 99]), 1)
        self.assertEqual(queue.dropped, 4)
        self.assertEqual(drained(queue), [b"5" + b"x" * 99])

    def test_drop_newest(self) -> None:
        """The newest publications are refused, and the rest of their batch with them."""
        queue = self.queue(strategy="drop_newest")
        self.assertEqual(queue.put([b"1", b"2", b"3", b"4", b"5"]), 3)
        self.assertEqual(queue.put([b"6"]), 0)
        self.assertEqual((queue.dropped, queue.overflowed), (3, False))
        self.assertEqual(drained(queue), [b"123"])
        self.assertEqual(queue.put([b"x" * 60, b"y" * 60, b"z"]), 1)
        self.assertEqual(drained(queue), [b"x" * 60])

    def test_close(self) -> None:
        """With `close` a full queue says that the client has to go."""
        queue = self.queue(strategy="close")
        self.assertEqual(queue.put([b"1", b"2", b"3"]), 3)
        self.assertFalse(queue.overflowed)
        self.assertEqual(queue.put([b"4"]), 0)
        self.assertEqual((queue.overflowed, queue.dropped), (True, 1))

    def test_larger_than_all(self) -> None:
        """A publication that never fits is refused, and drops nobody else."""
        queue = self.queue()
        queue.put([b"1", b"2"])
        self.assertEqual(queue.put([b"x" * 101, b"3"]), 0)
        self.assertEqual((len(queue), queue.dropped), (2, 2))

    def test_control_first_close_last(self) -> None:
        """Control frames go first, Close last."""
        queue = self.queue()
        queue.put([b"1", b"2"])
        queue.put_last(b"close")
        queue.put_control(b"pong")
        queue.put_control(b"ping")
        self.assertEqual(queue.waiting_bytes, 15)
        self.assertEqual(drained(queue), [b"pongping", b"12", b"close"])
        self.assertEqual(queue.waiting_bytes, 0)

    def test_control_is_not_dropped(self) -> None:
        """Control frames are exempt from the rule, and bounded: too many mean that the client has to go."""
        queue = self.queue(count=1, size=1)
        for _ in range(MAX_CONTROL_BYTES // 64):
            queue.put_control(b"x" * 64)
        self.assertFalse(queue.overflowed)
        queue.put_control(b"y")
        self.assertTrue(queue.overflowed)
        self.assertEqual((len(drained(queue)[0]), queue.dropped), (MAX_CONTROL_BYTES + 1, 0))

    def test_discard(self) -> None:
        """Discarding drops publications, counts them, and keeps the rest."""
        queue = self.queue()
        queue.put([b"1", b"2"])
        queue.put_control(b"pong")
        queue.put_last(b"close")
        queue.discard()
        self.assertEqual(queue.dropped, 2)
        self.assertEqual(drained(queue), [b"pong", b"close"])

    def test_pieces(self) -> None:
        """Much is taken out in pieces."""
        queue = self.queue(count=100, size=10_000_000)
        queue.put([b"x" * 30_000] * 10)
        pieces = drained(queue)
        self.assertEqual(sum(map(len, pieces)), 300_000)
        self.assertLess(max(map(len, pieces)), MAX_CHUNK_BYTES + 30_000)
        self.assertGreater(len(pieces), 2)
