"""A key pair for one run, and tokens signed with it: one user a token."""

import time
from pathlib import Path

import jwt
from attrs import frozen
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

__all__ = ["Credentials", "make_credentials"]

KEY_BITS = 2048
LIFETIME_SECONDS = 6 * 3600


@frozen
class Credentials:
    """Where the files are.

    :ivar public_key: PEM, for the server.
    :ivar tokens: one a line, for the generator.
    """

    public_key: Path
    tokens: Path


def make_credentials(directory: Path, count: int, channel: str) -> Credentials:
    """Write a public key and `count` RS256 tokens of distinct users who may hear `channel`."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=KEY_BITS)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    now = int(time.time())
    common = {"iat": now, "exp": now + LIFETIME_SECONDS, "channels": [channel]}
    lines = [jwt.encode({"user_id": f"bench-{n}", **common}, key, algorithm="RS256") for n in range(count)]
    credentials = Credentials(directory / "public.pem", directory / "tokens")
    credentials.public_key.write_bytes(public)
    credentials.tokens.write_text("\n".join(lines) + "\n")
    credentials.tokens.chmod(0o600)
    return credentials
