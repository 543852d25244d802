"""When the fast lane takes a frame, and when it steps aside."""

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.testing.frames import BINARY, CONTINUATION, PING, frame
from ws_gateway.websocket.lane import texts


class LaneTests(SynchronousTestCase):
    def taken(self, data: bytes, at: int = 0, limit: int = 65536) -> str | None:
        for text, _ in texts(data, at, limit):
            return text
        return None

    def test_sizes(self) -> None:
        """Texts of every length up to 65,535 bytes are read, with the place of the next frame."""
        for size in (0, 1, 2, 3, 4, 5, 125, 126, 127, 1023, 1024, 1025, 1029, 65535):
            text = ("0123456789" * (size // 10 + 1))[:size]
            data = frame(text.encode(), mask=b"\x01\x80\xfe\x33")
            self.assertEqual(list(texts(b"??" + data + b"more", 2, 65536)), [(text, len(data) + 2)])

    def test_characters(self) -> None:
        """Text is UTF-8, of any kind and with any mask."""
        text = "é日本😀\x00"
        for mask in (b"\x00\x00\x00\x00", b"\xff\xff\xff\xff", b"\x81\x00\x7f\x01"):
            self.assertEqual(self.taken(frame(text.encode(), mask=mask)), text)
            self.assertEqual(self.taken(frame(text.encode() * 200, mask=mask)), text * 200)

    def test_steps_aside(self) -> None:
        """Anything else is left to Autobahn."""
        for data in [
            b"",
            frame(b"x", BINARY),
            frame(b"x", PING),
            frame(b"x", CONTINUATION),
            frame(b"x", fin=False),
            frame(b"x", rsv=4),
            frame(b"xxxxxx", mask=None),
            frame(b"x", length_bytes=2),
            frame(b"x" * 200, length_bytes=8),
            frame(b"x" * 65536),
            frame(b"\xff"),
            frame(b"\xc3"),
            frame("\ud800".encode("utf-8", "surrogatepass")),
        ]:
            self.assertIsNone(self.taken(data, limit=1_000_000), data[:20])

    def test_one_after_the_other(self) -> None:
        """All frames up to the first one that is not for it; the place is known wherever one stops."""
        parts = [frame(text.encode()) for text in ("a", "é" * 100, "", "x" * 2000)]
        data = b"".join(parts) + frame(b"x", PING) + parts[0]
        found = list(texts(data, 0, 65536))
        self.assertEqual([text for text, _ in found], ["a", "é" * 100, "", "x" * 2000])
        ends = [sum(map(len, parts[: count + 1])) for count in range(len(parts))]
        self.assertEqual([end for _, end in found], ends)

    def test_incomplete(self) -> None:
        """A frame that is not complete is left to Autobahn at its first byte."""
        for size in (0, 5, 126, 2000):
            data = frame(b"x" * size)
            for end in range(0, len(data), 1 + size // 50):
                self.assertIsNone(self.taken(data[:end]))

    def test_limit(self) -> None:
        """What is too large is left to Autobahn; 0 means no limit."""
        self.assertEqual(self.taken(frame(b"x" * 100), limit=100), "x" * 100)
        self.assertIsNone(self.taken(frame(b"x" * 101), limit=100))
        self.assertEqual(self.taken(frame(b"x" * 101), limit=0), "x" * 101)
