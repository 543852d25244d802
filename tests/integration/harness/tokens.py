"""Tokens as an application would issue them, and some that none should."""

import itertools
import json
import time
from base64 import urlsafe_b64encode
from typing import Any

import jwt

from tests.integration.harness.canary import CANARY, guard_token
from tests.integration.harness.keys import SHARED_SECRET, key_pair

__all__ = ["fresh_user", "sign", "sign_bytes", "token_for"]

_numbers = itertools.count(1)


def fresh_user(word: str = "user") -> str:
    """A user id that no other test has."""
    return f"{word}-{next(_numbers)}-{time.time_ns() % 1_000_000_007}"


def token_for(user_id: Any, algorithm: str = "RS256", **claims: Any) -> str:
    """A token that is good for an hour.

    :param claims: more claims; None leaves one out.
    """
    document = {"user_id": user_id, "exp": int(time.time()) + 3600, **claims}
    return sign({name: value for name, value in document.items() if value is not None}, algorithm)


def sign(
    claims: dict[str, Any], algorithm: str = "RS256", key: Any = None, headers: dict[str, Any] | None = None
) -> str:
    """Sign these claims; the canary goes with them."""
    if key is None:
        key = SHARED_SECRET if algorithm.startswith("HS") else key_pair(algorithm).private
    token = jwt.encode({**claims, "canary": CANARY}, key, algorithm, headers)
    guard_token(token)
    return token


def sign_bytes(payload: bytes, header: Any = None) -> str:
    """Sign a payload that no library would encode, with RS256.

    :param header: the JOSE header, whatever it is.
    """
    document = {"alg": "RS256", "typ": "JWT"} if header is None else header
    signed = b".".join(_base64url(part) for part in (json.dumps(document).encode(), payload))
    signature = jwt.get_algorithm_by_name("RS256").sign(signed, key_pair("RS256").private)
    token = (signed + b"." + _base64url(signature)).decode()
    guard_token(token)
    return token


def _base64url(data: bytes) -> bytes:
    return urlsafe_b64encode(data).rstrip(b"=")
