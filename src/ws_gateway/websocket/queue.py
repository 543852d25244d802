"""What waits for a client that reads too slowly: bounded in publications and bytes, with a stated rule.

Control frames (answers, pings, pongs, Close) are never dropped and go first; Close goes last. They have a
bound of their own: a client that makes us answer but never reads ends as a slow consumer.
"""

from collections import deque
from collections.abc import Sequence
from enum import StrEnum

from attrs import frozen

__all__ = ["ClientQueue", "DropStrategy", "QueueLimits"]

MAX_CONTROL_BYTES = 64 * 1024
MAX_CHUNK_BYTES = 64 * 1024
"""How much is taken out for one write."""


class DropStrategy(StrEnum):
    """What happens when the queue is full (`WS_OUTBOX_DROP_STRATEGY`)."""

    DROP_OLDEST = "drop_oldest"
    DROP_NEWEST = "drop_newest"
    CLOSE = "close"


@frozen
class QueueLimits:
    """The bounds of one client's queue.

    :ivar max_publications: `WS_OUTBOX_QUEUE_SIZE`.
    :ivar max_bytes: `WS_OUTBOX_MAX_BYTES`.
    """

    max_publications: int = 1024
    max_bytes: int = 1024 * 1024
    strategy: DropStrategy = DropStrategy.DROP_OLDEST


class ClientQueue:
    """See the module.

    :ivar dropped: publications dropped or refused so far.
    :ivar overflowed: the client has to go: strategy `close`, or too many control frames wait.
    """

    __slots__ = (
        "_bytes",
        "_control",
        "_control_bytes",
        "_last",
        "_limits",
        "_publications",
        "dropped",
        "overflowed",
    )

    def __init__(self, limits: QueueLimits) -> None:
        self._limits = limits
        self._publications: deque[bytes] = deque()
        self._bytes = 0
        self._control: deque[bytes] = deque()
        self._control_bytes = 0
        self._last = b""
        self.dropped = 0
        self.overflowed = False

    def __len__(self) -> int:
        return len(self._publications)

    @property
    def waiting_bytes(self) -> int:
        """Bytes of everything that waits."""
        return self._bytes + self._control_bytes + len(self._last)

    def put(self, frames: Sequence[bytes]) -> int:
        """Add publications, in order.

        :returns: how many of them were taken, counted from the first.
        """
        limits = self._limits
        for taken, frame in enumerate(frames):
            size = len(frame)
            if self._full(size):
                if limits.strategy is DropStrategy.CLOSE:
                    self.overflowed = True
                if limits.strategy is not DropStrategy.DROP_OLDEST or size > limits.max_bytes:
                    self.dropped += len(frames) - taken
                    return taken
                self._make_room(size)
            self._publications.append(frame)
            self._bytes += size
        return len(frames)

    def put_control(self, frame: bytes) -> None:
        """Add an answer or a control frame."""
        self._control.append(frame)
        self._control_bytes += len(frame)
        if self._control_bytes > MAX_CONTROL_BYTES:
            self.overflowed = True

    def put_last(self, frame: bytes) -> None:
        """Add the Close frame: nothing may follow it (RFC 6455 section 5.5.1)."""
        self._last = frame

    def discard(self) -> None:
        """Drop all publications: the client will not read them any more."""
        self.dropped += len(self._publications)
        self._publications.clear()
        self._bytes = 0

    def take(self) -> bytes:
        """The next piece to write, empty if nothing waits."""
        if self._control:
            chunk = b"".join(self._control)
            self._control.clear()
            self._control_bytes = 0
            return chunk
        frames: list[bytes] = []
        size = 0
        while self._publications and size < MAX_CHUNK_BYTES:
            frame = self._publications.popleft()
            frames.append(frame)
            size += len(frame)
        self._bytes -= size
        if frames:
            return b"".join(frames)
        last, self._last = self._last, b""
        return last

    def _make_room(self, size: int) -> None:
        while self._publications and self._full(size):
            self._bytes -= len(self._publications.popleft())
            self.dropped += 1

    def _full(self, size: int) -> bool:
        limits = self._limits
        return len(self._publications) >= limits.max_publications or self._bytes + size > limits.max_bytes
