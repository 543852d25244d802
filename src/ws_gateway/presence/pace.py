"""How long the store remembers a connection by itself, and how often it is told again."""

from attrs import frozen

__all__ = ["Pace", "pace_of"]

SESSION_SECONDS = 600.0
"""With `session` the lease of the node decides; this is for the case that no node is left to look at it."""

_TELLS = 4
"""A round begins so many times within the time to live: one may fail, and the next may be slow."""


@frozen
class Pace:
    """See the module.

    :ivar ttl: seconds after which the store forgets a connection of which it hears nothing.
    :ivar round_seconds: how long a round over all connections takes.
    """

    ttl: float
    round_seconds: float


def pace_of(strategy: str, ttl_seconds: float, heartbeat_seconds: float, grace_seconds: float) -> Pace:
    """The pace of a `PRESENCE_STRATEGY`.

    :param ttl_seconds: `PRESENCE_TTL_SECONDS`, for `ttl`.
    :param heartbeat_seconds: `PRESENCE_HEARTBEAT_SECONDS`, and
    :param grace_seconds: `PRESENCE_GRACE_SECONDS`, for `heartbeat`.
    """
    lives = {
        "ttl": ttl_seconds,
        "heartbeat": heartbeat_seconds + grace_seconds,
        "session": SESSION_SECONDS,
    }
    return Pace(lives[strategy], lives[strategy] / _TELLS)
