"""Event ids: UUIDs of version 7 (RFC 9562), unique everywhere and sortable by time.

    018f2f5e-9c3a-7xxx-yxxx-xxxxxxxxxxxx
    |----- ms ----|||--| |---------------
                  version   74 random bits (y also carries the two bits of the variant)

Within one process each id sorts after the one before: in the same millisecond, or when the wall clock goes
back, the random part is raised by a random step instead of drawn again (RFC 9562 section 6.2, method 2).

Where several nodes may come to tell of the same thing, the id is made of that thing instead.
"""

from collections.abc import Callable
from hashlib import sha256

__all__ = ["EventIds", "id_of"]

_TAIL_BITS = 74
_LOW_BITS = 48
_LOW_MASK = (1 << _LOW_BITS) - 1
_MIDDLE_BITS = 14
_MIDDLE_MASK = (1 << _MIDDLE_BITS) - 1
_VARIANT = 0x8000
_STEP_BITS = 32


class EventIds:
    """Makes event ids; call it for the next one.

    All but the last of the five groups stay the same for thousands of ids.

    :param random_bits: a source like `random.Random().getrandbits`. The ids are no secrets.
    :param wall_ms: Unix milliseconds.
    """

    def __init__(self, random_bits: Callable[[int], int], wall_ms: Callable[[], int]) -> None:
        self._random_bits = random_bits
        self._wall_ms = wall_ms
        self._ms = -1
        self._head = ""
        self._high = 0
        self._low = 0

    def __call__(self) -> str:
        ms = self._wall_ms()
        if ms > self._ms:
            self._begin(ms)
        else:
            self._low += 1 + self._random_bits(_STEP_BITS)
            if self._low >> _LOW_BITS:
                self._carry()
        return "%s%012x" % (self._head, self._low)  # noqa: UP031 - faster than an f-string with a format

    def _begin(self, ms: int) -> None:
        self._ms = ms
        # The highest bit stays clear: millions of steps fit before the tail runs over.
        tail = self._random_bits(_TAIL_BITS - 1)
        self._high, self._low = tail >> _LOW_BITS, tail & _LOW_MASK
        self._write_head()

    def _carry(self) -> None:
        self._low &= _LOW_MASK
        self._high += 1
        if self._high >> (_TAIL_BITS - _LOW_BITS):
            self._begin(self._ms + 1)
        else:
            self._write_head()

    def _write_head(self) -> None:
        ms, high = self._ms, self._high
        middle = high & _MIDDLE_MASK | _VARIANT
        self._head = f"{ms >> 16:08x}-{ms & 0xFFFF:04x}-7{high >> _MIDDLE_BITS:03x}-{middle:04x}-"


def id_of(name: str, ms: int) -> str:
    """The id of the event that something happened to something: the same one, whoever makes it.

    :param name: unique everywhere, as the id of a connection is.
    :param ms: Unix milliseconds.
    """
    digest = int.from_bytes(sha256(name.encode()).digest(), "big")
    return EventIds(lambda bits: digest & ((1 << bits) - 1), lambda: ms)()
