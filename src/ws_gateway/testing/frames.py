"""WebSocket frames as bytes: what clients send, right or wrong, and what came back.

frame(b'{"type":"ping"}')                   # a masked text frame
frame(b"x", opcode=0x9), frame(b"", fin=False)
read_frames(received)                       # [(0x81, b'{"type":"pong"}')]
"""

from attrs import frozen

__all__ = [
    "BINARY",
    "CLOSE",
    "CONTINUATION",
    "PING",
    "PONG",
    "TEXT",
    "Received",
    "close_frame",
    "frame",
    "read_frames",
]

CONTINUATION = 0x0
TEXT = 0x1
BINARY = 0x2
CLOSE = 0x8
PING = 0x9
PONG = 0xA


def frame(
    payload: bytes,
    opcode: int = TEXT,
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = b"\x11\x22\x33\x44",
    length_bytes: int | None = None,
) -> bytes:
    """A client's frame (RFC 6455 section 5.2).

    :param rsv: the three reserved bits.
    :param mask: None for a frame that is not masked, which no client may send.
    :param length_bytes: 0, 2 or 8 for a longer encoding of the length than needed; None for the shortest.
    """
    size = len(payload)
    if length_bytes is None:
        length_bytes = 0 if size < 126 else 2 if size < 65536 else 8
    masked = 0 if mask is None else 0x80
    short = {0: size, 2: 126, 8: 127}[length_bytes]
    head = (
        bytes([fin << 7 | rsv << 4 | opcode, masked | short])
        + size.to_bytes(length_bytes or 1)[:length_bytes]
    )
    if mask is None:
        return head + payload
    keys = (mask * (size // 4 + 1))[:size]
    body = (int.from_bytes(payload) ^ int.from_bytes(keys)).to_bytes(size)
    return head + mask + body


def close_frame(code: int | None = None, reason: bytes = b"") -> bytes:
    """A client's Close frame."""
    return frame(b"" if code is None else code.to_bytes(2) + reason, CLOSE)


@frozen
class Received:
    """What a server sent.

    :ivar frames: first byte and payload of each frame that is complete.
    :ivar rest: the bytes behind the last complete frame.
    """

    frames: list[tuple[int, bytes]]
    rest: bytes

    @property
    def texts(self) -> list[bytes]:
        """The payloads of the text frames."""
        return [payload for first, payload in self.frames if first == 0x81]

    @property
    def close(self) -> tuple[int | None, str] | None:
        """Code and reason of the Close frame, if there is one."""
        for first, payload in self.frames:
            if first == 0x88:
                return (int.from_bytes(payload[:2]) if payload else None), payload[2:].decode()
        return None


def read_frames(data: bytes) -> Received:
    """Read what a server sent behind its handshake.

    :raises ValueError: a frame is masked, or its length is not encoded as short as possible.
    """
    frames: list[tuple[int, bytes]] = []
    at = 0
    while len(data) - at >= 2:
        size, start = data[at + 1], at + 2
        if size > 127:
            raise ValueError("a server does not mask")
        if size > 125:
            length_bytes = 2 if size == 126 else 8
            if len(data) - start < length_bytes:
                break
            size = int.from_bytes(data[start : start + length_bytes])
            if size < (126 if length_bytes == 2 else 65536):
                raise ValueError("a length that could be shorter")
            start += length_bytes
        if len(data) - start < size:
            break
        frames.append((data[at], data[start : start + size]))
        at = start + size
    return Received(frames, data[at:])
