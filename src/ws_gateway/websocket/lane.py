"""The fast lane for frames: what nearly all clients send, read without Autobahn's frame objects.

It takes complete, final, masked text frames of minimal length encoding within the size limit and with valid
UTF-8. Anything else makes it step aside at that frame's first byte, and Autobahn judges. A differential test
holds the two against each other.
"""

from collections.abc import Iterator

from autobahn.websocket.xormasker import create_xor_masker

__all__ = ["texts"]

_FINAL_TEXT = 0x81
_BIG_INTEGER_LIMIT = 1024
"""Up to here one XOR of two big integers is faster than a call into the native masker."""

_integer = int.from_bytes


def texts(data: bytes, at: int, limit: int) -> Iterator[tuple[str, int]]:
    """The text frames at a place in the buffer, up to the first one that Autobahn has to look at.

    :param at: where a frame begins.
    :param limit: bytes that a message may have; 0 means no limit.
    :returns: each text and where the next frame begins.
    """
    size = len(data)
    while size - at >= 6 and data[at] == _FINAL_TEXT:
        length = data[at + 1] - 0x80
        start = at + 6
        if length > 125:
            if length == 127 or size - at < 8:
                return
            length = data[at + 2] << 8 | data[at + 3]
            if length < 126:
                return
            start = at + 8
        elif length < 0:
            return
        at = start + length
        if at > size or (limit and length > limit):
            return
        mask = data[start - 4 : start]
        if length <= _BIG_INTEGER_LIMIT:
            keys = (mask * (length + 3 >> 2))[:length]
            payload = (_integer(data[start:at], "little") ^ _integer(keys, "little")).to_bytes(
                length, "little"
            )
        else:
            payload = create_xor_masker(mask, length).process(data[start:at])
        try:
            text = payload.decode("utf-8")
        except UnicodeDecodeError:
            return
        yield text, at
