"""A key pair for one run, and tokens signed with it: one user a token."""

import itertools
import time
from pathlib import Path

import jwt
from attrs import frozen
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

__all__ = ["Credentials", "make_credentials"]

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
    """Write a public key and `count` RS256 tokens of distinct users who may hear `channel`."""
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
