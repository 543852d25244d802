"""What a setting may hold: each kind knows its own rule, and says it in words for people.

A kind turns text into a value. It raises `ValueError`, with a reason in the message where the words of
`allowed` do not already give it. Nothing here knows a single setting.
"""

import re
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from attrs import evolve, frozen

__all__ = [
    "Kind",
    "choice",
    "flag",
    "integer",
    "listed",
    "number",
    "quoted",
    "seconds",
    "secret",
    "size",
    "text",
]

T = TypeVar("T")

_LONGEST_SHOWN = 80
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,18}(?:\.[0-9]{0,9})?|\.[0-9]{1,9})")
_SIZE = re.compile(r"([0-9]{1,18}) ?(?:([kmg])(?:i?b)?|b)?", re.IGNORECASE)
_UNITS = {"": 0, "k": 10, "m": 20, "g": 30}
_WORDS = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


def quoted(value: str) -> str:
    """A value as an error line shows it: in quotes, control characters escaped, long ones cut."""
    return repr(value if len(value) <= _LONGEST_SHOWN else value[:_LONGEST_SHOWN] + "...")


def _masked(value: str) -> str:
    return "'***'"


@frozen
class Kind(Generic[T]):
    """One kind of value.

    :ivar allowed: completes the sentence "must be ..".
    :ivar parse: from text without outer white space, never empty, to the value; raises ValueError.
    :ivar show: how an error line shows a value that was refused.
    """

    allowed: str
    parse: Callable[[str], T]
    show: Callable[[str], str] = quoted

    @property
    def hidden(self) -> bool:
        """Values of this kind are secrets: nothing of them is ever shown."""
        return self.show is _masked


def secret(kind: Kind[T]) -> Kind[T]:
    """The same kind, but its values are shown to nobody."""
    return evolve(kind, show=_masked)


def text(allowed: str = "text without control characters", pattern: str = ".{1,1024}") -> Kind[str]:
    """Printable text that fits a pattern as a whole."""
    compiled = re.compile(pattern)

    def parse(value: str) -> str:
        if not value.isprintable() or not compiled.fullmatch(value):
            raise ValueError
        return value

    return Kind(allowed, parse)


def _range(noun: str, low: float, high: float, zero: str | None) -> str:
    words = f"{noun} from {low:.12g} to {high:.12g}"
    return f"{words}, or 0 ({zero})" if zero else words


def integer(low: int, high: int, zero: str | None = None) -> Kind[int]:
    """A whole number.

    :param zero: what 0 means where it lies outside the range and is allowed nevertheless.
    """

    def parse(value: str) -> int:
        if not _INTEGER.fullmatch(value):
            raise ValueError
        found = int(value)
        if not (low <= found <= high or (zero and found == 0)):
            raise ValueError
        return found

    return Kind(_range("an integer", low, high, zero), parse)


def number(low: float, high: float, zero: str | None = None, noun: str = "a number") -> Kind[float]:
    """A number that may have a fraction; no exponents, no `inf`, no `nan`."""

    def parse(value: str) -> float:
        if not _NUMBER.fullmatch(value):
            raise ValueError
        found = float(value)
        if not (low <= found <= high or (zero and found == 0)):
            raise ValueError
        return found

    return Kind(_range(noun, low, high, zero), parse)


def seconds(low: float, high: float, zero: str | None = None) -> Kind[float]:
    """A span of time."""
    return number(low, high, zero, noun="seconds")


def _in_words(count: int) -> str:
    for shift, unit in ((30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count and not count % (1 << shift):
            return f"{count >> shift}{unit}"
    return str(count)


def size(low: int, high: int) -> Kind[int]:
    """A number of bytes, with or without a binary unit: `65536`, `64KiB`, `1 MiB`, `2g`."""

    def parse(value: str) -> int:
        match = _SIZE.fullmatch(value)
        if not match:
            raise ValueError
        found = int(match[1]) << _UNITS[(match[2] or "").lower()]
        if not low <= found <= high:
            raise ValueError
        return found

    return Kind(f"bytes from {_in_words(low)} to {_in_words(high)} (as in 65536, 64KiB, 1MiB)", parse)


def flag() -> Kind[bool]:
    """Yes or no, in the spellings that people use."""

    def parse(value: str) -> bool:
        try:
            return _WORDS[value.lower()]
        except KeyError:
            raise ValueError from None

    return Kind("1 or 0 (true/false, yes/no, on/off)", parse)


def _joined(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]


def choice(
    *names: str, also: Mapping[str, str] | None = None, refused: Mapping[str, str] | None = None
) -> Kind[str]:
    """One of some words, in any case.

    :param also: further spellings, and the word that each stands for.
    :param refused: words that people may hope for, and the sentence that says why not.
    """
    known = {name.lower(): name for name in names} | dict(also or {})

    def parse(value: str) -> str:
        word = value.lower()
        if word not in known:
            raise ValueError((refused or {}).get(word, ""))
        return known[word]

    return Kind(_joined(list(names)), parse)


def listed(item: Kind[T], of: str) -> Kind[tuple[T, ...]]:
    """Several values with commas between them; blanks around and empty ones do not count, nor do repetitions.

    :param of: names the items: "comma-separated <of>".
    """

    def parse(value: str) -> tuple[T, ...]:
        parts = [part.strip() for part in value.split(",")]
        found = dict.fromkeys(item.parse(part) for part in parts if part)
        if not found:
            raise ValueError("there is nothing between the commas")
        return tuple(found)

    return Kind(f"comma-separated {of}", parse, item.show)
