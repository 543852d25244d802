"""What an answer to a webhook means (contract section 3).

| answer | meaning |
|---|---|
| 2xx | delivered |
| 3xx, 401, 403, 404, 405, 408, 410, 425, 429, 502, 503, 504 | the target is down |
| other 5xx | the event failed, try again |
| other 4xx | the event is refused |
| anything else is no final answer of HTTP | the target is down |
"""

from datetime import UTC
from email.utils import parsedate_to_datetime

from ws_gateway.errors import DeliveryError, EventFailed, EventRefused, TargetDown

__all__ = ["judge", "parse_retry_after"]

_DOWN = frozenset({401, 403, 404, 405, 408, 410, 425, 429, 502, 503, 504})

# A number of seconds longer than this is nonsense, and int() of a huge text is slow.
_MAX_DIGITS = 9


def judge(status: int, retry_after: float | None = None) -> DeliveryError | None:
    """Judge a status.

    :param retry_after: what the answer's `Retry-After` asks for.
    :returns: None if the event is delivered, else how the delivery failed.
    """
    if 200 <= status < 300:
        return None
    if 400 <= status < 500 and status not in _DOWN:
        return EventRefused(f"the target answered {status}")
    if 500 <= status < 600 and status not in _DOWN:
        return EventFailed(f"the target answered {status}", retry_after)
    if 300 <= status < 400:
        return TargetDown(f"the target answered {status}; redirects are not followed", retry_after)
    return TargetDown(f"the target answered {status}", retry_after)


def parse_retry_after(value: bytes | None, wall_seconds: float) -> float | None:
    """Seconds to wait from `Retry-After`: a number of seconds or a date (RFC 9110 section 10.2.3).

    :param wall_seconds: Unix seconds, to compare a date with.
    :returns: None for no value and for nonsense, never less than 0. The cap is the caller's.
    """
    if value is None:
        return None
    text = value.strip().decode("latin-1")
    if text.isascii() and text.isdigit():
        return float(text) if len(text) <= _MAX_DIGITS else None
    try:
        when = parsedate_to_datetime(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        return max(0.0, when.timestamp() - wall_seconds)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
