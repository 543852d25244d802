"""The settings of brokers: a chapter of the table in `tree`, which consumers read, too."""

from typing import ClassVar

from attrs import frozen

from ws_gateway.config import addresses, kinds
from ws_gateway.config.fields import Group, setting
from ws_gateway.dsn import AmqpDsn, RedisDsn

__all__ = ["Brokers", "Presence", "RabbitMQ", "Redis"]

_STREAM = kinds.text("up to 255 of the characters A-Z a-z 0-9 . _ : -", "[A-Za-z0-9._:-]{1,255}")


@frozen
class Brokers(Group):
    """What core mode, and EVENTS_MODE=broker, ask of whichever broker there is."""

    heading: ClassVar[str] = "Brokers"

    timeout_seconds: float = setting(
        "BROKER_TIMEOUT_SECONDS",
        kinds.seconds(0.1, 300),
        "How long a broker may take to connect or to answer before its connection is given up.",
        default="10",
    )
    canary_seconds: float = setting(
        "BROKER_CANARY_SECONDS",
        kinds.seconds(0.1, 3600, zero="never"),
        "How often an entry of our own is sent through each broker and back, to see that it can.",
        default="5",
    )


@frozen
class Redis(Group):
    """Redis Streams as broker."""

    heading: ClassVar[str] = "Redis"

    dsn: RedisDsn | None = setting(
        "WS_REDIS_DSN",
        addresses.redis_dsn(),
        "Where Redis is.",
        aliases=("REDIS_DSN",),
    )
    ca_file: str | None = setting(
        "REDIS_CA_FILE",
        addresses.file_path(),
        "A file with the authorities that a certificate of Redis is verified with.",
        unset="those of the system",
    )
    inbox: str = setting(
        "REDIS_INBOX_STREAM", _STREAM, "The stream that messages of clients go to.", default="ws.inbox"
    )
    events: str = setting(
        "REDIS_EVENTS_STREAM",
        _STREAM,
        "The stream that connected and disconnected go to.",
        default="ws.events",
    )
    outbox: str = setting(
        "REDIS_STREAM", _STREAM, "The stream that publications are read from.", default="ws.outbox"
    )
    dead_letters: str = setting(
        "REDIS_DLQ_STREAM",
        _STREAM,
        "The stream that publications go to which nobody could use.",
        default="ws.dlq",
    )
    maxlen: int | None = setting(
        "REDIS_STREAM_MAXLEN",
        kinds.integer(1, 1_000_000_000_000),
        "About how many entries a stream keeps when we write to it.",
        unset="none (nothing is trimmed)",
    )


@frozen
class RabbitMQ(Group):
    """RabbitMQ as broker."""

    heading: ClassVar[str] = "RabbitMQ"

    dsn: AmqpDsn | None = setting(
        "WS_RABBITMQ_DSN",
        addresses.amqp_dsn(),
        "Where RabbitMQ is.",
        aliases=("RABBITMQ_DSN",),
    )
    ca_file: str | None = setting(
        "RABBITMQ_CA_FILE",
        addresses.file_path(),
        "A file with the authorities that a certificate of RabbitMQ is verified with.",
        unset="those of the system",
    )
    inbox_queue: str | None = setting(
        "RABBITMQ_INBOX_QUEUE", _STREAM, "A queue to declare and to bind to the exchange ws.inbox."
    )
    events_queue: str | None = setting(
        "RABBITMQ_EVENTS_QUEUE", _STREAM, "A queue to declare and to bind to the exchange ws.events."
    )
    heartbeat_seconds: int = setting(
        "RABBITMQ_HEARTBEAT_SECONDS",
        kinds.integer(1, 3600),
        "How often both sides show that they are there; heartbeat= in the address wins.",
        default="30",
    )


@frozen
class Presence(Group):
    """Who is connected to any node, kept in Redis."""

    heading: ClassVar[str] = "Presence"

    strategy: str = setting(
        "PRESENCE_STRATEGY",
        kinds.choice("ttl", "heartbeat", "session"),
        "How long an entry lives that nobody refreshes: session = as long as its node.",
        default="ttl",
    )
    dsn: RedisDsn | None = setting(
        "PRESENCE_REDIS_DSN",
        addresses.redis_dsn(),
        "Which Redis it is kept in; set, it turns presence on in every mode.",
        unset="WS_REDIS_DSN, in core mode or with EVENTS_MODE=broker",
    )
    prefix: str = setting(
        "PRESENCE_REDIS_PREFIX",
        kinds.text("up to 200 of the characters A-Z a-z 0-9 . _ : - { }", "[A-Za-z0-9._:{}-]{1,200}"),
        "What the names of its keys begin with.",
        default="presence:",
    )
    ttl_seconds: float = setting(
        "PRESENCE_TTL_SECONDS",
        kinds.seconds(2, 86_400),
        "With ttl: how long an entry lives that nobody refreshes.",
        default="120",
    )
    heartbeat_seconds: float = setting(
        "PRESENCE_HEARTBEAT_SECONDS",
        kinds.seconds(1, 86_400),
        "With heartbeat: how often one is expected.",
        default="30",
    )
    grace_seconds: float = setting(
        "PRESENCE_GRACE_SECONDS",
        kinds.seconds(0, 86_400),
        "With heartbeat: how much later it may come.",
        default="15",
    )
    refresh_on_message: bool = setting(
        "PRESENCE_REFRESH_ON_MESSAGE",
        kinds.flag(),
        "Whether messages and pings count as signs of life (last_seen_at), or heartbeats alone.",
        default="1",
    )
