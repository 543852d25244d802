"""Frames for clients."""

import zlib

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain.outgoing import (
    MIN_DEFLATED,
    Batch,
    Outgoing,
    Wire,
    deflated_frame,
    text_frame,
)


def parse(frame: bytes) -> tuple[int, bytes]:
    """The first byte and the payload of one unmasked frame, written after RFC 6455 section 5.2."""
    first, length = frame[0], frame[1]
    assert length < 128, "servers do not mask"
    at = 2
    if length == 126:
        length, at = int.from_bytes(frame[2:4], "big"), 4
        assert length >= 126, "the shortest form must be used"
    elif length == 127:
        length, at = int.from_bytes(frame[2:10], "big"), 10
        assert length >= 65536, "the shortest form must be used"
    assert len(frame) == at + length
    return first, frame[at:]


def inflate(payload: bytes) -> bytes:
    """What a client does with a compressed message (RFC 7692 section 7.2.2)."""
    return zlib.decompressobj(-15).decompress(payload + b"\x00\x00\xff\xff")


class TextFrameTests(SynchronousTestCase):
    def test_heads(self) -> None:
        """The length has 7, 16 or 64 bits, always the shortest form."""
        for size, head in {
            0: "81 00",
            1: "81 01",
            125: "81 7d",
            126: "81 7e 00 7e",
            65535: "81 7e ff ff",
            65536: "81 7f 00 00 00 00 00 01 00 00",
        }.items():
            payload = b"x" * size
            frame = text_frame(payload)
            self.assertEqual(frame, bytes.fromhex(head) + payload)
            self.assertEqual(parse(frame), (0x81, payload))

    def test_first_byte(self) -> None:
        """Other reserved bits may be asked for, at every length."""
        for size in (1, 200, 70_000):
            self.assertEqual(parse(text_frame(b"x" * size, 0xC1)), (0xC1, b"x" * size))


class DeflatedFrameTests(SynchronousTestCase):
    def test_inflates_back(self) -> None:
        """A client without context gets the same text back."""
        for size in (MIN_DEFLATED, 125, 126, 1_000, 65536, 300_000):
            payload = (b'{"n":123,"text":"abc"}' * (size // 22 + 1))[:size]
            first, squeezed = parse(deflated_frame(payload))
            self.assertEqual(first, 0xC1)
            self.assertEqual(inflate(squeezed), payload)
            self.assertFalse(squeezed.endswith(b"\x00\x00\xff\xff"), "the tail is not sent")
            self.assertLess(len(squeezed), size)

    def test_what_does_not_shrink(self) -> None:
        """Noise comes back too."""
        noise = bytes((number * 7919 + number // 256 * 104729) % 251 for number in range(70_000))
        self.assertEqual(inflate(parse(deflated_frame(noise))[1]), noise)

    def test_short_ones_stay_plain(self) -> None:
        """Below the least size a message is not compressed, and not marked so."""
        payload = b"x" * (MIN_DEFLATED - 1)
        self.assertEqual(deflated_frame(payload), text_frame(payload))


class OutgoingTests(SynchronousTestCase):
    PAYLOAD = b'{"text":"' + b"hello " * 50 + b'"}'
    TEXT = b'{"type":"event","payload":' + PAYLOAD + b"}"

    def test_plain(self) -> None:
        """The frame holds the event, the payload as it came."""
        self.assertEqual(parse(Outgoing(self.PAYLOAD).frame(Wire.PLAIN)), (0x81, self.TEXT))

    def test_deflated(self) -> None:
        """The compressed one says the same."""
        first, squeezed = parse(Outgoing(self.PAYLOAD).frame(Wire.DEFLATE))
        self.assertEqual((first, inflate(squeezed)), (0xC1, self.TEXT))

    def test_encoded_once(self) -> None:
        """Each wire's frame is made once, however often it is asked for."""
        one = Outgoing(self.PAYLOAD)
        for wire in Wire:
            self.assertIs(one.frame(wire), one.frame(wire))
        self.assertNotEqual(one.frame(Wire.PLAIN), one.frame(Wire.DEFLATE))

    def test_identity(self) -> None:
        """Two publications with the same payload are two."""
        self.assertNotEqual(Outgoing(b"1"), Outgoing(b"1"))


class BatchTests(SynchronousTestCase):
    def test_joined(self) -> None:
        """All frames in order, in one piece, made once."""
        outgoings = [Outgoing(b"1"), Outgoing(b'"two"'), Outgoing(b"[3]")]
        batch = Batch(outgoings)
        self.assertEqual(len(batch), 3)
        for wire in Wire:
            self.assertEqual(batch.joined(wire), b"".join(one.frame(wire) for one in outgoings))
            self.assertIs(batch.joined(wire), batch.joined(wire))

    def test_shares_frames(self) -> None:
        """Batches that share a publication share its encoding."""
        one = Outgoing(b"1")
        frame = one.frame(Wire.PLAIN)
        Batch([one, Outgoing(b"2")]).joined(Wire.PLAIN)
        self.assertIs(one.frame(Wire.PLAIN), frame)

    def test_empty(self) -> None:
        """Nothing joined is nothing."""
        self.assertEqual(Batch([]).joined(Wire.PLAIN), b"")
