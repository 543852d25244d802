"""Every setting of the gateway, as one frozen tree of values. A new setting is one more field here.

`Settings()` holds the defaults. The rooms never see this tree: the composition root hands them values. The
module is long because it is a table, to be read from top to bottom.
"""

from typing import ClassVar

from attrs import Factory, frozen

from ws_gateway.config import addresses, kinds
from ws_gateway.config.addresses import Network
from ws_gateway.config.brokers import Brokers, Presence, RabbitMQ, Redis
from ws_gateway.config.fields import Group, setting
from ws_gateway.dsn import RedisDsn

__all__ = [
    "Admission",
    "ClientQueue",
    "Connection",
    "Events",
    "Http",
    "Listen",
    "Node",
    "Ops",
    "Ordering",
    "Settings",
    "Subjects",
    "Token",
    "Tracing",
    "Webhook",
]

_ALGORITHMS = (
    *("RS256", "RS384", "RS512", "PS256", "PS384", "PS512"),
    *("ES256", "ES256K", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512"),
)
_CLAIM = kinds.text("the name of a claim")


@frozen
class Node(Group):
    """What this process is and how it ends."""

    heading: ClassVar[str] = "Node"

    mode: str = setting(
        "WS_MODE",
        kinds.choice("terminator", "core"),
        "How it talks to the backend: terminator = by webhooks and HTTP, core = through Redis or RabbitMQ.",
        default="terminator",
        example="terminator",
    )
    env_file: str | None = setting(
        "WS_ENV_FILE",
        addresses.file_path(),
        "A file of NAME=value lines with more settings; the environment wins. SIGHUP reads it again.",
    )
    node_id: str | None = setting(
        "NODE_ID",
        kinds.text("up to 255 of the characters A-Z a-z 0-9 . _ : -", "[A-Za-z0-9._:-]{1,255}"),
        "The name of this node in events and logs.",
        unset="the host name",
    )
    shutdown_grace_seconds: float = setting(
        "SHUTDOWN_GRACE_SECONDS",
        kinds.seconds(0, 3600),
        "How long a stop may take: clients are closed with 1012, queued events delivered.",
        default="25",
    )
    shutdown_drain_seconds: float = setting(
        "SHUTDOWN_DRAIN_SECONDS",
        kinds.seconds(0, 3600),
        "How long new clients are still served after SIGTERM, until the load balancer has noticed.",
        default="0",
    )


def _escaped(text: str) -> str:
    """Text as an argument of an endpoint string."""
    for mark in ("\\", ":", "="):
        text = text.replace(mark, "\\" + mark)
    return text


@frozen
class Listen(Group):
    """Where clients and backends find the gateway; one port serves both, or two share the work."""

    heading: ClassVar[str] = "Listening"

    host: str = setting(
        "WS_HOST", addresses.host(), "The address to listen on; 0.0.0.0 or :: means all.", default="127.0.0.1"
    )
    port: int = setting("WS_PORT", kinds.integer(1, 65535), "The TCP port to listen on.", default="8000")
    endpoint: str | None = setting(
        "WS_LISTEN",
        addresses.endpoint(),
        "Where to listen as a Twisted endpoint string; wins over WS_HOST and WS_PORT.",
    )
    internal: str | None = setting(
        "INTERNAL_LISTEN",
        addresses.endpoint(),
        "Where /internal, /metrics and the detail of /ready are served instead, as an endpoint string.",
        unset="none (one port serves all)",
    )
    path: str = setting(
        "WS_PATH", addresses.url_path(), "The path that clients open their WebSocket on.", default="/ws"
    )
    trusted_proxies: tuple[Network, ...] = setting(
        "TRUSTED_PROXIES",
        kinds.listed(addresses.network(), addresses.network().allowed),
        "Proxies whose X-Forwarded-For tells the client's address.",
        absent=(),
    )

    @property
    def description(self) -> str:
        """The endpoint string to listen on, whichever setting gave it."""
        return self.endpoint or f"tcp:{self.port}:interface={_escaped(self.host)}"

    @property
    def label(self) -> str:
        """The setting that gave it."""
        return "WS_LISTEN" if self.endpoint else "WS_HOST and WS_PORT"


@frozen
class Token(Group):
    """How the token of a client is verified and what is read from it.

    `public_key` holds the key from either place once the settings are loaded.
    """

    heading: ClassVar[str] = "Tokens"

    algorithms: tuple[str, ...] = setting(
        "JWT_ALG",
        kinds.listed(
            kinds.choice(*_ALGORITHMS, refused={"none": "an unsigned token proves nothing"}),
            "names out of " + ", ".join(_ALGORITHMS),
        ),
        "The signature algorithms that are accepted.",
        default="RS256",
    )
    public_key: str | None = setting(
        "JWT_PUBLIC_KEY",
        addresses.public_key(),
        "The key that verifies tokens, as text. "
        "Required: this, JWT_PUBLIC_KEY_FILE, JWT_JWKS_URL or JWT_SECRET.",
    )
    public_key_file: str | None = setting(
        "JWT_PUBLIC_KEY_FILE",
        addresses.file_path(),
        "The file that holds this key; read at the start, and again at SIGHUP.",
        example="scripts/keys/dev_public.pem",
    )
    jwks_url: str | None = setting(
        "JWT_JWKS_URL",
        addresses.jwks_url(),
        "Where the keys that verify tokens are published, as a JSON Web Key Set.",
    )
    jwks_cooldown_seconds: float = setting(
        "JWT_JWKS_COOLDOWN_SECONDS",
        kinds.seconds(0.05, 3600),
        "How long no token makes the gateway fetch the key set again, whatever key it names.",
        default="30",
    )
    jwks_refresh_seconds: float = setting(
        "JWT_JWKS_REFRESH_SECONDS",
        kinds.seconds(0.05, 86_400),
        "The age at which the key set is fetched again; how long a withdrawn key may stay in use.",
        default="300",
    )
    jwks_timeout_seconds: float = setting(
        "JWT_JWKS_TIMEOUT_SECONDS",
        kinds.seconds(0.05, 600),
        "How long one fetch of the key set may take, from connecting to the end of the answer.",
        default="5",
    )
    secret: str | None = setting(
        "JWT_SECRET",
        kinds.secret(kinds.text(pattern=".+")),
        "The shared secret that verifies tokens, for HS256, HS384 and HS512 only.",
    )
    issuer: str | None = setting(
        "JWT_ISSUER", kinds.text(), "What the claim iss must be.", unset="none (not judged)"
    )
    audience: str | None = setting(
        "JWT_AUDIENCE",
        kinds.text(),
        "What the claim aud must hold.",
        unset="none (a token with aud is refused)",
    )
    leeway: float = setting(
        "JWT_LEEWAY",
        kinds.seconds(0, 3600),
        "How far the clocks of issuer and gateway may differ when exp and nbf are judged.",
        default="0",
    )
    require_exp: bool = setting(
        "JWT_REQUIRE_EXP", kinds.flag(), "Whether a token that never expires is refused.", default="0"
    )
    user_id_claim: str = setting(
        "JWT_USER_ID_CLAIM", _CLAIM, "The claim that holds the user id.", default="user_id"
    )
    subjects_claim: str = setting(
        "JWT_SUBJECTS_CLAIM",
        _CLAIM,
        "The claim that lists further subjects of the client.",
        default="subjects",
    )
    forward_claims: tuple[str, ...] = setting(
        "JWT_FORWARD_CLAIMS",
        kinds.listed(_CLAIM, "names of claims"),
        "The claims that every event repeats under claims.",
        absent=(),
    )


@frozen
class Subjects(Group):
    """What a connection listens to."""

    heading: ClassVar[str] = "Subjects"

    user_prefix: str = setting(
        "SUBJECT_USER_PREFIX",
        kinds.text("1 to 64 characters without control characters", ".{1,64}"),
        "What stands before the user id in a user's own subject; existing backends expect the default.",
        default="user:",
    )
    channels_open: bool = setting(
        "WS_CHANNELS_OPEN",
        kinds.flag(),
        "Whether every client gets every channel that it asks for, whatever its token says.",
        default="0",
    )
    max_subjects: int = setting(
        "WS_MAX_SUBJECTS",
        kinds.integer(1, 10_000),
        "How many subjects one connection may have.",
        default="100",
    )


@frozen
class Admission(Group):
    """Who is let in."""

    heading: ClassVar[str] = "Admission"

    allowed_origins: tuple[str, ...] = setting(
        "WS_ALLOWED_ORIGINS",
        kinds.listed(addresses.origin(), addresses.origin().allowed),
        "The pages that may open a WebSocket; those of our own host and requests without Origin always may.",
        absent=(),
        unset="none (every origin)",
    )
    max_connections: int = setting(
        "WS_MAX_CONNECTIONS",
        kinds.integer(1, 10_000_000, zero="the descriptor limit less 200"),
        "How many clients this node takes; others get 503.",
        default="0",
    )
    max_connections_per_user: int = setting(
        "WS_MAX_CONNECTIONS_PER_USER",
        kinds.integer(1, 1_000_000, zero="off"),
        "How many connections one user may have on this node; others close with 4429.",
        default="0",
    )
    auth_failures_per_minute: int = setting(
        "AUTH_FAILURES_PER_MINUTE",
        kinds.integer(1, 10_000, zero="off"),
        "How many refused tokens one client address may have in a minute; then its handshakes get 429.",
        default="0",
    )
    handshake_timeout_seconds: float = setting(
        "WS_HANDSHAKE_TIMEOUT_SECONDS",
        kinds.seconds(0.05, 600),
        "How long a client may take from connecting to the end of its handshake.",
        default="10",
    )


@frozen
class Connection(Group):
    """The life of one connection."""

    heading: ClassVar[str] = "Connections"

    max_message_bytes: int = setting(
        "WS_MAX_MESSAGE_BYTES",
        kinds.size(1, 1 << 30),
        "The largest message a client may send, after inflating; a larger one closes with 1009.",
        default="65536",
    )
    compression: bool = setting(
        "WS_COMPRESSION", kinds.flag(), "Whether permessage-deflate is negotiated.", default="0"
    )
    ping_interval_seconds: float = setting(
        "WS_PING_INTERVAL_SECONDS",
        kinds.seconds(0.05, 86_400, zero="off"),
        "How often a client is pinged, give or take a little.",
        default="25",
    )
    ping_timeout_seconds: float = setting(
        "WS_PING_TIMEOUT_SECONDS",
        kinds.seconds(0.05, 86_400),
        "How long a client may take to answer a ping before it is dropped.",
        default="20",
    )
    close_timeout_seconds: float = setting(
        "WS_CLOSE_TIMEOUT_SECONDS",
        kinds.seconds(0.05, 600),
        "How long the closing handshake may take before the connection is dropped.",
        default="5",
    )
    max_age_seconds: float = setting(
        "WS_MAX_CONNECTION_AGE_SECONDS",
        kinds.seconds(0.05, 31_536_000, zero="off"),
        "After how long a connection is closed with 1012, so that clients spread over new nodes.",
        default="0",
    )
    rate_limit_per_sec: float = setting(
        "WS_RATE_LIMIT_PER_SEC",
        kinds.number(0.001, 1_000_000, zero="off"),
        "How many messages a second a client may send for long; pings and heartbeats ten times as many.",
        default="10",
    )
    rate_limit_burst: int = setting(
        "WS_RATE_LIMIT_BURST",
        kinds.integer(1, 1_000_000, zero="no rate limit at all"),
        "How many messages a client may send at once.",
        default="20",
    )
    rate_limit_close_after: int = setting(
        "WS_RATE_LIMIT_CLOSE_AFTER",
        kinds.integer(1, 1_000_000_000, zero="off"),
        "How many messages in a row over the rate close the connection with 4429.",
        default="1000",
    )


@frozen
class ClientQueue(Group):
    """What waits for a client that reads slowly."""

    heading: ClassVar[str] = "Client queue"

    size: int = setting(
        "WS_OUTBOX_QUEUE_SIZE",
        kinds.integer(1, 10_000_000),
        "How many publications may wait for one client.",
        default="1024",
    )
    max_bytes: int = setting(
        "WS_OUTBOX_MAX_BYTES",
        kinds.size(1, 1 << 40),
        "How many bytes may wait for one client.",
        default="1MiB",
    )
    drop_strategy: str = setting(
        "WS_OUTBOX_DROP_STRATEGY",
        kinds.choice("drop_oldest", "drop_newest", "close"),
        "What happens when it is full: a publication is dropped, or the connection closes with 4408.",
        default="drop_oldest",
    )


@frozen
class Events(Group):
    """What the backend hears about."""

    heading: ClassVar[str] = "Events"

    mode: str = setting(
        "EVENTS_MODE",
        kinds.choice("webhook", "broker", "both", "none"),
        "Where events go: both = webhook and broker; none sends nothing, publishing still works.",
        absent="",
        unset="webhook in terminator mode, broker in core mode",
    )
    types: tuple[str, ...] = setting(
        "EVENTS_TYPES",
        kinds.listed(
            kinds.choice("connected", "message_received", "disconnected"),
            "names out of connected, message_received, disconnected",
        ),
        "Which events are sent.",
        default="connected,message_received,disconnected",
    )
    client_ip: bool = setting(
        "EVENTS_CLIENT_IP", kinds.flag(), "Whether events carry the client's address.", default="0"
    )
    queue_max_bytes: int = setting(
        "EVENTS_QUEUE_MAX_BYTES",
        kinds.size(1 << 10, 1 << 40),
        "How many bytes of events may wait in all; beyond that the newest message is refused.",
        default="64MiB",
    )
    queue_max_per_key: int = setting(
        "EVENTS_QUEUE_MAX_PER_KEY",
        kinds.integer(1, 10_000_000),
        "How many events may wait for one ordering key.",
        default="1000",
    )


@frozen
class Webhook(Group):
    """How events are posted to the backend."""

    heading: ClassVar[str] = "Webhook"

    url: str | None = setting(
        "SYMFONY_WEBHOOK_URL",
        addresses.webhook_url(),
        "Where events are posted to; required while EVENTS_MODE is webhook.",
        aliases=("WEBHOOK_URL",),
        example="http://symfony/internal/ws/events",
    )
    secret: str | None = setting(
        "SYMFONY_WEBHOOK_SECRET",
        addresses.signing_secret(),
        "What events are signed with.",
        unset="none (unsigned)",
        aliases=("WEBHOOK_SECRET",),
        example="",
    )
    secret_previous: str | None = setting(
        "WEBHOOK_SECRET_PREVIOUS",
        addresses.signing_secret(),
        "The secret before this one: a second signature is sent while receivers still know only that.",
    )
    retry_base_seconds: float = setting(
        "WEBHOOK_RETRY_BASE_SECONDS",
        kinds.seconds(0.01, 3600),
        "The first pause before an event is sent again; it doubles from there.",
        default="0.5",
    )
    retry_max_seconds: float = setting(
        "WEBHOOK_RETRY_MAX_SECONDS",
        kinds.seconds(0.01, 86_400),
        "The longest pause, also for a Retry-After.",
        default="30",
    )
    retry_attempts: int = setting(
        "WEBHOOK_RETRY_ATTEMPTS",
        kinds.integer(1, 1000),
        "How often an event is tried that the receiver fails on (5xx) before it is a dead letter.",
        default="8",
    )
    concurrency: int = setting(
        "WEBHOOK_CONCURRENCY",
        kinds.integer(1, 1024),
        "How many requests may be under way at once.",
        default="16",
    )
    timeout_seconds: float = setting(
        "WEBHOOK_TIMEOUT_SECONDS",
        kinds.seconds(0.05, 600),
        "How long one request may take, from connecting to the end of the answer.",
        default="10",
    )
    connection_max_age_seconds: float = setting(
        "WEBHOOK_CONNECTION_MAX_AGE_SECONDS",
        kinds.seconds(0.05, 86_400),
        "How long a connection is kept for further requests; after that the name is looked up again.",
        default="60",
    )


@frozen
class Ordering(Group):
    """Which messages keep their order among each other."""

    heading: ClassVar[str] = "Ordering"

    strategy: str = setting(
        "ORDERING_STRATEGY",
        kinds.choice("none", "topic", "subject"),
        "What gives the ordering key of a message; none keeps the order of each connection.",
        default="none",
    )
    topic_field: str = setting(
        "ORDERING_TOPIC_FIELD",
        kinds.text("the name of a field"),
        "The field of a message that holds its topic, for the strategy topic.",
        default="topic",
    )
    subject_source: str = setting(
        "ORDERING_SUBJECT_SOURCE",
        kinds.choice("user", "subject"),
        "What stands in for a subject that a message does not name: the user id, or a subject it listens to.",
        default="user",
    )
    partition_mode: str = setting(
        "ORDERING_PARTITION_MODE",
        kinds.choice("none", "suffix"),
        "Whether messages with an ordering key go to a stream and routing key of their own: ws.inbox.room:1.",
        default="none",
    )
    partition_max_len: int = setting(
        "ORDERING_PARTITION_MAX_LEN",
        kinds.integer(1, 200),
        "The longest key that becomes part of a name; a longer one is replaced by its SHA-1.",
        default="64",
    )
    partition_max_keys: int = setting(
        "ORDERING_PARTITION_MAX_KEYS",
        kinds.integer(1, 1_000_000),
        "How many partitions this node makes, about 4 KB each; further keys go to the partition overflow.",
        default="1000",
    )


@frozen
class Http(Group):
    """How backends and operators reach the gateway."""

    heading: ClassVar[str] = "HTTP API"

    api_keys: tuple[str, ...] = setting(
        "GATEWAY_API_KEY",
        kinds.listed(addresses.api_key(), f"keys of {addresses.api_key().allowed}"),
        "The keys that open /internal; several, so that keys can rotate.",
        absent=(),
        unset="none (/internal answers 403)",
        example="",
    )
    max_body_bytes: int = setting(
        "HTTP_MAX_BODY_BYTES",
        kinds.size(1 << 10, 1 << 30),
        "The largest request body; a larger one gets 413.",
        default="1MiB",
    )
    keepalive_seconds: float = setting(
        "HTTP_KEEPALIVE_SECONDS",
        kinds.seconds(0.05, 86_400),
        "How long a connection without a request is kept.",
        default="120",
    )
    request_timeout_seconds: float = setting(
        "HTTP_REQUEST_TIMEOUT_SECONDS",
        kinds.seconds(0.05, 3600),
        "How long a request may take to arrive, from its first byte to the end of its body.",
        default="30",
    )


@frozen
class Ops(Group):
    """What operators see."""

    heading: ClassVar[str] = "Operation"

    log_level: str = setting(
        "LOG_LEVEL",
        kinds.choice("debug", "info", "warn", "error", "critical", also={"warning": "warn"}),
        "The least important log lines that are written.",
        default="INFO",
    )
    log_format: str = setting(
        "LOG_FORMAT",
        kinds.choice("json", "text"),
        "One JSON object a line, or text for people.",
        default="json",
    )
    metrics_token: str | None = setting(
        "METRICS_TOKEN",
        addresses.api_key(),
        "The bearer token that /metrics asks for.",
        unset="none (open)",
    )
    recent_events: int = setting(
        "RECENT_EVENTS",
        kinds.integer(0, 1_000_000),
        "How many of the last events are remembered for operators, each with the beginning of its text.",
        default="10000",
    )
    manhole: str | None = setting(
        "MANHOLE_LISTEN",
        addresses.endpoint(),
        "Where operators come in over SSH, as an endpoint string; tcp: without interface= means 127.0.0.1.",
        unset="none (no manhole)",
    )
    manhole_authorized_keys: str | None = setting(
        "MANHOLE_AUTHORIZED_KEYS",
        addresses.file_path(),
        "The file with their public keys, one a line, as sshd has it; read at each login.",
    )
    manhole_host_key: str | None = setting(
        "MANHOLE_HOST_KEY",
        addresses.file_path(),
        "The file with the private ed25519 key by which they know this gateway.",
    )
    manhole_write: bool = setting(
        "MANHOLE_WRITE",
        kinds.flag(),
        "Let operators kick connections, too; otherwise they can only look.",
        default="0",
    )

    @property
    def manhole_endpoint(self) -> str | None:
        """The endpoint string of the manhole, on this machine only unless it says otherwise."""
        text = self.manhole
        if text is None or "interface=" in text:
            return text
        kind = text.partition(":")[0].lower()
        loopback = {"tcp": "127.0.0.1", "tcp4": "127.0.0.1", "tcp6": r"\:\:1"}.get(kind)
        return text if loopback is None else f"{text}:interface={loopback}"


@frozen
class Tracing(Group):
    """What a tracing backend is told over OTLP; the `OTEL_` variables of the field say where it is."""

    heading: ClassVar[str] = "Tracing"

    enabled: bool = setting(
        "TRACING",
        kinds.flag(),
        "Whether handshakes, webhook requests and publish calls become spans; needs the extra otel.",
        default="0",
    )
    ratio: float = setting(
        "TRACING_RATIO",
        kinds.number(0, 1),
        "The share of traces beginning here that are recorded; a traceparent brings its own decision along.",
        default="1",
    )


@frozen(kw_only=True)
class Settings:
    """All settings, checked."""

    node: Node = Factory(Node)
    listen: Listen = Factory(Listen)
    token: Token = Factory(Token)
    subjects: Subjects = Factory(Subjects)
    admission: Admission = Factory(Admission)
    connection: Connection = Factory(Connection)
    client_queue: ClientQueue = Factory(ClientQueue)
    events: Events = Factory(Events)
    webhook: Webhook = Factory(Webhook)
    ordering: Ordering = Factory(Ordering)
    brokers: Brokers = Factory(Brokers)
    redis: Redis = Factory(Redis)
    rabbitmq: RabbitMQ = Factory(RabbitMQ)
    presence: Presence = Factory(Presence)
    http: Http = Factory(Http)
    ops: Ops = Factory(Ops)
    tracing: Tracing = Factory(Tracing)

    @property
    def events_mode(self) -> str:
        """Where events go: what `EVENTS_MODE` says, else what the mode implies."""
        return self.events.mode or ("broker" if self.node.mode == "core" else "webhook")

    @property
    def uses_brokers(self) -> bool:
        """Whether events or publications go through a broker."""
        return self.node.mode == "core" or self.events_mode in ("broker", "both")

    @property
    def uses_webhook(self) -> bool:
        """Whether events are posted to the backend."""
        return self.events_mode in ("webhook", "both")

    @property
    def presence_dsn(self) -> RedisDsn | None:
        """The Redis that presence is kept in; None keeps it in this node's memory alone."""
        return self.presence.dsn or (self.redis.dsn if self.uses_brokers else None)
