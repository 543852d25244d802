"""An independent JSON parser that knows no lenience and no rounding: what our fast one is judged by."""

import json
import math
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["MAX_DEPTH", "NotJson", "equal", "strict_value", "strict_value_of_bytes"]

MAX_DEPTH = 1024
"""Deeper than this, it is no JSON (contract section 1)."""


class NotJson(ValueError):
    """The text is no JSON that anybody has to accept."""


class Number(str):
    """A number as it was written: two are equal if their digits are."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and str.__eq__(self, other)

    __hash__ = str.__hash__


def strict_value(text: str, most_depth: int = MAX_DEPTH) -> Any:
    """Parse. Objects become dicts (of repeated names the last one counts), numbers keep their digits.

    :raises NotJson: also for numbers beyond the floats, lone surrogates and nesting beyond the limit.
    """
    try:
        with _deep_stack():
            value = json.loads(
                text,
                parse_constant=_refuse,
                parse_float=_finite,
                parse_int=_finite,
                object_pairs_hook=_object,
            )
        _encodable([value])
    except (ValueError, RecursionError) as error:
        raise NotJson(str(error)) from None
    if _depth(text) > most_depth:
        raise NotJson("nested too deeply")
    return value


def strict_value_of_bytes(data: bytes) -> Any:
    """The same for UTF-8.

    :raises NotJson: also for bytes that are no UTF-8, and for a byte order mark.
    """
    try:
        return strict_value(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise NotJson(str(error)) from None


def equal(one: Any, other: Any) -> bool:
    """Compare two values, however deep."""
    with _deep_stack():
        return bool(one == other)


def _refuse(word: str) -> Any:
    raise NotJson(word)


def _finite(digits: str) -> Number:
    if not math.isfinite(float(digits)):
        raise NotJson(digits)
    return Number(digits)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, judged before a repeated name hides what stood there first."""
    _encodable([part for pair in pairs for part in pair])
    return dict(pairs)


def _encodable(values: list[Any]) -> None:
    """Lone surrogates have no UTF-8. (Objects inside were judged when they were made.)"""
    while values:
        value = values.pop()
        if isinstance(value, str):
            value.encode()
        elif isinstance(value, list):
            values.extend(value)


def _depth(text: str) -> int:
    """How deeply brackets nest in a text that is JSON."""
    deepest = depth = 0
    inside = escaped = False
    for character in text:
        if inside:
            if escaped:
                escaped = False
            elif character == "\\":
                escaped = True
            elif character == '"':
                inside = False
        elif character == '"':
            inside = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth -= 1
    return deepest


@contextmanager
def _deep_stack() -> Iterator[None]:
    """The standard parser nests on the stack; here it may, the code under test may not."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(before + 5_000)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
