"""Tokens for visitors of the chat page: any name gets one, which is why they exist in demo mode only."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ws_gateway.demo.config import DemoConfig, SettingsError

__all__ = ["Token", "TokenIssuer", "user_name"]

_LIFETIME = 3600
_LONGEST_NAME = 32


def user_name(text: str) -> str | None:
    """The name as the demo uses it, or None if it cannot be one: 1 to 32 printable characters of any script.

    Names that look the same become the same user (NFC, single blanks, none around).
    """
    name = " ".join(unicodedata.normalize("NFC", text).split())
    return name if 0 < len(name) <= _LONGEST_NAME and name.isprintable() else None


@dataclass(frozen=True, slots=True)
class Token:
    """A signed token and when it ends (Unix seconds)."""

    jwt: str = field(repr=False)
    expires_at: int


class TokenIssuer:
    """Signs demo tokens: `user_id`, `iat`, and `exp` one hour later."""

    def __init__(self, alg: str, key: object, clock: Callable[[], float]) -> None:
        """
        :param key: what PyJWT signs with; `from_config` makes sure that it fits.
        :param clock: Unix seconds.
        """
        self._alg = alg
        self._key = key
        self._clock = clock

    @classmethod
    def from_config(cls, config: DemoConfig, clock: Callable[[], float]) -> TokenIssuer:
        """Load the key once and sign a token on trial, so that a wrong key is told at start.

        :raises SettingsError: the key cannot be read, or does not fit the algorithm.
        """
        key: object
        if config.signs_by_secret:
            setting, key = "DEMO_JWT_SECRET=****", config.jwt_secret
        else:
            setting, key = f"DEMO_JWT_PRIVATE_KEY_FILE={config.jwt_key_file!r}", _load(config.jwt_key_file)
        issuer = cls(config.jwt_alg, key, clock)
        try:
            issuer.issue("somebody")
        except (jwt.PyJWTError, TypeError, ValueError, AttributeError) as error:
            raise SettingsError(
                [f"{setting}: cannot sign with {config.jwt_alg}; it needs another key"]
            ) from error
        return issuer

    def issue(self, user_id: str) -> Token:
        """A token for a user."""
        now = int(self._clock())
        claims = {"user_id": user_id, "iat": now, "exp": now + _LIFETIME}
        return Token(jwt.encode(claims, self._key, algorithm=self._alg), now + _LIFETIME)  # type: ignore[arg-type]


def _load(path: str) -> object:
    try:
        with open(path, "rb") as file:
            return load_pem_private_key(file.read(), password=None)
    except OSError as error:
        raise SettingsError(
            [f"DEMO_JWT_PRIVATE_KEY_FILE={path!r}: cannot be read ({error.strerror})"]
        ) from error
    except (ValueError, TypeError) as error:
        raise SettingsError(
            [f"DEMO_JWT_PRIVATE_KEY_FILE={path!r}: allowed is a private key in PEM without a passphrase"]
        ) from error
