"""Signatures of a webhook (contract section 3).

- `X-Webhook-Signature: sha256=<hex>`: HMAC-SHA256 of the body, keyed with the secret as it is written.
- Standard Webhooks: `webhook-signature: v1,<base64>`: HMAC-SHA256 of `<id>.<timestamp>.<body>`; one for each
  secret, separated by blanks, while keys rotate. A secret written `whsec_<base64>` is decoded first, for this
  form only.
"""

from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Sequence
from hashlib import sha256

from attrs import field, frozen

__all__ = ["Signer"]

_PREFIX = "whsec_"
_BLOCK_BYTES = 64


class _Key:
    """HMAC-SHA256 (RFC 2104) with one key. Its halves are begun once, which takes half of `hmac.digest`."""

    __slots__ = ("_inner", "_outer")

    def __init__(self, secret: bytes) -> None:
        if len(secret) > _BLOCK_BYTES:
            secret = sha256(secret).digest()
        block = secret.ljust(_BLOCK_BYTES, b"\0")
        self._inner = sha256(bytes(byte ^ 0x36 for byte in block))
        self._outer = sha256(bytes(byte ^ 0x5C for byte in block))

    def sign(self, message: bytes) -> bytes:
        """The digest of a message."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(message)
        outer.update(inner.digest())
        return outer.digest()


def _standard_key(secret: str) -> bytes:
    if not secret.startswith(_PREFIX):
        return secret.encode()
    try:
        key = b64decode(secret[len(_PREFIX) :], validate=True)
    except (Error, ValueError):
        key = b""
    if not key:
        raise ValueError(f"a webhook secret that begins with {_PREFIX} must go on with base64")
    return key


@frozen
class Signer:
    """Signs with the current secret, and in the standard form with the previous one too.

    :ivar secrets: the current one first; none means that nothing is signed.
    """

    secrets: Sequence[str] = field(repr=False)
    _body_key: _Key | None = field(init=False, repr=False, eq=False)
    _standard_keys: tuple[_Key, ...] = field(init=False, repr=False, eq=False)

    @_body_key.default
    def _find_body_key(self) -> _Key | None:
        return _Key(self.secrets[0].encode()) if self.secrets else None

    @_standard_keys.default
    def _find_standard_keys(self) -> tuple[_Key, ...]:
        return tuple(_Key(_standard_key(secret)) for secret in self.secrets)

    def body_signature(self, body: bytes) -> str | None:
        """The value of `X-Webhook-Signature`, or None without a secret."""
        if self._body_key is None:
            return None
        return "sha256=" + self._body_key.sign(body).hex()

    def standard_signature(self, event_id: str, timestamp: int, body: bytes) -> str | None:
        """The value of `webhook-signature`, or None without a secret."""
        if not self._standard_keys:
            return None
        signed = b"%b.%d.%b" % (event_id.encode(), timestamp, body)
        return " ".join(["v1," + b64encode(key.sign(signed)).decode() for key in self._standard_keys])
