"""Turns whatever stands in a log event into plain values that always encode, within bounds."""

import re
from collections.abc import Iterable, Mapping
from enum import Enum
from itertools import islice
from math import isfinite
from typing import Any

from twisted.python.failure import Failure
from twisted.python.reflect import safe_repr

__all__ = ["MAX_TEXT", "escape_controls", "plain", "readable", "traceback_text"]

MAX_TEXT = 8192
"""Characters of one text; what is longer is cut, and says by how much."""

_MAX_TRACEBACK = 32768
_MAX_ITEMS = 100
_MAX_DEPTH = 4
_INT64 = range(-(2**63), 2**63)

# What some reader takes for the end of a line, or a terminal for a command or a change of direction.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ufeff]")


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def escape_controls(text: str) -> str:
    """Write control characters as JSON does, so that one text is one line, for everybody."""
    return _CONTROLS.sub(_escape, text)


def readable(text: str, limit: int = MAX_TEXT) -> str:
    """Cut a text to a bound and make it fit for UTF-8."""
    if len(text) > limit:
        text = f"{text[:limit]}... ({len(text) - limit} more characters)"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def plain(value: object, depth: int = _MAX_DEPTH) -> Any:
    """A value that JSON can carry: itself, or what comes nearest to it."""
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, Enum):
        return plain(value.value, depth)
    if isinstance(value, str):
        return readable(value)
    if isinstance(value, int):
        return int(value) if value in _INT64 else _shown(value)
    if isinstance(value, float):
        return float(value) if isfinite(value) else str(value)
    if isinstance(value, bytes | bytearray):
        return readable(bytes(value[: MAX_TEXT + 1]).decode("utf-8", "backslashreplace"))
    if isinstance(value, Mapping | list | tuple | set | frozenset) and depth > 0:
        try:
            return _plain_collection(value, depth - 1)
        except Exception:  # A collection that cannot be walked is shown like any other odd object.
            return _shown(value)
    return _shown(value)


def _plain_collection(value: Mapping[Any, Any] | Iterable[Any], depth: int) -> Any:
    if isinstance(value, Mapping):
        return {
            readable(key if isinstance(key, str) else safe_repr(key)): plain(item, depth)
            for key, item in islice(value.items(), _MAX_ITEMS)
        }
    return [plain(item, depth) for item in islice(value, _MAX_ITEMS)]


def _shown(value: object) -> str:
    return readable(safe_repr(value))


def traceback_text(failure: Failure) -> str:
    """A failure with its traceback; of a long one the end is kept, which says what went wrong."""
    try:
        text: str = failure.getTraceback()
    except Exception as error:  # A log line must come out of anything, and this one says what is missing.
        text = f"{safe_repr(failure)} (its traceback cannot be had: {safe_repr(error)})"
    if len(text) > _MAX_TRACEBACK:
        text = f"... ({len(text) - _MAX_TRACEBACK} more characters)\n{text[-_MAX_TRACEBACK:]}"
    return readable(text.rstrip("\n"), _MAX_TRACEBACK + 100)
