"""W3C Trace Context: which `traceparent` values are passed on (level 1, section 3.2)."""

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["message_traceparent", "valid_traceparent"]

_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-[\x21-\x7e]*)?\Z")


def valid_traceparent(value: Any) -> str | None:
    """The value if it is a valid traceparent, else None.

    Version `ff` and all-zero ids are invalid; version `00` has exactly four parts, later ones may have more.
    Quotes and backslashes cannot occur in what we accept, so it may stand in JSON and in a header as it is.
    """
    if type(value) is not str or len(value) > 256:
        return None
    match = _FORM.match(value)
    if match is None:
        return None
    version, trace_id, parent_id, more = match.groups()
    if version == "ff" or trace_id == "0" * 32 or parent_id == "0" * 16:
        return None
    if more is not None and (version == "00" or '"' in more or "\\" in more):
        return None
    return value


def message_traceparent(message: Mapping[str, Any]) -> str | None:
    """The message's own traceparent: at its top level, else in `meta`."""
    own = message.get("traceparent")
    if own is not None and valid_traceparent(own) is not None:
        return own  # type: ignore[no-any-return]
    meta = message.get("meta")
    return valid_traceparent(meta.get("traceparent")) if type(meta) is dict else None
