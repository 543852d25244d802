"""Secrets that every test uses, and the search for them (design convention 19).

Whatever is secret is made with `secret()` or told to `guard()`; `leaks()` finds any of it again. Everything
that the daemon writes to a log, to a client or into a webhook is searched.
"""

import threading
from collections.abc import Iterable

__all__ = ["CANARY", "guard", "guard_token", "leaks", "secret"]

CANARY = "Kanarienvogel7Q"
"""Stands in every secret, in plain text."""

_lock = threading.Lock()
_fragments: set[bytes] = {CANARY.encode()}


def secret(name: str) -> str:
    """A secret for a setting, long enough for every use."""
    return f"{name}.{CANARY}.0123456789abcdefghijklmnopqrstuvwxyz"


def guard(*fragments: str) -> None:
    """From now on, none of these may be seen."""
    with _lock:
        _fragments.update(fragment.encode() for fragment in fragments if len(fragment) >= 12)


def guard_token(token: str) -> None:
    """Guard what is a token's own: the end of its payload and the beginning of its signature."""
    parts = token.split(".")
    if len(parts) == 3:
        guard(parts[1][-20:], parts[2][:20])


def leaks(texts: Iterable[bytes]) -> list[str]:
    """Every secret that stands in one of the texts, with where it stands."""
    with _lock:
        fragments = tuple(_fragments)
    found = []
    for text in texts:
        for fragment in fragments:
            at = text.find(fragment)
            if at >= 0:
                found.append(f"{fragment.decode()!r} in {text[max(0, at - 200) : at + 200]!r}")
    return found
