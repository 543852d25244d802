"""Signing keys, made once a run."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from attrs import frozen
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.integration.harness.canary import guard, secret

__all__ = ["SHARED_SECRET", "KeyPair", "key_pair"]

SHARED_SECRET = secret("hmac")
_MAKERS: dict[str, Any] = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
    "another": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
}
_directory = TemporaryDirectory(prefix="keys")


@frozen
class KeyPair:
    """A key and its public half.

    :ivar pem: the public half as text.
    :ivar path: a file that holds it.
    """

    private: Any
    pem: str
    path: str


@cache
def key_pair(name: str) -> KeyPair:
    """The key for an algorithm; `another` is an RSA key that no daemon knows."""
    private = _MAKERS[name]()
    pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    path = Path(_directory.name, f"{name}.pem")
    path.write_text(pem)
    return KeyPair(private, pem, str(path))


guard(SHARED_SECRET)
