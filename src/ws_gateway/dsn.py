"""Where brokers are: the addresses of Redis and RabbitMQ, as every side of the gateway writes them.

Percent-encoding is undone once, in the user, the password and the virtual host (contract section 4). Query
parameters that other libraries understand are left alone: an address is often shared with an application.
"""

import re
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from attrs import field, frozen

__all__ = ["AmqpDsn", "RedisDsn", "masked", "parse_amqp", "parse_redis"]

_REDIS_PORT = 6379
_SENTINEL_PORT = 26379
_AMQP_PORTS = {"amqp": 5672, "amqps": 5671}
_NUMBER = re.compile(r"[0-9]{1,5}")


@frozen
class RedisDsn:
    """A Redis, or the sentinels that know where it is.

    :ivar hosts: one server; with `service` all sentinels that may be asked.
    :ivar username: of an ACL user, or None.
    :ivar service: the name under which the sentinels know the master, or None.
    :ivar tls: whether the connection is encrypted, certificate and host name verified.
    """

    hosts: tuple[tuple[str, int], ...]
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    service: str | None = None
    tls: bool = False

    def __str__(self) -> str:
        """For logs: without credentials."""
        hosts = ",".join(f"{host}:{port}" for host, port in self.hosts)
        scheme = "redis+sentinel" if self.service else "rediss" if self.tls else "redis"
        path = f"/{self.service}/{self.database}" if self.service else f"/{self.database}"
        return f"{scheme}://{hosts}{path}"


@frozen
class AmqpDsn:
    """A RabbitMQ.

    :ivar vhost: the virtual host; `/` is the default one.
    :ivar heartbeat: seconds that the address asks for, or None.
    """

    host: str
    port: int
    username: str = "guest"
    password: str = field(default="guest", repr=False)
    vhost: str = "/"
    tls: bool = False
    heartbeat: int | None = None

    def __str__(self) -> str:
        """For logs: without credentials."""
        return f"{'amqps' if self.tls else 'amqp'}://{self.host}:{self.port}/{self.vhost}"


def parse_redis(text: str) -> RedisDsn:
    """`redis://[user][:password@]host[:port][/database]`, `rediss://..` with TLS, and
    `redis+sentinel://[user][:password@]host[:port],host[:port].../service[/database]`.

    The database may stand in the query, too (`db`, `dbindex`).

    :raises ValueError: with what is wrong, never with a part of the credentials.
    """
    parts = _split(text)
    if parts.scheme in ("redis+cluster", "rediss+cluster"):
        raise ValueError("Redis Cluster is not supported; name a single server or its sentinels")
    if parts.scheme not in ("redis", "rediss", "redis+sentinel"):
        raise ValueError("the scheme must be redis, rediss or redis+sentinel")
    sentinel = parts.scheme == "redis+sentinel"
    credentials, _, places = parts.netloc.rpartition("@")
    username, password = _credentials(credentials)
    hosts = tuple(
        _host(place, _SENTINEL_PORT if sentinel else _REDIS_PORT)
        for place in (places.split(",") if places else [""])
    )
    if len(hosts) > 1 and not sentinel:
        raise ValueError("several hosts are for redis+sentinel; Redis Cluster is not supported")
    path = [unquote(part) for part in parts.path.split("/") if part]
    service = None
    if sentinel:
        if not path:
            raise ValueError("the path must name the service that the sentinels watch, such as /mymaster")
        service = path.pop(0)
    if len(path) > 1:
        raise ValueError("the path must be the number of a database")
    query = parse_qs(parts.query)
    asked = path[0] if path else next((query[name][0] for name in ("db", "dbindex") if name in query), "0")
    if not _NUMBER.fullmatch(asked):
        raise ValueError("the database must be a number")
    return RedisDsn(hosts, username, password, int(asked), service, parts.scheme == "rediss")


def parse_amqp(text: str) -> AmqpDsn:
    """`amqp://[user:password@]host[:port][/vhost]`, `amqps://..` with TLS.

    No path, `/` and `/%2F` all mean the virtual host `/` (contract section 4).

    :raises ValueError: with what is wrong, never with a part of the credentials.
    """
    parts = _split(text)
    if parts.scheme not in _AMQP_PORTS:
        raise ValueError("the scheme must be amqp or amqps")
    credentials, _, place = parts.netloc.rpartition("@")
    username, password = _credentials(credentials)
    host, port = _host(place, _AMQP_PORTS[parts.scheme])
    path = parts.path.removeprefix("/")
    if "/" in path:
        raise ValueError("a slash in the name of a virtual host is written %2F")
    asked = parse_qs(parts.query).get("heartbeat", [None])[0]
    if asked is not None and not _NUMBER.fullmatch(asked):
        raise ValueError("heartbeat must be a number of seconds")
    return AmqpDsn(
        host,
        port,
        "guest" if username is None else username,
        "guest" if password is None else password,
        unquote(path) or "/",
        parts.scheme == "amqps",
        None if asked is None else int(asked),
    )


def masked(text: str) -> str:
    """An address as an error line may show it, whatever it holds: no user, no password, no query."""
    shown = re.sub(r"//.*@", "//***@", text)
    return re.sub(r"\?.*", "?***", shown)


def _split(text: str) -> SplitResult:
    if not text.isprintable() or " " in text:
        raise ValueError("it must hold no blanks and no control characters")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError("it is no URL") from None
    if parts.fragment:
        raise ValueError("a # in a password is written %23")
    return parts


def _credentials(text: str) -> tuple[str | None, str | None]:
    if not text:
        return None, None
    username, colon, password = text.partition(":")
    return unquote(username) or None, unquote(password) if colon else None


def _host(text: str, default_port: int) -> tuple[str, int]:
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError("it names no host")
        port = rest.removeprefix(":")
    else:
        host, _, port = text.partition(":")
    if not host:
        raise ValueError("it names no host")
    if not port:
        return host, default_port
    if not _NUMBER.fullmatch(port) or not 0 < int(port) < 65536:
        raise ValueError("the port must be a number from 1 to 65535")
    return host, int(port)
