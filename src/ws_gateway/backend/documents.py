"""Read JSON documents strictly: whatever does not fit is one ValueError that names the member."""

import json
from collections.abc import Mapping
from typing import Any, NoReturn, TypeVar

__all__ = ["decode_object", "optional", "required", "texts"]

T = TypeVar("T")

_NAMES = {str: "a string", int: "an integer", list: "a list", dict: "an object"}


def decode_object(body: bytes) -> dict[str, Any]:
    """The JSON object that the bytes hold, as UTF-8.

    :raises ValueError: they hold something else, or an object that Python cannot hold.
    """
    try:
        document = json.loads(body.decode(), parse_constant=_refuse_constant)
    except UnicodeDecodeError:
        raise ValueError("the body is not UTF-8") from None
    except RecursionError:
        # The gateway allows deeper nesting than this stack has room for, and clients choose the depth.
        raise ValueError("the body is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise ValueError("the body is not a JSON object")
    return document


def required(document: Mapping[str, Any], name: str, kind: type[T]) -> T:
    """A member that must be there.

    :raises ValueError: it is missing, or of another type.
    """
    value = optional(document, name, kind)
    if value is None:
        raise ValueError(f"{name} is missing")
    return value


def optional(document: Mapping[str, Any], name: str, kind: type[T]) -> T | None:
    """A member that may be missing or null.

    :raises ValueError: it is of another type.
    """
    value = document.get(name)
    if value is None:
        return None
    # Not isinstance(): True is an int to Python, but not to JSON.
    if type(value) is not kind:
        raise ValueError(f"{name} is not {_NAMES[kind]}")
    return value


def texts(document: Mapping[str, Any], name: str) -> tuple[str, ...]:
    """A member that must be a list of strings.

    :raises ValueError: it is missing, or anything else.
    """
    values = required(document, name, list)
    if not all(isinstance(value, str) for value in values):
        raise ValueError(f"{name} is not a list of strings")
    return tuple(values)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")
