"""Waiting for a condition, never for a time."""

import os
import time
from collections.abc import Callable
from typing import TypeVar

__all__ = ["PATIENCE", "until"]

T = TypeVar("T")

PATIENCE = float(os.environ.get("TEST_PATIENCE_SECONDS", "60"))
"""Seconds; long enough for a machine that is busy, and reached only if something is wrong."""


def until(condition: Callable[[], T], what: str, say: Callable[[], str] = lambda: "") -> T:
    """Ask again and again.

    :param what: what is waited for, for the message.
    :param say: more for the message.
    :returns: the first true value of the condition.
    """
    deadline = time.monotonic() + PATIENCE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}\n{say()}")
        time.sleep(0.01)
