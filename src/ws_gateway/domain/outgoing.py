"""What goes out to clients: encoded once for each publication, joined once for each distinct set of them."""

import zlib
from collections.abc import Sequence
from enum import Enum

from attrs import define, field

from ws_gateway.domain.codec import encode_event_frame

__all__ = ["Batch", "Outgoing", "Wire", "deflated_frame", "text_frame"]

DEFLATE_LEVEL = 6
MIN_DEFLATED = 64
"""Below so many bytes deflate makes messages longer; they go out plain, which is allowed at any time."""


class Wire(Enum):
    """How a connection wants its frames."""

    PLAIN = "plain"
    DEFLATE = "deflate"

    # That of Enum is written in Python, and each delivery asks for its encoding by this.
    __hash__ = object.__hash__


def text_frame(payload: bytes, first: int = 0x81) -> bytes:
    """One unmasked, final text frame (RFC 6455 section 5.2), as servers send them.

    :param payload: UTF-8, or what an extension made of it.
    :param first: the first byte: FIN, the reserved bits and the opcode.
    """
    size = len(payload)
    if size < 126:
        return b"%c%c%b" % (first, size, payload)
    if size < 65536:
        return b"%c\x7e%b%b" % (first, size.to_bytes(2), payload)
    return b"%c\x7f%b%b" % (first, size.to_bytes(8), payload)


def deflated_frame(payload: bytes) -> bytes:
    """The same under permessage-deflate without server context takeover (RFC 7692 section 7.2.1).

    Without context takeover a message refers to nothing before it, so one encoding serves every connection.
    """
    if len(payload) < MIN_DEFLATED:
        return text_frame(payload)
    deflate = zlib.compressobj(DEFLATE_LEVEL, zlib.DEFLATED, -15)
    squeezed = deflate.compress(payload) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return text_frame(squeezed[:-4], 0xC1)


_ENCODERS = {Wire.PLAIN: text_frame, Wire.DEFLATE: deflated_frame}


@define(eq=False)
class Outgoing:
    """One publication on its way out. Caches its one encoding for each kind of wire.

    :ivar payload: JSON text as the backend sent it.
    """

    payload: bytes = field(repr=False)
    _frames: dict[Wire, bytes] = field(factory=dict, init=False, repr=False)

    def frame(self, wire: Wire) -> bytes:
        """The frame for one kind of wire."""
        frame = self._frames.get(wire)
        if frame is None:
            frame = self._frames[wire] = _ENCODERS[wire](encode_event_frame(self.payload))
        return frame


@define(eq=False)
class Batch:
    """Publications that one connection gets in one go; shared by all connections that get the same ones.

    :ivar count: how many they are.
    :ivar pieces: what `joined` has answered, by wire: who hands out to thousands looks here first.
    """

    outgoings: Sequence[Outgoing]
    count: int = field(init=False)
    pieces: dict[Wire, bytes] = field(factory=dict, init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        self.count = len(self.outgoings)

    def __len__(self) -> int:
        return self.count

    def joined(self, wire: Wire) -> bytes:
        """All frames in one piece."""
        joined = self.pieces.get(wire)
        if joined is None:
            joined = b"".join([outgoing.frame(wire) for outgoing in self.outgoings])
            self.pieces[wire] = joined
        return joined
