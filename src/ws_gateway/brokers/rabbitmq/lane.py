"""A fast lane for deliveries and confirms, cut out of what the broker sends without making objects of them.

pika spends tens of microseconds on a message, and copies the rest of what it has read for each of its frames.
The lane takes what a consumer gets in the usual form: method, header and one frame of body, next to each
other; and confirms that are good. Everything else, messages of several frames included, goes to pika frame by
frame, as it is. So frames of a channel keep their order, whoever takes them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

__all__ = ["BadFrame", "Confirmed", "Delivered", "Lane"]

Delivered = Callable[[int, str, bytes], None]
"""Called with each message: delivery tag, routing key, body."""

Confirmed = Callable[[int, bool, bool], None]
"""Called with each confirm: delivery tag, whether it stands for all before it, and whether it is good."""

_METHOD, _HEADER, _BODY = 1, 2, 3
_DELIVER = struct.pack(">HH", 60, 60)
_ACK = struct.pack(">HH", 60, 80)
_ACK_SIZE = 4 + 8 + 1
_END = 0xCE
# Kind, channel and size before a frame, and one byte behind it.
_AROUND = 8
_OVERHEAD = 8
_head: Callable[[bytes, int], tuple[int, int, int]] = struct.Struct(">BHI").unpack_from
_long: Callable[[bytes, int], tuple[int]] = struct.Struct(">Q").unpack_from


class BadFrame(Exception):
    """What was received is no frame."""


class Lane:
    """See the module.

    :param slow: takes one frame.
    :param largest_body: bytes of a body that fit into one frame.
    :ivar consumers: who gets the deliveries of a channel; of other channels they go the slow way.
    :ivar publishers: who gets the confirms of a channel.
    :ivar taken: bytes that did not go the slow way.
    """

    def __init__(self, slow: Callable[[bytes], None], largest_body: int) -> None:
        self._slow = slow
        self._largest = largest_body + _OVERHEAD
        self._rest = b""
        self._stopped = False
        self.consumers: dict[int, Delivered] = {}
        self.publishers: dict[int, Confirmed] = {}
        self.taken = 0

    def stop(self) -> None:
        """Take nothing any more, not even the rest of what is being taken."""
        self._stopped = True
        self._rest = b""
        self.consumers.clear()
        self.publishers.clear()

    def forget(self, channel: int) -> None:
        """What comes on this channel from now on goes the slow way."""
        self.consumers.pop(channel, None)
        self.publishers.pop(channel, None)

    def feed(self, data: bytes) -> None:
        """Take what was received.

        :raises BadFrame: it cannot be gone on.
        """
        buffer = self._rest + data if self._rest else data
        at, end = 0, len(buffer)
        while end - at >= _AROUND and not self._stopped:
            kind, channel, size = _head(buffer, at)
            after = at + _AROUND + size
            if size > self._largest:
                raise BadFrame
            if after > end:
                break
            if kind == _METHOD and channel in self.consumers and buffer[at + 7 : at + 11] == _DELIVER:
                whole = self._message(buffer, channel, at, after)
                if whole < 0:
                    break
                if whole:
                    self.taken += whole - at
                    at = whole
                    continue
            if buffer[after - 1] != _END:
                raise BadFrame
            if (
                size == _ACK_SIZE
                and kind == _METHOD
                and channel in self.publishers
                and buffer[at + 7 : at + 11] == _ACK
            ):
                self.taken += after - at
                (tag,) = _long(buffer, at + 11)
                self.publishers[channel](tag, bool(buffer[at + 19] & 1), True)
                at = after
                continue
            self._slow(buffer[at:after])
            at = after
        self._rest = b"" if self._stopped else buffer[at:]

    def _message(self, buffer: bytes, channel: int, at: int, header: int) -> int:
        """Take a message whose method frame is there.

        :returns: where it ends; 0 if it is not for us, below 0 if some of it has not come yet.
        """
        end = len(buffer)
        if end - header < _AROUND:
            return -1
        kind, same, size = _head(buffer, header)
        body = header + _AROUND + size
        if kind != _HEADER or same != channel or size > self._largest:
            return 0
        if body > end:
            return -1
        (length,) = _long(buffer, header + 11)
        after = body
        if length:
            if length > self._largest - _OVERHEAD:
                return 0
            if end - body < _AROUND:
                return -1
            kind, same, size = _head(buffer, body)
            after = body + _AROUND + size
            if kind != _BODY or same != channel or size != length:
                return 0
            if after > end:
                return -1
        if not buffer[header - 1] == buffer[body - 1] == buffer[after - 1] == _END:
            raise BadFrame
        place = at + 12 + buffer[at + 11]
        (tag,) = _long(buffer, place)
        # The tag, one byte that says whether it was delivered before, the name of the exchange.
        place += 10 + buffer[place + 9]
        key = buffer[place + 1 : place + 1 + buffer[place]].decode("utf-8", "replace")
        self.consumers[channel](tag, key, buffer[body + 7 : after - 1] if length else b"")
        return after
