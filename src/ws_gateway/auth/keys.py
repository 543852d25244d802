"""Key sources that are read once: public keys in PEM (RS*, PS*, ES*, EdDSA) and shared secrets (HS*).

Keys are prepared in the constructor, which raises ValueError with one sentence for the operator when they
cannot be used; no sentence holds a part of a key. A source whose keys change is another `IKeySource`, such as
the last one here, which stands for one source after the other.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from twisted.internet.defer import Deferred, succeed
from zope.interface import implementer

from ws_gateway.interfaces import IKeySource

__all__ = ["ALGORITHMS", "ReplaceableKeys", "SecretKeys", "StaticKeys", "key_fits"]

_HASHES = ("256", "384", "512")
_SECRET_ALGORITHMS = frozenset(f"HS{bits}" for bits in _HASHES)
_RSA_ALGORITHMS = frozenset(family + bits for family in ("RS", "PS") for bits in _HASHES)
_CURVES = {"ES256": "secp256r1", "ES256K": "secp256k1", "ES384": "secp384r1", "ES512": "secp521r1"}

ALGORITHMS = _SECRET_ALGORITHMS | _RSA_ALGORITHMS | frozenset(_CURVES) | {"EdDSA"}
"""Every algorithm that `JWT_ALG` may name. `none` is not among them."""

_PEM_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END \1-----", re.DOTALL)


def key_fits(algorithm: str, key: object) -> bool:
    """Whether a prepared key is of the kind that an algorithm takes; never true across families."""
    if algorithm in _RSA_ALGORITHMS:
        return isinstance(key, RSAPublicKey)
    if algorithm in _CURVES:
        return isinstance(key, EllipticCurvePublicKey) and key.curve.name == _CURVES[algorithm]
    if algorithm == "EdDSA":
        return isinstance(key, Ed25519PublicKey | Ed448PublicKey)
    return algorithm in _SECRET_ALGORITHMS and isinstance(key, bytes)


@implementer(IKeySource)
class StaticKeys:
    """Public keys given as text: one PEM block or several (old and new, while keys rotate).

    Line ends may be real or written as the two characters `\\n`, and white space is of no matter. A
    certificate stands for its key; nothing else about it is judged.

    :param pem: the text.
    :param algorithms: what `JWT_ALG` allows; each key verifies those that fit its type.
    :raises ValueError: not readable, a private key, an HS algorithm, or keys without use.
    """

    def __init__(self, pem: str, algorithms: Sequence[str]) -> None:
        confused = sorted(_SECRET_ALGORITHMS.intersection(algorithms))
        if confused:
            raise ValueError(
                f"{', '.join(confused)} must not be used with a public key: "
                "everybody who knows the key could sign tokens"
            )
        keys = _load_keys(pem)
        self._by_algorithm: dict[str, tuple[Any, ...]] = {
            algorithm: tuple(key for key in keys if key_fits(algorithm, key)) for algorithm in algorithms
        }
        if not any(self._by_algorithm.values()):
            raise ValueError(f"the public key is of no use for {', '.join(algorithms) or 'no algorithm'}")

    def candidates(self, header: Mapping[str, Any]) -> Deferred[Sequence[Any]]:
        return succeed(self._by_algorithm.get(header["alg"], ()))


@implementer(IKeySource)
class SecretKeys:
    """One shared secret for the HS algorithms; white space around it is trimmed.

    :raises ValueError: an empty secret, one that is a public or private key, or an algorithm that is not HS.
    """

    def __init__(self, secret: str, algorithms: Sequence[str]) -> None:
        others = sorted(set(algorithms) - _SECRET_ALGORITHMS)
        if others:
            raise ValueError(f"{', '.join(others)} cannot be verified with a secret: a public key is needed")
        secret = secret.strip()
        if not secret:
            raise ValueError("the secret must not be empty")
        if "-----BEGIN " in secret or secret.startswith(("ssh-", "ecdsa-sha2-")):
            raise ValueError("the secret must not be a public or private key")
        self._algorithms = frozenset(algorithms)
        self._keys = (secret.encode("utf-8", "surrogateescape"),)

    def candidates(self, header: Mapping[str, Any]) -> Deferred[Sequence[Any]]:
        return succeed(self._keys if header["alg"] in self._algorithms else ())


@implementer(IKeySource)
class ReplaceableKeys:
    """Whichever source is in force."""

    def __init__(self, source: IKeySource) -> None:
        self._source = source

    def replace(self, source: IKeySource) -> None:
        """From now on tokens are verified with keys of this source only. Who is connected stays so."""
        self._source = source

    def candidates(self, header: Mapping[str, Any]) -> Deferred[Sequence[Any]]:
        return self._source.candidates(header)


def _certificate_key(pem: bytes) -> object:
    return x509.load_pem_x509_certificate(pem).public_key()


_LOADERS: dict[str, Callable[[bytes], object]] = {
    "PUBLIC KEY": load_pem_public_key,
    "RSA PUBLIC KEY": load_pem_public_key,
    "CERTIFICATE": _certificate_key,
}


def _load_keys(text: str) -> list[object]:
    blocks = _PEM_BLOCK.findall(text.replace("\\r", "").replace("\\n", "\n"))
    if not blocks:
        raise ValueError("no PEM block (-----BEGIN PUBLIC KEY-----) was found in the public key")
    return [_load_key(label, body) for label, body in blocks]


def _load_key(label: str, body: str) -> object:
    if label.endswith("PRIVATE KEY"):
        raise ValueError("a private key was given where the public key belongs")
    loader = _LOADERS.get(label)
    if loader is None:
        raise ValueError(f"a PEM block {label!r} is no public key")
    # Laid out afresh, so that indented, joined or wrongly broken lines do no harm.
    compact = "".join(body.split())
    lines = [compact[at : at + 64] for at in range(0, len(compact), 64)]
    pem = "\n".join([f"-----BEGIN {label}-----", *lines, f"-----END {label}-----", ""])
    try:
        return loader(pem.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # Without its cause: the library's error may quote what it read.
        raise ValueError(f"the PEM block {label!r} cannot be read: it is cut or damaged") from None
