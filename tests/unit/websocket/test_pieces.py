"""Messages in many pieces."""

import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.websocket.test_protocol import ProtocolTestCase
from ws_gateway.testing.frames import BINARY, CONTINUATION, TEXT, frame
from ws_gateway.websocket.pieces import FEW, gather


class GatherTests(SynchronousTestCase):
    """`gather`."""

    def test_content(self) -> None:
        """Whatever the pieces, they stay in order and whole; few are kept as they came."""
        for count in (0, 1, FEW, FEW + 1, 5 * FEW + 3):
            pieces: list[bytes | bytearray] = []
            expected = [b"%d," % number for number in range(count)]
            for piece in expected:
                gather(pieces, piece)
            self.assertEqual(b"".join(pieces), b"".join(expected))
            self.assertLessEqual(len(pieces), FEW)
            if count <= FEW:
                self.assertEqual(pieces, expected)

    def test_size(self) -> None:
        """A message in single bytes costs little more than its bytes; empty pieces cost nothing."""
        pieces: list[bytes | bytearray] = []
        for _ in range(50_000):
            gather(pieces, b"x")
            gather(pieces, b"")
        self.assertEqual(b"".join(pieces), b"x" * 50_000)
        self.assertLess(sys.getsizeof(pieces) + sum(map(sys.getsizeof, pieces)), 65_000)


class MessageTests(ProtocolTestCase):
    """The protocol keeps its messages so."""

    def test_frames_without_end(self) -> None:
        """Nothing is kept of empty frames, of which a message may have any number."""
        line = self.make()
        line.send(frame(b"", TEXT, fin=False))
        for _ in range(100):
            line.send(frame(b"", CONTINUATION, fin=False) * 10)
        self.assertEqual(self.connection.message_data, [])  # type: ignore[attr-defined]
        line.send(frame(b'{"n":1}', CONTINUATION))
        self.assertEqual([event.raw for event in self.gate.emitter.messages], ['{"n":1}'])

    def test_frames_of_single_bytes(self) -> None:
        """They are joined as they come; the message is whole, text and binary, dripping or not."""
        text = '{"text":"' + "äöü" * 100 + '"}'
        for opcode, cut in ((TEXT, 1), (BINARY, 1), (TEXT, 1000)):
            line = self.make()
            data = text.encode()
            pieces = [data[at : at + cut] for at in range(0, len(data), cut)]
            for number, piece in enumerate(pieces):
                wire = frame(piece, opcode if number == 0 else CONTINUATION, fin=number == len(pieces) - 1)
                for at in range(len(wire)):
                    line.send(wire[at : at + 1])
                kept = self.connection.message_data or []  # type: ignore[attr-defined]
                self.assertLessEqual(len(kept), FEW)
            (event,) = self.gate.emitter.messages
            if opcode == TEXT:
                self.assertEqual(event.raw, text)
