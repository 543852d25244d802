"""The names in the environment that are not settings of this version, and what to say about each."""

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

from attrs import frozen

__all__ = ["LATER", "Later", "asking", "problems", "warnings"]


@frozen
class Later:
    """A name of the contract that this version does not know yet.

    :ivar refused: why it must not be ignored, or None if a warning is enough.
    :ivar harmless: values that ask for nothing.
    """

    refused: str | None = None
    harmless: frozenset[str] = frozenset()


_WARN = Later()

# When one of these is built, its line moves to `tree`.
LATER: Mapping[str, Later] = {
    "WS_REDIS_DSN": _WARN,
    "REDIS_DSN": _WARN,
    "REDIS_STREAM": _WARN,
    "REDIS_INBOX_STREAM": _WARN,
    "REDIS_EVENTS_STREAM": _WARN,
    "REDIS_DLQ_STREAM": _WARN,
    "REDIS_STREAM_MAXLEN": _WARN,
    "WS_RABBITMQ_DSN": _WARN,
    "RABBITMQ_DSN": _WARN,
    "RABBITMQ_INBOX_QUEUE": _WARN,
    "RABBITMQ_EVENTS_QUEUE": _WARN,
    "PRESENCE_STRATEGY": _WARN,
    "PRESENCE_REDIS_DSN": _WARN,
    "PRESENCE_REDIS_PREFIX": _WARN,
    "PRESENCE_TTL_SECONDS": _WARN,
    "PRESENCE_HEARTBEAT_SECONDS": _WARN,
    "PRESENCE_GRACE_SECONDS": _WARN,
    "PRESENCE_REFRESH_ON_MESSAGE": _WARN,
    "ORDERING_PARTITION_MODE": Later(harmless=frozenset({"none"})),
    "ORDERING_PARTITION_MAX_LEN": _WARN,
    "ORDERING_PARTITION_MAX_KEYS": _WARN,
}

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
    """The names whose values ask for something: not blank, and not what happens anyway."""
    return frozenset(
        name
        for name, value in environ.items()
        if value.strip() and not (name in LATER and value.strip().lower() in LATER[name].harmless)
    )


def problems(written: Collection[str]) -> Iterator[str]:
    """One line for each name that is not known yet and unsafe to ignore.

    :param written: the names that ask for something (`asking`).
    """
    for name, later in LATER.items():
        if name in written and later.refused:
            yield f"{name}: is not supported by this version; {later.refused}"


def warnings(written: Collection[str], known: Collection[str]) -> Iterator[str]:
    """One line for each name that has no effect although somebody hopes so.

    :param known: the names that are settings.
    """
    candidates = sorted({*known, *LATER})
    for name in sorted(set(written) - set(known)):
        ours = name.startswith("WS_")
        if name in LATER:
            yield f"{name}: is not supported by this version and has no effect"
        elif name not in _FOREIGN and not name.startswith(_FOREIGN_PREFIXES):
            near = get_close_matches(name, candidates, 1, _NEAR if ours else _ALL_BUT_THE_SAME)
            if near:
                yield f"{name}: is not a setting and has no effect; the nearest name is {near[0]}"
            elif ours:
                yield f"{name}: is not a setting and has no effect"
