"""Is this webhook from the gateway? Two forms of signature, both HMAC-SHA256.

Standard Webhooks: `webhook-id`, `webhook-timestamp` and `webhook-signature`, the latter a list of
`v1,<base64>` separated by blanks, each the HMAC of `<id>.<timestamp>.<body>`. A secret written
`whsec_<base64>` is decoded first. Versions other than `v1` are skipped.

The older form: `X-Webhook-Signature: sha256=<hex>`, the HMAC of the body alone, keyed with the secret's
text as it is written. It proves who sent the body, but not when: whoever recorded such a request can send it
again.

Which form decides:

- If any header of the Standard form is there, that form decides alone. The older one is never a second
  chance for a request that fails it, and it cannot spoil one that passes: while secrets rotate, the gateway
  signs the older form with the new secret only, and a backend that knows just the previous one must not
  refuse.
- Otherwise the older form decides, unless `require_timestamp` forbids it. Without `require_timestamp`
  somebody who recorded a request can take the three headers off and present the rest at any later time.
"""

import base64
import hmac
import time
from collections.abc import Mapping, Sequence
from enum import StrEnum

__all__ = ["Reason", "SignatureInvalid", "sign", "verify"]

_ID = "webhook-id"
_TIMESTAMP = "webhook-timestamp"
_SIGNATURE = "webhook-signature"
_LEGACY = "x-webhook-signature"
_STANDARD = (_ID, _TIMESTAMP, _SIGNATURE)


class Reason(StrEnum):
    """Why a request was not believed: a word for logs and metrics."""

    MISSING = "missing"
    """There is no signature at all."""
    INCOMPLETE = "incomplete"
    """Some headers of the Standard form are there, others are not."""
    MALFORMED = "malformed"
    """A header is repeated or cannot be read."""
    MISMATCH = "mismatch"
    """Signed with another secret, or changed on the way."""
    TOO_OLD = "too_old"
    """Signed rightly, but long ago: a replay, or a clock that is wrong."""
    TOO_NEW = "too_new"
    """Signed rightly, but in the future: a clock is wrong."""
    NO_TIMESTAMP = "no_timestamp"
    """Only the older form is there, and `require_timestamp` forbids it."""


class SignatureInvalid(Exception):
    """The request must not be believed. Answer 401: the gateway keeps the event and tries again later.

    :ivar reason: the word; the message is one sentence. Neither holds a part of a secret or a signature.
    """

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def verify(
    body: bytes,
    headers: Mapping[str, str],
    secrets: Sequence[str],
    *,
    tolerance: float = 300.0,
    now: float | None = None,
    require_timestamp: bool = False,
) -> None:
    """Return if the request was signed with one of the secrets.

    :param body: the bytes as they were received, before any parsing.
    :param headers: of the request; names in any case.
    :param secrets: the current one, and others that are valid while keys rotate. Blank ones are left out.
    :param tolerance: seconds by which `webhook-timestamp` may differ from our clock, in both directions.
    :param now: Unix seconds; the system's clock if not given.
    :param require_timestamp: refuse requests that carry the older form only.
    :raises SignatureInvalid: the request is not from the gateway, or not from now.
    :raises ValueError: no secret is left, or one cannot be used: the settings are wrong.
    """
    texts = _usable(secrets)
    # All are decoded, whichever form comes: a bad secret shows at once, not at the next rotation.
    keys = [_standard_key(text) for text in texts]
    found = _pick(headers)
    if any(name in found for name in _STANDARD):
        timestamp = _verify_standard(body, found, keys)
        _judge_age((time.time() if now is None else now) - timestamp, tolerance)
    elif _LEGACY not in found:
        raise SignatureInvalid(Reason.MISSING, "the request is not signed")
    elif require_timestamp:
        raise SignatureInvalid(Reason.NO_TIMESTAMP, "the request is signed without a timestamp")
    else:
        _verify_legacy(body, found[_LEGACY], texts)


def sign(body: bytes, secrets: Sequence[str], *, event_id: str, now: float | None = None) -> dict[str, str]:
    """The headers that the gateway would send with this body: for tests of your own receiver.

    :param secrets: the current one first; each adds a signature in the Standard form.
    :raises ValueError: no secret is left, or one cannot be used.
    """
    texts = _usable(secrets)
    timestamp = str(int(time.time() if now is None else now))
    signatures = [_standard_signature(body, event_id, timestamp, _standard_key(text)) for text in texts]
    return {
        "X-Webhook-Signature": "sha256=" + _legacy_digest(body, texts[0]),
        _ID: event_id,
        _TIMESTAMP: timestamp,
        _SIGNATURE: " ".join("v1," + signature for signature in signatures),
    }


def _verify_standard(body: bytes, found: Mapping[str, str], keys: Sequence[bytes]) -> int:
    """Judge the Standard form.

    :returns: the timestamp, which is authentic now, but may be of any age.
    """
    absent = [name for name in _STANDARD if name not in found]
    if absent:
        raise SignatureInvalid(Reason.INCOMPLETE, f"the request has no header {', '.join(absent)}")
    event_id, timestamp = found[_ID], found[_TIMESTAMP]
    # A dot in the id could move the border between id, timestamp and body under the same signature.
    if not event_id or "." in event_id or not (event_id.isascii() and event_id.isprintable()):
        raise SignatureInvalid(Reason.MALFORMED, "the webhook-id cannot be read")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise SignatureInvalid(Reason.MALFORMED, "the webhook-timestamp is no number of seconds")
    presented = [
        value
        for version, _, value in (item.partition(",") for item in found[_SIGNATURE].split())
        if version == "v1"
    ]
    if not presented:
        raise SignatureInvalid(Reason.MALFORMED, "the webhook-signature holds no v1 signature")
    expected = [_standard_signature(body, event_id, timestamp, key) for key in keys]
    if not _any_equal(presented, expected):
        raise SignatureInvalid(Reason.MISMATCH, "the webhook-signature does not fit the request")
    return int(timestamp)


def _judge_age(age: float, tolerance: float) -> None:
    # Written so that a tolerance that is no number refuses everything, instead of nothing.
    if not age <= tolerance:
        raise SignatureInvalid(Reason.TOO_OLD, f"the request was signed {age:.0f} seconds ago")
    if not -age <= tolerance:
        raise SignatureInvalid(Reason.TOO_NEW, f"the request was signed {-age:.0f} seconds in the future")


def _verify_legacy(body: bytes, header: str, texts: Sequence[str]) -> None:
    scheme, _, presented = header.partition("=")
    if scheme != "sha256" or not presented:
        raise SignatureInvalid(Reason.MALFORMED, "the X-Webhook-Signature does not begin with sha256=")
    if not _any_equal([presented.lower()], [_legacy_digest(body, text) for text in texts]):
        raise SignatureInvalid(Reason.MISMATCH, "the X-Webhook-Signature does not fit the body")


def _usable(secrets: Sequence[str]) -> list[str]:
    # A text is a sequence of texts, too: each of its letters would become a secret.
    if isinstance(secrets, str | bytes):
        raise TypeError("secrets is a list of secrets, not one")
    texts = [text for text in (secret.strip() for secret in secrets) if text]
    if not texts:
        # An empty key is one that everybody knows.
        raise ValueError("no webhook secret is configured, so nothing can be verified")
    return texts


def _standard_key(text: str) -> bytes:
    if not text.startswith("whsec_"):
        return text.encode()
    try:
        key = base64.b64decode(text.removeprefix("whsec_"), validate=True)
    except ValueError:
        key = b""
    if not key:
        # Raised here, not above, so that no traceback shows the text that could not be decoded.
        raise ValueError("a webhook secret begins with whsec_, but what follows is not base64")
    return key


def _pick(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers that matter, by lower-case name."""
    found: dict[str, str] = {}
    for name, value in headers.items():
        lowered = name.lower()
        if lowered not in _STANDARD and lowered != _LEGACY:
            continue
        if lowered in found:
            # Two values, and some other reader of this request may take the other one.
            raise SignatureInvalid(Reason.MALFORMED, f"the header {lowered} is repeated")
        found[lowered] = value.strip()
    return found


def _standard_signature(body: bytes, event_id: str, timestamp: str, key: bytes) -> str:
    digest = hmac.digest(key, b"%b.%b.%b" % (event_id.encode(), timestamp.encode(), body), "sha256")
    return base64.b64encode(digest).decode()


def _legacy_digest(body: bytes, text: str) -> str:
    return hmac.digest(text.encode(), body, "sha256").hex()


def _any_equal(presented: Sequence[str], expected: Sequence[str]) -> bool:
    """Compare each with each in constant time, without stopping at the first that fits."""
    equal = False
    for given in presented:
        # compare_digest refuses texts beyond ASCII; what is replaced here equals no signature.
        octets = given.encode("ascii", "replace")
        for wanted in expected:
            equal |= hmac.compare_digest(octets, wanted.encode())
    return equal
