"""Bodies that are read before their sender has shown a key, and the memory that they may have together.

The two publish calls take the key in the body, so the bodies of strangers are read there: up to
`HTTP_MAX_BODY_BYTES` each, and as many as there are connections. Together they have a bound. When it is
reached the oldest is given up: an honest backend sends its body in milliseconds, so the oldest is one that
stalls.
"""

from typing import Protocol

__all__ = ["LEAST_KEYLESS_BYTES", "KeylessBodies", "Reader"]

LEAST_KEYLESS_BYTES = 32 * 1024 * 1024


class Reader(Protocol):
    """Somebody who reads a body."""

    def give_up(self) -> None:
        """Refuse the request and read no more of it."""


class KeylessBodies:
    """See the module.

    :param most_bytes: of all of them.
    """

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._sizes: dict[Reader, int] = {}  # the oldest first

    def __len__(self) -> int:
        return len(self._sizes)

    @property
    def waiting_bytes(self) -> int:
        """Bytes that are held now."""
        return self._bytes

    def grow(self, reader: Reader, size: int) -> bool:
        """A reader is about to keep so many bytes more.

        :returns: whether it may. If not it is the oldest itself, and forgotten.
        """
        self._sizes[reader] = self._sizes.get(reader, 0) + size
        self._bytes += size
        while self._bytes > self._most_bytes:
            oldest = next(iter(self._sizes))
            self.forget(oldest)
            if oldest is reader:
                return False
            oldest.give_up()
        return True

    def forget(self, reader: Reader) -> None:
        """A body is complete, or its connection gone. Does nothing for one that is not known."""
        self._bytes -= self._sizes.pop(reader, 0)
