"""Tokens to test with, and fakes of a key source and an authenticator that can be made to hang or to fail.

    issuer = Issuer.generate("RS256")
    token = issuer.token(user_id="42")
    keys = FakeKeys({"RS256": [issuer.verification_key]})
    keys.hang()     # from now on nobody gets an answer, until
    keys.release()  # everybody who still waits gets one

The suites in tests/contract hold for the fakes as for the real ones.
"""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from attrs import field, frozen
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import get_default_algorithms
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from ws_gateway.auth.credentials import find_token
from ws_gateway.domain.messages import Handshake, Identity
from ws_gateway.errors import HandshakeRefused, RefusalReason
from ws_gateway.interfaces import IAuthenticator, IKeySource

__all__ = [
    "FakeAuthenticator",
    "FakeKeys",
    "Issuer",
    "bearer",
]

_T = TypeVar("_T")

_NEW_KEYS: dict[str, Callable[[], Any]] = {
    "RS256": lambda: rsa.generate_private_key(public_exponent=65537, key_size=2048),
    "ES256": lambda: ec.generate_private_key(ec.SECP256R1()),
    "ES384": lambda: ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate,
}


def bearer(token: str) -> Handshake:
    """A handshake that carries a token in its header, as programs send it."""
    return Handshake("/ws", (), {"authorization": (f"Bearer {token}",)})


def _segment(raw: bytes) -> bytes:
    return urlsafe_b64encode(raw).rstrip(b"=")


@frozen
class Issuer:
    """Somebody who signs tokens.

    :ivar algorithm: what it signs with.
    :ivar signing_key: a private key, or the bytes of a secret for the HS algorithms.
    """

    algorithm: str
    signing_key: Any = field(repr=False)

    @classmethod
    def generate(cls, algorithm: str) -> "Issuer":
        """One with a new private key: RS256, ES256, ES384 or EdDSA."""
        return cls(algorithm, _NEW_KEYS[algorithm]())

    @property
    def verification_key(self) -> Any:
        """What an `IKeySource` hands out for it."""
        return self.signing_key if isinstance(self.signing_key, bytes) else self.signing_key.public_key()

    @property
    def public_pem(self) -> str:
        """The public key as an operator has it in a file."""
        encoded: bytes = self.verification_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return encoded.decode()

    @property
    def private_pem(self) -> str:
        """The private key, for programs that sign by themselves."""
        encoded: bytes = self.signing_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        return encoded.decode()

    def token(self, **claims: Any) -> str:
        """A token with these claims, sensible or not."""
        return self.sign(json.dumps(claims).encode())

    def sign(self, payload: bytes, header: Mapping[str, Any] | None = None) -> str:
        """A token with any payload and with further or other header parameters; the signature is good."""
        full = {"alg": self.algorithm, "typ": "JWT", **(header or {})}
        signed = _segment(json.dumps(full).encode()) + b"." + _segment(payload)
        signature = get_default_algorithms()[self.algorithm].sign(signed, self.signing_key)
        return (signed + b"." + _segment(signature)).decode()


class _Answering:
    """Answers at once, or when it is let, or with an error.

    :ivar waiting: how many wait for an answer now; who cancels does not wait.
    """

    def __init__(self) -> None:
        self._hanging = False
        self._error: Exception | None = None
        self._held: dict[Deferred[Any], Callable[[], Deferred[Any]]] = {}

    @property
    def waiting(self) -> int:
        return len(self._held)

    def hang(self) -> None:
        """Answer nobody until release()."""
        self._hanging = True

    def release(self) -> None:
        """Answer everybody who waits, in order, and at once from now on."""
        self._hanging = False
        held, self._held = self._held, {}
        for deferred, decide in held.items():
            decide().chainDeferred(deferred)

    def fail_with(self, error: Exception | None) -> None:
        """Answer with this error (None: normally again)."""
        self._error = error

    def _answer(self, decide: Callable[[], "Deferred[_T]"]) -> "Deferred[_T]":
        def now() -> Deferred[_T]:
            return decide() if self._error is None else fail(self._error)

        if not self._hanging:
            return now()
        deferred: Deferred[_T] = Deferred(self._leave)
        self._held[deferred] = now
        return deferred

    def _leave(self, deferred: Deferred[Any]) -> None:
        del self._held[deferred]


@implementer(IKeySource)
class FakeKeys(_Answering):
    """A key source that holds what it is given.

    :param keys: algorithm to its keys.
    """

    def __init__(self, keys: Mapping[str, Sequence[Any]]) -> None:
        super().__init__()
        self._keys = keys

    def candidates(self, header: Mapping[str, Any]) -> Deferred[Sequence[Any]]:
        return self._answer(lambda: succeed(self._keys.get(header["alg"], ())))


@implementer(IAuthenticator)
class FakeAuthenticator(_Answering):
    """Knows tokens by heart.

    :param identities: the tokens that are good, and whose they are.
    """

    def __init__(self, identities: Mapping[str, Identity]) -> None:
        super().__init__()
        self._identities = identities

    def authenticate(self, handshake: Handshake) -> Deferred[Identity]:
        credential = find_token(handshake)
        if credential is None:
            return fail(HandshakeRefused(RefusalReason.MISSING, "the handshake carries no token"))
        token = credential.token
        return self._answer(lambda: self._look_up(token))

    def _look_up(self, token: str) -> Deferred[Identity]:
        identity = self._identities.get(token)
        if identity is None:
            return fail(HandshakeRefused(RefusalReason.SIGNATURE, "the signature of the token is wrong"))
        return succeed(identity)
