"""A key pair for one run, and tokens signed with it: one user a token."""

import itertools
import time
from pathlib import Path

import jwt
from attrs import frozen
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

__all__ = ["Credentials", "make_credentials", "make_long_tokens"]

KEY_BITS = 2048
LIFETIME_SECONDS = 6 * 3600
BAD_TOKENS = 50


@frozen
class Credentials:
    """Where the files are.

    :ivar public_key: PEM, for the server.
    :ivar tokens: one a line, for the generator.
    :ivar bad_tokens: the same, of tokens that nobody may accept.
    """

    public_key: Path
    tokens: Path
    bad_tokens: Path


def make_credentials(directory: Path, count: int, channel: str) -> Credentials:
    """Write a public key and `count` RS256 tokens of users who may hear `channel`.

    The users are `bench-0`, `bench-1` and so on, in the order of the file.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    now = int(time.time())
    common = {"iat": now, "exp": now + LIFETIME_SECONDS, "channels": [channel]}
    lines = [jwt.encode({"user_id": f"bench-{n}", **common}, key, algorithm="RS256") for n in range(count)]
    bad = [_spoilt(line, key, now) for line in lines[:BAD_TOKENS]]
    credentials = Credentials(directory / "public.pem", directory / "tokens", directory / "bad-tokens")
    credentials.public_key.write_bytes(public)
    for path, tokens in ((credentials.tokens, lines), (credentials.bad_tokens, itertools.chain(*bad))):
        path.write_text("\n".join(tokens) + "\n")
        path.chmod(0o600)
    return credentials


def make_long_tokens(path: Path, count: int, size: int, secret: str) -> None:
    """Write `count` tokens of distinct users, of `size` bytes each.

    They are signed with a secret, because thousands are needed.
    """
    padding = 0
    for _ in range(3):  # base64 and its groups of three leave up to two bytes
        padding += (size - len(_long_token(0, count, padding, secret))) * 3 // 4
    path.write_text("".join(_long_token(n, count, padding, secret) + "\n" for n in range(count)))
    path.chmod(0o600)


def _long_token(number: int, count: int, padding: int, secret: str) -> str:
    user = f"bench-{number:0{len(str(count))}}"
    claims = {"user_id": user, "exp": int(time.time()) + LIFETIME_SECONDS, "scope": "x" * padding}
    return jwt.encode(claims, secret, algorithm="HS256")


def _spoilt(token: str, key: rsa.RSAPrivateKey, now: int) -> list[str]:
    """Four tokens to be refused: two whose signature has to be verified, and two that end earlier."""
    head, claims, signature = token.split(".")
    expired = jwt.encode({"user_id": "late", "exp": now - 3600}, key, algorithm="RS256")
    return [
        f"{head}.{claims}.{signature[::-1]}",
        expired,
        f"{head}.{claims}",
        f"{head}.{claims[:-8]}.{signature}",
    ]
