"""Kinds of settings that name places: hosts, networks, origins, URLs, paths, keys."""

import base64
import re
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

from ws_gateway.config.kinds import Kind, quoted, secret
from ws_gateway.dsn import AmqpDsn, RedisDsn, masked, parse_amqp, parse_redis

__all__ = [
    "Network",
    "amqp_dsn",
    "api_key",
    "endpoint",
    "file_path",
    "host",
    "jwks_url",
    "network",
    "origin",
    "public_key",
    "redis_dsn",
    "signing_secret",
    "url_path",
    "webhook_url",
]

Network = IPv4Network | IPv6Network

_HOST_NAME = re.compile(
    r"(?=.{1,253}$)[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?(\.[a-z0-9_]([a-z0-9_-]*[a-z0-9_])?)*", re.I
)
_URL_PATH = re.compile(r"/|(?:/[A-Za-z0-9._~!$&'()*+,;=:@-]+)+/?")
_TAKEN_PATHS = ("/internal", "/health", "/ready", "/metrics")
_ENDPOINT = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.+")
_ORIGIN = re.compile(r"([a-z][a-z0-9+.-]*)://(\*\.)?([^/?#@\s,*\\]+)")
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_PEM = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)
_PUBLIC_LABELS = ("PUBLIC KEY", "RSA PUBLIC KEY", "CERTIFICATE")


def _parse_host(value: str) -> str:
    bare = value[1:-1] if value.startswith("[") and value.endswith("]") else value
    if ":" in bare:
        return str(ip_address(bare))
    if not _HOST_NAME.fullmatch(bare):
        raise ValueError
    return bare


def host() -> Kind[str]:
    """An address or a name to bind to; IPv6 with or without brackets."""

    def parse(value: str) -> str:
        try:
            return _parse_host(value)
        except ValueError:
            raise ValueError from None

    return Kind("an IP address or a host name", parse)


def network() -> Kind[Network]:
    """A network in CIDR form, or one address."""

    def parse(value: str) -> Network:
        try:
            return ip_network(value, strict=False)
        except ValueError:
            raise ValueError from None

    return Kind("networks such as 10.0.0.0/8 or fd00::/8, or single addresses", parse)


def endpoint() -> Kind[str]:
    """A Twisted endpoint string. Only its outline is judged here: plugins may know any prefix."""

    def parse(value: str) -> str:
        if not value.isprintable() or not _ENDPOINT.fullmatch(value):
            raise ValueError
        return value

    return Kind(
        "a Twisted endpoint string, such as tcp:8000:interface=0.0.0.0 or unix:/run/ws.sock",
        parse,
    )


def url_path() -> Kind[str]:
    """The path of a URL; a slash at its end does not count."""

    def parse(value: str) -> str:
        if not _URL_PATH.fullmatch(value):
            raise ValueError
        path = value.rstrip("/") or "/"
        if any(path == taken or path.startswith(taken + "/") for taken in _TAKEN_PATHS):
            raise ValueError("that one belongs to the HTTP API")
        return path

    return Kind("a path that begins with / and has no query, blanks or percent signs", parse)


def origin() -> Kind[str]:
    """What browsers send as `Origin`, or `https://*.example.com` for every name below a domain."""

    def parse(value: str) -> str:
        if value == "*":
            raise ValueError("leave it empty to let every origin in")
        match = _ORIGIN.fullmatch(value.lower())
        if not match:
            raise ValueError
        scheme, wildcard, authority = match[1], match[2] or "", match[3]
        return f"{scheme}://{wildcard}{authority.removesuffix(_DEFAULT_PORTS.get(scheme, '/'))}"

    return Kind("origins such as https://app.example.com or https://*.example.com, without a path", parse)


def _show_url(value: str) -> str:
    return quoted(re.sub(r"[?#].*", "?***", re.sub(r"//.*@", "//***@", value)))


def _http_url(no_user: str) -> Kind[str]:
    """An absolute URL to send requests to.

    :param no_user: why it must hold no user and no password.
    """

    def parse(value: str) -> str:
        if not value.isprintable() or not value.isascii() or " " in value:
            raise ValueError
        try:
            parts = urlsplit(value)
            port = parts.port
        except ValueError:
            raise ValueError from None
        if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
            raise ValueError
        if "@" in parts.netloc:
            raise ValueError(f"no user or password: {no_user}")
        if parts.fragment:
            raise ValueError("no fragment")
        return value

    return Kind("an http or https URL with a host", parse, _show_url)


def webhook_url() -> Kind[str]:
    """Where events are posted to."""
    return _http_url("the signature proves who sends")


def redis_dsn() -> Kind[RedisDsn]:
    """Where a Redis is."""
    return Kind(
        "such as redis://user:password@host:6379/0, rediss:// with TLS, or redis+sentinel://host,host/name",
        parse_redis,
        lambda value: quoted(masked(value)),
    )


def amqp_dsn() -> Kind[AmqpDsn]:
    """Where a RabbitMQ is."""
    return Kind(
        "such as amqp://user:password@host:5672/vhost, or amqps:// with TLS",
        parse_amqp,
        lambda value: quoted(masked(value)),
    )


def jwks_url() -> Kind[str]:
    """Where the keys that verify tokens are published."""
    return _http_url("verification keys are public")


def _show_path(value: str) -> str:
    return "'***'" if "-----BEGIN" in value else quoted(value)


def file_path() -> Kind[str]:
    """The path of a file. A key pasted here by mistake is not shown."""

    def parse(value: str) -> str:
        if "-----BEGIN" in value:
            raise ValueError("this looks like the key itself")
        if not value.isprintable():
            raise ValueError
        return value

    return Kind("the path of a file", parse, _show_path)


def public_key() -> Kind[str]:
    """Public keys or certificates in PEM, one or several. Hidden: it may be a private key by mistake.

    Only the outline is judged; whether a key fits the algorithms is known to those who verify with it.
    """

    def parse(value: str) -> str:
        pem = value.replace("\\r", "").replace("\\n", "\n").replace("\r", "").strip()
        blocks = _PEM.findall(pem)
        if not blocks:
            raise ValueError
        for label, body in blocks:
            if label.endswith("PRIVATE KEY"):
                raise ValueError("this is a private key; the gateway needs the public one")
            if label not in _PUBLIC_LABELS:
                raise ValueError(f"not {label}")
            try:
                base64.b64decode("".join(body.split()), validate=True)
            except ValueError:
                raise ValueError("what stands between its lines is not base64") from None
        return pem + "\n"

    return secret(Kind("a public key in PEM (-----BEGIN PUBLIC KEY-----), with real newlines or \\n", parse))


def signing_secret() -> Kind[str]:
    """What webhooks are signed with: any text, or `whsec_` and base64."""

    def parse(value: str) -> str:
        if not value.isprintable():
            raise ValueError
        if value.startswith("whsec_"):
            try:
                decoded = base64.b64decode(value.removeprefix("whsec_"), validate=True)
            except ValueError:
                raise ValueError("what follows whsec_ is not base64") from None
            if not decoded:
                raise ValueError("nothing follows whsec_")
        return value

    return secret(Kind("text without control characters, or whsec_ and base64", parse))


def api_key() -> Kind[str]:
    """A key that callers of the HTTP API send in a header."""

    def parse(value: str) -> str:
        if not value.isascii() or not value.isprintable():
            raise ValueError
        return value

    return secret(Kind("printable ASCII characters", parse))
