"""What goes out to clients: encoded once for each publication, joined once for each distinct set of them."""

from collections.abc import Sequence

from attrs import define, field

from ws_gateway.domain.codec import encode_event_frame

__all__ = ["Batch", "Outgoing", "text_frame"]


def text_frame(payload: bytes) -> bytes:
    """One unmasked, final text frame (RFC 6455 section 5.2), as servers send them.

    :param payload: UTF-8.
    """
    size = len(payload)
    if size < 126:
        return b"\x81%c%b" % (size, payload)
    if size < 65536:
        return b"\x81\x7e" + size.to_bytes(2) + payload
    return b"\x81\x7f" + size.to_bytes(8) + payload


@define(eq=False)
class Outgoing:
    """One publication on its way out. Caches its one encoding for each kind of wire.

    :ivar payload: JSON text as the backend sent it.
    """

    payload: bytes = field(repr=False)
    _frame: bytes | None = field(default=None, init=False, repr=False)

    @property
    def frame(self) -> bytes:
        """The WebSocket frame without compression."""
        if self._frame is None:
            self._frame = text_frame(encode_event_frame(self.payload))
        return self._frame


@define(eq=False)
class Batch:
    """Publications that one connection gets in one go; shared by all connections that get the same ones."""

    outgoings: Sequence[Outgoing]
    _joined: bytes | None = field(default=None, init=False, repr=False)

    def __len__(self) -> int:
        return len(self.outgoings)

    @property
    def joined(self) -> bytes:
        """All frames in one piece."""
        if self._joined is None:
            self._joined = b"".join([outgoing.frame for outgoing in self.outgoings])
        return self._joined
