"""The demo's settings: a frozen value, built from a mapping and judged as a whole.

Whoever starts the demo hears of every mistake at once, one line each: the variable, its value (secrets
masked) and what is allowed. Nothing here reads the process environment; `tap` passes it in.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar
from urllib.parse import SplitResult, unquote, urlsplit

from ws_gateway.dsn import AmqpDsn, RedisDsn, masked, parse_amqp, parse_redis

__all__ = ["CoreConfig", "DemoConfig", "SettingsError"]

T = TypeVar("T")

_SWITCH = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}
_SIGNED_BY_SECRET = ("HS256", "HS384", "HS512")
_SIGNED_BY_KEY = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")


class SettingsError(Exception):
    """The settings cannot be used.

    :ivar problems: one line each.
    """

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class CoreConfig:
    """What the demo needs to know of brokers, in core mode. All of it is named as for the gateway.

    :ivar redis: where Redis is; events and publications go by it if it is there.
    :ivar rabbitmq: where RabbitMQ is.
    :ivar presence: the Redis with the list of who is online, or None.
    :ivar group: the consumer group of Redis.
    :ivar partitions: whether messages come by streams of partitions.
    """

    redis: RedisDsn | None = None
    rabbitmq: AmqpDsn | None = None
    presence: RedisDsn | None = None
    presence_prefix: str = "presence:"
    group: str = "ws-demo"
    partitions: bool = False
    redis_ca_file: str | None = None
    inbox_stream: str = "ws.inbox"
    events_stream: str = "ws.events"
    outbox_stream: str = "ws.outbox"
    dead_letter_stream: str = "ws.dlq"
    rabbitmq_ca_file: str | None = None
    inbox_queue: str = "ws.inbox"
    events_queue: str = "ws.events"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoConfig:
    """What the demo needs to know.

    :ivar webhook_secrets: any of them may have signed an event; none means that no event is accepted.
    :ivar gateway_url: base URL of the gateway, without a trailing slash and without credentials.
    :ivar api_key: what we show the gateway; without one it refuses us.
    :ivar demo_key: what callers of the demo's own `/api` show (`X-Demo-Key`); empty leaves it open.
    :ivar demo_mode: whether the chat page and its tokens exist.
    :ivar ws_urls: where the chat page connects, one a node; none means: the host that served the page, with
        `ws_port`.
    :ivar ws_port: port of the gateway as `gateway_url` has it.
    :ivar core: how brokers are used; None in terminator mode.
    """

    host: str = "127.0.0.1"
    port: int = 8181
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    gateway_url: str = "http://127.0.0.1:8180"
    api_key: str = field(default="", repr=False)
    demo_key: str = field(default="", repr=False)
    demo_mode: bool = False
    jwt_alg: str = "RS256"
    jwt_key_file: str = ""
    jwt_secret: str = field(default="", repr=False)
    ws_urls: tuple[str, ...] = ()
    ws_port: int = 8180
    core: CoreConfig | None = None

    @property
    def signs_by_secret(self) -> bool:
        """Whether demo tokens are signed by a shared secret rather than a private key."""
        return self.jwt_alg in _SIGNED_BY_SECRET

    @classmethod
    def from_mapping(cls, settings: Mapping[str, str]) -> DemoConfig:
        """Read the settings; unknown names are none of our business, empty ones count as absent.

        :param settings: environment variables, by name.
        :raises SettingsError: naming everything that is wrong.
        """
        reader = _Reader(settings)
        url, key_in_url = reader.gateway_url("WS_GATEWAY_BASE_URL", "http://127.0.0.1:8180")
        config = cls(
            host=reader.text("DEMO_HOST", "127.0.0.1"),
            port=reader.port("DEMO_PORT", 8181),
            webhook_secrets=reader.secrets("SYMFONY_WEBHOOK_SECRET", "WEBHOOK_SECRET"),
            gateway_url=url.geturl().rstrip("/"),
            api_key=reader.header_value("WS_GATEWAY_API_KEY", key_in_url),
            demo_key=reader.header_value("DEMO_API_KEY", ""),
            demo_mode=reader.switch("DEMO_MODE", False),
            jwt_alg=reader.choice("DEMO_JWT_ALG", "RS256", _SIGNED_BY_KEY + _SIGNED_BY_SECRET),
            jwt_key_file=reader.text("DEMO_JWT_PRIVATE_KEY_FILE", ""),
            jwt_secret=reader.text("DEMO_JWT_SECRET", ""),
            ws_urls=reader.ws_urls("DEMO_WS_URL"),
            ws_port=url.port or (443 if url.scheme == "https" else 80),
            core=reader.core(),
        )
        if config.demo_mode:
            if config.signs_by_secret and not config.jwt_secret:
                reader.problems.append(
                    f"DEMO_JWT_SECRET is not set: DEMO_MODE=1 with {config.jwt_alg} needs it"
                )
            if not config.signs_by_secret and not config.jwt_key_file:
                reader.problems.append(
                    f"DEMO_JWT_PRIVATE_KEY_FILE is not set: DEMO_MODE=1 with {config.jwt_alg} needs the path"
                    " of a private key in PEM (scripts/gen_dev_keys.sh makes one)"
                )
        if reader.problems:
            raise SettingsError(reader.problems)
        return config


class _Reader:
    """Takes values out of a mapping and notes what is wrong with them."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        self._settings = settings
        self.problems: list[str] = []

    def text(self, name: str, default: str) -> str:
        return self._settings.get(name, "").strip() or default

    def secrets(self, *names: str) -> tuple[str, ...]:
        """The first of the names that is set; white space around a secret is never part of it."""
        return next(((value,) for value in (self.text(name, "") for name in names) if value), ())

    def header_value(self, name: str, default: str) -> str:
        """A secret that travels in a header."""
        value = self.text(name, default)
        if value.isascii() and value.isprintable():
            return value
        self.problems.append(f"{name}=****: allowed are printable ASCII characters")
        return ""

    def port(self, name: str, default: int) -> int:
        value = self.text(name, str(default))
        if value.isascii() and value.isdigit() and 0 < int(value) < 65536:
            return int(value)
        self.problems.append(f"{name}={value!r}: not a port; allowed are 1 to 65535")
        return default

    def switch(self, name: str, default: bool) -> bool:
        value = self.text(name, "1" if default else "0")
        if value.lower() in _SWITCH:
            return _SWITCH[value.lower()]
        self.problems.append(f"{name}={value!r}: allowed are 1 and 0")
        return default

    def choice(self, name: str, default: str, allowed: tuple[str, ...]) -> str:
        value = self.text(name, default)
        if value in allowed:
            return value
        self.problems.append(f"{name}={value!r}: allowed are {', '.join(allowed)}")
        return default

    def gateway_url(self, name: str, default: str) -> tuple[SplitResult, str]:
        """The URL without its credentials, and the key that stood in it (`http://any:KEY@gateway:8180`)."""
        value = self.text(name, default)
        parts = _split(value)
        if (
            parts is None
            or parts.scheme not in ("http", "https")
            or not (value.isascii() and value.isprintable())
            or set(value) & set(" ?#")
        ):
            shown = value if "@" not in value else "****"
            self.problems.append(f"{name}={shown!r}: allowed is http://host[:port] or https://host[:port]")
            return urlsplit(default), ""
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]), unquote(parts.password or "")

    def core(self) -> CoreConfig | None:
        """What stands there of brokers, in core mode."""
        if self.choice("WS_MODE", "terminator", ("terminator", "core")) != "core":
            return None
        redis = self.address(parse_redis, "WS_REDIS_DSN", "REDIS_DSN")
        rabbitmq = self.address(parse_amqp, "WS_RABBITMQ_DSN", "RABBITMQ_DSN")
        named = ("WS_REDIS_DSN", "REDIS_DSN", "WS_RABBITMQ_DSN", "RABBITMQ_DSN")
        if not any(self.text(name, "") for name in named):
            self.problems.append(
                "WS_REDIS_DSN and WS_RABBITMQ_DSN are not set: WS_MODE=core needs one of them"
            )
        return CoreConfig(
            redis=redis,
            rabbitmq=rabbitmq,
            presence=self.address(parse_redis, "PRESENCE_REDIS_DSN") or redis,
            presence_prefix=self.text("PRESENCE_REDIS_PREFIX", "presence:"),
            group=self.text("DEMO_CONSUMER_GROUP", "ws-demo"),
            partitions=self.text("ORDERING_PARTITION_MODE", "none").lower() == "suffix",
            redis_ca_file=self.text("REDIS_CA_FILE", "") or None,
            inbox_stream=self.text("REDIS_INBOX_STREAM", "ws.inbox"),
            events_stream=self.text("REDIS_EVENTS_STREAM", "ws.events"),
            outbox_stream=self.text("REDIS_STREAM", "ws.outbox"),
            dead_letter_stream=self.text("REDIS_DLQ_STREAM", "ws.dlq"),
            rabbitmq_ca_file=self.text("RABBITMQ_CA_FILE", "") or None,
            inbox_queue=self.text("RABBITMQ_INBOX_QUEUE", "ws.inbox"),
            events_queue=self.text("RABBITMQ_EVENTS_QUEUE", "ws.events"),
        )

    def address(self, parse: Callable[[str], T], *names: str) -> T | None:
        """The first of the names that is set, as the address of a broker."""
        for name in names:
            if value := self.text(name, ""):
                try:
                    return parse(value)
                except ValueError as error:
                    self.problems.append(f"{name}={masked(value)!r}: {error}")
                    return None
        return None

    def ws_urls(self, name: str) -> tuple[str, ...]:
        value = self.text(name, "")
        urls = value.split(" ") if value else []
        if all(map(_is_ws_url, urls)):
            return tuple(urls)
        self.problems.append(
            f"{name}={value!r}: allowed is ws://host[:port]/path or wss://host[:port]/path, several with a"
            " blank between them"
        )
        return ()


def _is_ws_url(text: str) -> bool:
    """Whether it is an address of a WebSocket, and nothing that could add to the page's policy."""
    parts = _split(text)
    return (
        parts is not None
        and parts.scheme in ("ws", "wss")
        and not parts.fragment
        and "@" not in parts.netloc
        and text.isascii()
        and text.isprintable()
        and not set(text) & set(" ;,'\"<>")
    )


def _split(url: str) -> SplitResult | None:
    """The parts of a URL that has a host and a port that is one, else None."""
    try:
        parts = urlsplit(url)
        return parts if parts.hostname and parts.port != 0 else None
    except ValueError:
        return None
