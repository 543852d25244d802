"""Event ids: UUIDs of version 7 (RFC 9562), unique everywhere and sortable by time.

    018f2f5e-9c3a-7xxx-yxxx-xxxxxxxxxxnn
    |----- ms ----|||--| |---------||--- counts
                  version   66 random bits (y also carries the two bits of the variant)

Within one process each id sorts after the one before. In the same millisecond, or when the wall clock goes
back, the last byte counts; when it has run through, the random part is raised by a random step instead of
drawn again (RFC 9562 section 6.2, methods 1 and 2). So most ids cost no more than joining two strings.

Where several nodes may come to tell of the same thing, the id is made of that thing instead.
"""

from collections.abc import Callable
from hashlib import sha256

__all__ = ["EventIds", "id_of"]

_TAIL_BITS = 66
_LOW_BITS = 40
_LOW_MASK = (1 << _LOW_BITS) - 1
_MIDDLE_BITS = 14
_MIDDLE_MASK = (1 << _MIDDLE_BITS) - 1
_VARIANT = 0x8000
_STEP_BITS = 24
_COUNTS = tuple(f"{count:02x}" for count in range(256))


class EventIds:
    """Makes event ids; call it for the next one.

    :param random_bits: a source like `random.Random().getrandbits`. The ids are no secrets.
    """

    def __init__(self, random_bits: Callable[[int], int]) -> None:
        self._random_bits = random_bits
        self._ms = -1
        self._high = 0
        self._low = 0
        self._count = 0
        self._head = ""

    def __call__(self, ms: int) -> str:
        """:param ms: Unix milliseconds, now."""
        count = self._count + 1
        if ms > self._ms:
            self._begin(ms)
            count = 0
        elif count > 255:
            self._step()
            count = 0
        self._count = count
        return self._head + _COUNTS[count]

    def _begin(self, ms: int) -> None:
        self._ms = ms
        # The highest bit stays clear: millions of steps fit before the tail runs over.
        tail = self._random_bits(_TAIL_BITS - 1)
        self._high, self._low = tail >> _LOW_BITS, tail & _LOW_MASK
        self._write_head()

    def _step(self) -> None:
        self._low += 1 + self._random_bits(_STEP_BITS)
        self._high += self._low >> _LOW_BITS
        self._low &= _LOW_MASK
        if self._high >> (_TAIL_BITS - _LOW_BITS):
            self._begin(self._ms + 1)
        else:
            self._write_head()

    def _write_head(self) -> None:
        ms, high = self._ms, self._high
        middle = high & _MIDDLE_MASK | _VARIANT
        self._head = (
            f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7{high >> _MIDDLE_BITS:03x}-{middle:04x}-{self._low:010x}"
        )


def id_of(name: str, ms: int) -> str:
    """The id of the event that something happened to something: the same one, whoever makes it.

    :param name: unique everywhere, as the id of a connection is.
    :param ms: Unix milliseconds.
    """
    digest = int.from_bytes(sha256(name.encode()).digest(), "big")
    return EventIds(lambda bits: digest & ((1 << bits) - 1))(ms)
