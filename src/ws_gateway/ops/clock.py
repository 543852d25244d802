"""Lets the reactor count time by the monotonic clock.

Twisted counts by the wall clock. When an administrator or a time server sets that one, every timer would run
off at once (forward: all clients time out together) or stand still (backward: no ping, no retry, no deadline
until the old time is reached again).
"""

import time
from typing import Any

__all__ = ["count_monotonic_time"]


def count_monotonic_time(reactor: Any) -> None:
    """From now on `reactor.seconds` never jumps. What is scheduled already keeps its distance from now.

    :param reactor: one that is derived from ReactorBase.
    """
    if reactor.seconds is time.monotonic:
        return
    now = reactor.seconds()
    waiting = [(call, call.getTime() - now) for call in reactor.getDelayedCalls()]
    reactor.seconds = time.monotonic
    for call, left in waiting:
        call.seconds = time.monotonic
        call.reset(max(0.0, left))
