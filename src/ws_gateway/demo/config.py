"""The demo's settings: a frozen value, built from a mapping and judged as a whole.

Whoever starts the demo hears of every mistake at once, one line each: the variable, its value (secrets
masked) and what is allowed. Nothing here reads the process environment; `tap` passes it in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import SplitResult, unquote, urlsplit

__all__ = ["DemoConfig", "SettingsError"]

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
class DemoConfig:
    """What the demo needs to know.

    :ivar webhook_secrets: any of them may have signed an event; none means that no event is accepted.
    :ivar gateway_url: base URL of the gateway, without a trailing slash and without credentials.
    :ivar api_key: what we show the gateway; without one it refuses us.
    :ivar demo_key: what callers of the demo's own `/api` show (`X-Demo-Key`); empty leaves it open.
    :ivar demo_mode: whether the chat page and its tokens exist.
    :ivar ws_url: where the chat page connects; empty means: the host that served the page, with `ws_port`.
    :ivar ws_port: port of the gateway as `gateway_url` has it.
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
    ws_url: str = ""
    ws_port: int = 8180

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
            ws_url=reader.ws_url("DEMO_WS_URL"),
            ws_port=url.port or (443 if url.scheme == "https" else 80),
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

    def ws_url(self, name: str) -> str:
        value = self.text(name, "")
        parts = _split(value) if value else None
        if value and (
            parts is None
            or parts.scheme not in ("ws", "wss")
            or parts.fragment
            or "@" in parts.netloc
            or not value.isascii()
            or not value.isprintable()
            or set(value) & set(" ;,'\"<>")
        ):
            self.problems.append(
                f"{name}={value!r}: allowed is ws://host[:port]/path or wss://host[:port]/path"
            )
            return ""
        return value


def _split(url: str) -> SplitResult | None:
    """The parts of a URL that has a host and a port that is one, else None."""
    try:
        parts = urlsplit(url)
        return parts if parts.hostname and parts.port != 0 else None
    except ValueError:
        return None
