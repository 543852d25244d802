"""The names in the environment that are not settings, and what to say about each."""

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

__all__ = ["asking", "warnings"]


# Names that backends, consumers, test clients and Kubernetes (for a Service called `ws`) keep in the same
# environment; they are none of our business.
_FOREIGN = frozenset({"WS_URL", "WS_SEND_MESSAGE", "WS_MESSAGE_JSON", "WS_USER_ID"})
_FOREIGN_PREFIXES = (
    *(
        "WS_GATEWAY_",
        "WS_CONSUMER_",
        "WS_TRANSPORT_",
        "WS_EVENTS_",
        "WS_PRESENCE_",
        "WS_TRACING_",
        "WS_DEMO_",
    ),
    *("WS_REDIS_", "WS_RABBITMQ_", "WS_SERVICE_", "WS_PORT_", "WS_CLIENT_"),
)

# How alike two names must be before one is taken for a slip of the other: a name that begins with `WS_` is
# meant for us and gets the nearest guess; any other name must be all but the same.
_NEAR = 0.6
_ALL_BUT_THE_SAME = 0.9


def asking(environ: Mapping[str, str]) -> frozenset[str]:
    """The names whose values are not blank."""
    return frozenset(name for name, value in environ.items() if value.strip())


def warnings(written: Collection[str], known: Collection[str]) -> Iterator[str]:
    """One line for each name that has no effect although somebody hopes so.

    :param known: the names that are settings.
    """
    candidates = sorted(known)
    for name in sorted(set(written) - set(known)):
        ours = name.startswith("WS_")
        if name not in _FOREIGN and not name.startswith(_FOREIGN_PREFIXES):
            near = get_close_matches(name, candidates, 1, _NEAR if ours else _ALL_BUT_THE_SAME)
            if near:
                yield f"{name}: is not a setting and has no effect; the nearest name is {near[0]}"
            elif ours:
                yield f"{name}: is not a setting and has no effect"
