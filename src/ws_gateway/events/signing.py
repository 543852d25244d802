"""Signatures of a webhook (contract section 3).

- `X-Webhook-Signature: sha256=<hex>`: HMAC-SHA256 of the body, keyed with the secret as it is written.
- Standard Webhooks: `webhook-signature: v1,<base64>`: HMAC-SHA256 of `<id>.<timestamp>.<body>`; one for each
  secret, separated by blanks, while keys rotate. A secret written `whsec_<base64>` is decoded first, for this
  form only.
"""

import hmac
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Sequence

from attrs import field, frozen

__all__ = ["Signer"]

_PREFIX = "whsec_"


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
    _body_key: bytes | None = field(init=False, repr=False)
    _standard_keys: tuple[bytes, ...] = field(init=False, repr=False)

    @_body_key.default
    def _find_body_key(self) -> bytes | None:
        return self.secrets[0].encode() if self.secrets else None

    @_standard_keys.default
    def _find_standard_keys(self) -> tuple[bytes, ...]:
        return tuple(_standard_key(secret) for secret in self.secrets)

    def body_signature(self, body: bytes) -> str | None:
        """The value of `X-Webhook-Signature`, or None without a secret."""
        if self._body_key is None:
            return None
        return "sha256=" + hmac.digest(self._body_key, body, "sha256").hex()

    def standard_signature(self, event_id: str, timestamp: int, body: bytes) -> str | None:
        """The value of `webhook-signature`, or None without a secret."""
        if not self._standard_keys:
            return None
        signed = b"%b.%d.%b" % (event_id.encode(), timestamp, body)
        return " ".join(
            "v1," + b64encode(hmac.digest(key, signed, "sha256")).decode() for key in self._standard_keys
        )
