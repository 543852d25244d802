"""What no single setting can tell: which of them belong together, and which exclude each other."""

from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit

import attrs
from attrs import frozen

from ws_gateway.config.tree import Settings

__all__ = ["Draft", "problems", "settled", "warnings"]

_KEY_SOURCES = ("JWT_PUBLIC_KEY", "JWT_PUBLIC_KEY_FILE", "JWT_JWKS_URL", "JWT_SECRET")
_BROKERS = ("WS_REDIS_DSN", "WS_RABBITMQ_DSN")
# RFC 7518 section 3.2: an HMAC key is at least as long as the hash.
_SHORTEST_SECRETS = {"HS256": 32, "HS384": 48, "HS512": 64}


@frozen
class Draft:
    """Settings whose parts are fine, each for itself.

    :ivar given: the settings that were written, and what an error line calls each (`WS_PORT` or `--port`).
    :ivar broken: those that could not be used; their defaults stand in the tree, so they must not be judged.
    """

    settings: Settings
    given: Mapping[str, str]
    broken: frozenset[str] = frozenset()

    def label(self, name: str) -> str:
        """What an error line calls a setting."""
        return self.given.get(name, name)

    def sound(self, *names: str) -> bool:
        """Whether these can be judged."""
        return self.broken.isdisjoint(names)


def _key_source(draft: Draft) -> Iterator[str]:
    """Exactly one key, and one that fits the algorithms."""
    sources = [name for name in _KEY_SOURCES if name in draft.given]
    if len(sources) > 1:
        yield f"{' and '.join(draft.label(name) for name in sources)}: only one of them may be set"
        return
    if not draft.sound("JWT_ALG"):
        return
    algorithms = draft.settings.token.algorithms
    shared = [name for name in algorithms if name.startswith("HS")]
    said = f"{draft.label('JWT_ALG')}={','.join(algorithms)}"
    if shared and len(shared) < len(algorithms):
        yield f"{said}: HS algorithms take a shared secret, the others a public key; they cannot be mixed"
        return
    if not sources:
        wanted = "JWT_SECRET" if shared else "JWT_PUBLIC_KEY, JWT_PUBLIC_KEY_FILE or JWT_JWKS_URL"
        yield f"{wanted}: must be set, because tokens are verified with {said}"
    for source in sources:
        if shared and source != "JWT_SECRET":
            yield f"{said}: HS algorithms take JWT_SECRET, never a public key ({draft.label(source)})"
        if not shared and source == "JWT_SECRET":
            yield f"{draft.label(source)}='***': is for HS256, HS384 and HS512, but {said}"
    if shared and "-----BEGIN" in (draft.settings.token.secret or ""):
        yield f"{draft.label('JWT_SECRET')}='***': must be a secret, and this is a key in PEM"


def _webhook(draft: Draft) -> Iterator[str]:
    """Where events go, and with which signatures."""
    wanted = draft.settings.uses_webhook and draft.sound("EVENTS_MODE", "WS_MODE")
    if wanted and "SYMFONY_WEBHOOK_URL" not in draft.given:
        mode = draft.settings.events_mode
        yield f"SYMFONY_WEBHOOK_URL: must be set, because EVENTS_MODE is {mode} (none sends no events)"
    if "WEBHOOK_SECRET_PREVIOUS" in draft.given and "SYMFONY_WEBHOOK_SECRET" not in draft.given:
        yield f"{draft.label('WEBHOOK_SECRET_PREVIOUS')}='***': SYMFONY_WEBHOOK_SECRET must be set beside it"


def _brokers(draft: Draft) -> Iterator[str]:
    """A broker for whoever needs one, and a queue for partitions."""
    settings = draft.settings
    if not draft.sound("WS_MODE", "EVENTS_MODE"):
        return
    if settings.uses_brokers and draft.given.keys().isdisjoint(_BROKERS):
        why = "WS_MODE is core" if settings.node.mode == "core" else f"EVENTS_MODE is {settings.events_mode}"
        yield f"{' or '.join(_BROKERS)}: must be set, because {why}"
    if (
        settings.ordering.partition_mode == "suffix"
        and "WS_RABBITMQ_DSN" in draft.given
        and "RABBITMQ_INBOX_QUEUE" not in draft.given
        and settings.events_mode in ("broker", "both")
    ):
        yield (
            "RABBITMQ_INBOX_QUEUE: must be set, because ORDERING_PARTITION_MODE is suffix: "
            "each partition is bound to it"
        )


def _retry(draft: Draft) -> Iterator[str]:
    """Pauses grow."""
    webhook = draft.settings.webhook
    names = ("WEBHOOK_RETRY_BASE_SECONDS", "WEBHOOK_RETRY_MAX_SECONDS")
    if draft.sound(*names) and webhook.retry_max_seconds < webhook.retry_base_seconds:
        base, longest = (draft.label(name) for name in names)
        yield (
            f"{longest}='{webhook.retry_max_seconds:g}': "
            f"must be at least {base}, which is {webhook.retry_base_seconds:g}"
        )


def _manhole(draft: Draft) -> Iterator[str]:
    """A door needs keys."""
    if "MANHOLE_LISTEN" in draft.given:
        for name in ("MANHOLE_AUTHORIZED_KEYS", "MANHOLE_HOST_KEY"):
            if name not in draft.given:
                yield f"{name}: must be set, because {draft.label('MANHOLE_LISTEN')} is"


def _is_open(endpoint: str) -> bool:
    """Whether an endpoint string says that other machines may come."""
    _, said, interface = endpoint.replace("\\", "").partition("interface=")
    if not said:
        return False
    try:
        return not ip_address(interface).is_loopback
    except ValueError:  # a name, or more than an address
        return not interface.startswith(("127.", "::1", "localhost"))


def _cannot_be_forged(url: str) -> bool:
    """Whether nobody between us and a URL can answer in its place: https, or it lies on this host."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        return parts.scheme == "https" or host == "localhost" or ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def problems(draft: Draft) -> Iterator[str]:
    """One line for each thing that cannot work."""
    for check in (_key_source, _webhook, _brokers, _retry, _manhole):
        yield from check(draft)


def warnings(draft: Draft) -> Iterator[str]:
    """One line for each thing that works but is hardly meant."""
    settings = draft.settings
    secret = settings.token.secret
    shortest = max((_SHORTEST_SECRETS.get(name, 0) for name in settings.token.algorithms), default=0)
    if secret is not None and len(secret.encode()) < shortest:
        yield f"{draft.label('JWT_SECRET')}: is shorter than {shortest} bytes; whoever guesses it is any user"
    if settings.token.jwks_url is not None and not _cannot_be_forged(settings.token.jwks_url):
        yield (
            f"{draft.label('JWT_JWKS_URL')}: is not https; whoever can answer in its place can let anybody in"
        )
    if settings.uses_webhook and settings.webhook.secret is None:
        yield "SYMFONY_WEBHOOK_SECRET: is not set, so no event is signed and anybody could have sent it"
    if not settings.uses_brokers:
        for name in _BROKERS:
            if name in draft.given:
                yield f"{draft.label(name)}: has no effect in terminator mode, except with EVENTS_MODE=broker"
    if settings.ordering.partition_mode == "suffix" and settings.ordering.strategy == "none":
        yield "ORDERING_PARTITION_MODE: has no effect, because ORDERING_STRATEGY is none and gives no keys"
    if _is_open(settings.ops.manhole or ""):
        yield f"{draft.label('MANHOLE_LISTEN')}: lets other machines knock; only keys stand between"
    if not settings.http.api_keys:
        yield "GATEWAY_API_KEY: is not set, so /internal answers 403 and nobody can publish"
    if settings.node.shutdown_drain_seconds and (
        settings.node.shutdown_drain_seconds >= settings.node.shutdown_grace_seconds
    ):
        yield "SHUTDOWN_DRAIN_SECONDS: leaves nothing of SHUTDOWN_GRACE_SECONDS to deliver queued events in"


def settled(settings: Settings) -> Settings:
    """The tree with what follows from it: a burst of 0 means that there is no rate limit."""
    if settings.connection.rate_limit_burst:
        return settings
    unlimited = attrs.evolve(settings.connection, rate_limit_per_sec=0.0, rate_limit_burst=1)
    return attrs.evolve(settings, connection=unlimited)
