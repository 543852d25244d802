"""The fast lane for frames: what nearly all clients send, read without Autobahn's frame objects.

It takes complete, final, masked text frames of minimal length encoding within the size limit and with valid
UTF-8. Anything else makes it step aside at that frame's first byte, and Autobahn judges. A differential test
holds the two against each other.
"""

from autobahn.websocket.xormasker import create_xor_masker

__all__ = ["next_text"]

_FINAL_TEXT = 0x81
_BIG_INTEGER_LIMIT = 1024
"""Up to here one XOR of two big integers is faster than a call into the native masker."""


def next_text(data: bytes, at: int, limit: int) -> tuple[str, int] | None:
    """The text frame at a place in the buffer.

    :param at: where a frame begins.
    :param limit: bytes that a message may have; 0 means no limit.
    :returns: the text and where the next frame begins, or None if Autobahn has to look.
    """
    size = len(data)
    if size - at < 6 or data[at] != _FINAL_TEXT:
        return None
    length = data[at + 1] - 0x80
    if length < 0:
        return None
    mask_at = at + 2
    if length > 125:
        if length == 127 or size - at < 8:
            return None
        length = data[at + 2] << 8 | data[at + 3]
        if length < 126:
            return None
        mask_at = at + 4
    start = mask_at + 4
    end = start + length
    if end > size or (limit and length > limit):
        return None
    mask = data[mask_at:start]
    if length <= _BIG_INTEGER_LIMIT:
        keys = (mask * (length + 3 >> 2))[:length]
        payload = (int.from_bytes(data[start:end], "little") ^ int.from_bytes(keys, "little")).to_bytes(
            length, "little"
        )
    else:
        masker = create_xor_masker(mask, length)
        payload = masker.process(data[start:end])
    try:
        return payload.decode("utf-8"), end
    except UnicodeDecodeError:
        return None
