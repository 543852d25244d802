"""The fast lane: what it takes, what goes the slow way, wherever the stream is cut."""

from __future__ import annotations

import random

from pika import frame, spec
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.brokers.rabbitmq.lane import BadFrame, Lane

LARGEST = 300
PROPERTIES = spec.BasicProperties(content_type="application/json", delivery_mode=2, message_id="an-id")


def message(channel: int, tag: int, body: bytes, key: str = "ws.outbox", piece: int = LARGEST) -> list[bytes]:
    """The frames of a delivery, as pika makes them."""
    method = spec.Basic.Deliver("consumer", tag, False, "ws.outbox", key)
    pieces = [body[start : start + piece] for start in range(0, len(body), piece)]
    return [
        frame.Method(channel, method).marshal(),
        frame.Header(channel, len(body), PROPERTIES).marshal(),
        *(frame.Body(channel, piece).marshal() for piece in pieces),
    ]


class LaneTests(SynchronousTestCase):
    """Everything comes out, in order, one way or the other."""

    def setUp(self) -> None:
        self.seen: list[object] = []
        self.lane = Lane(self.seen.append, LARGEST)
        self.lane.consumers[2] = lambda tag, key, body: self.seen.append((tag, key, body))
        self.lane.publishers[4] = lambda tag, multiple, good: self.seen.append((tag, multiple, good))

    def stream(self) -> tuple[list[bytes], list[object]]:
        """Frames of all kinds, and what becomes of them."""
        heartbeat = frame.Heartbeat().marshal()
        confirm = frame.Method(1, spec.Basic.Ack(7, True)).marshal()
        refusal = frame.Method(4, spec.Basic.Nack(8, False)).marshal()
        good = frame.Method(4, spec.Basic.Ack(2**33, False)).marshal()
        many = frame.Method(4, spec.Basic.Ack(9, True)).marshal()
        other = message(3, 1, b"not ours")
        long = message(2, 2, b"l" * 700)
        parts = message(2, 3, b"in two parts", piece=6)
        frames = [
            heartbeat,
            *message(2, 1, b"{}"),
            confirm,
            good,
            refusal,
            many,
            *other,
            *long,
            *message(2, 4, b"", "k" * 200),
            *parts,
            *message(2, 2**40, b"x" * LARGEST, "gr\xfc\xdfe"),
            heartbeat,
        ]
        expected: list[object] = [
            heartbeat,
            (1, "ws.outbox", b"{}"),
            confirm,
            (2**33, False, True),
            refusal,
            (9, True, True),
            *other,
            *long,
            (4, "k" * 200, b""),
            *parts,
            (2**40, "gr\xfc\xdfe", b"x" * LARGEST),
            heartbeat,
        ]
        return frames, expected

    def test_at_once(self) -> None:
        """All in one piece."""
        frames, expected = self.stream()
        self.lane.feed(b"".join(frames))
        self.assertEqual(self.seen, expected)
        slow = sum(len(seen) for seen in expected if isinstance(seen, bytes))
        self.assertEqual(self.lane.taken, sum(map(len, frames)) - slow)

    def test_cut_anywhere(self) -> None:
        """In two pieces, cut at every place."""
        frames, expected = self.stream()
        stream = b"".join(frames)
        for cut in range(len(stream)):
            self.setUp()
            self.lane.feed(stream[:cut])
            self.lane.feed(stream[cut:])
            self.assertEqual(self.seen, expected, cut)

    def test_byte_by_byte(self) -> None:
        """In pieces of every small size."""
        frames, expected = self.stream()
        stream = b"".join(frames)
        for size in (1, 2, 3, 7, 8, 9, 50, 333):
            self.setUp()
            for start in range(0, len(stream), size):
                self.lane.feed(stream[start : start + size])
            self.assertEqual(self.seen, expected, size)

    def test_stopped(self) -> None:
        """Whoever is told may stop it, at once."""
        self.lane.consumers[2] = lambda tag, key, body: (self.seen.append(tag), self.lane.stop())
        self.lane.feed(b"".join(message(2, 1, b"{}") + message(2, 2, b"{}")))
        self.lane.feed(b"".join(message(2, 3, b"{}")))
        self.assertEqual(self.seen, [1])

    def test_consumer_gone(self) -> None:
        """Deliveries of a channel that nobody consumes any more go the slow way, in the same run."""
        second = message(2, 2, b"{}")
        self.lane.consumers[2] = lambda tag, key, body: self.lane.consumers.clear()
        self.lane.feed(b"".join(message(2, 1, b"{}") + second))
        self.assertEqual(self.seen, second)

    def test_garbage(self) -> None:
        """What is no frame ends it; whatever comes, nothing else does."""
        with self.assertRaises(BadFrame):
            self.lane.feed(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        for place in (0, 1, 2):
            self.setUp()
            frames = message(2, 1, b"{}")
            frames[place] = frames[place][:-1] + b"\x00"
            with self.assertRaises(BadFrame):
                self.lane.feed(b"".join(frames))
        chance = random.Random(1)
        stream = b"".join(self.stream()[0])
        for _ in range(3_000):
            self.setUp()
            changed = bytearray(stream)
            for _ in range(chance.randint(1, 3)):
                changed[chance.randrange(len(changed))] = chance.randrange(256)
            try:
                self.lane.feed(bytes(changed))
            except BadFrame:
                pass
