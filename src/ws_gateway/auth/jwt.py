"""Authentication by JSON Web Token in compact form (RFC 7515, RFC 7519).

The signature is judged by PyJWT's algorithms with keys that were prepared once. Taking the token apart and
judging its claims is done here: each refusal then has its own reason, the time is injected, and a connect
costs less than `jwt.decode` (with RS256 half). Whatever a client sends as a token, the answer is an
Identity or a HandshakeRefused, and neither it nor its traceback holds a part of the token.
"""

import json
import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from attrs import field, frozen
from jwt.algorithms import get_default_algorithms
from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from ws_gateway.auth.claims import ClaimRules
from ws_gateway.auth.credentials import find_token
from ws_gateway.auth.keys import ALGORITHMS, key_fits
from ws_gateway.domain.messages import Handshake, Identity
from ws_gateway.errors import HandshakeRefused, RefusalReason
from ws_gateway.interfaces import IAuthenticator, IKeySource

__all__ = ["JwtAuthenticator"]

_COMPACT = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


@implementer(IAuthenticator)
class JwtAuthenticator:
    """Finds the token of a handshake, verifies it and tells whose it is.

    :param keys: where verification keys come from.
    :param algorithms: what `JWT_ALG` allows.
    :param wall: Unix seconds.
    :param rules: what claims must say.
    :raises ValueError: an algorithm that is unknown or never allowed, or none at all.
    """

    def __init__(
        self, keys: IKeySource, algorithms: Sequence[str], wall: Callable[[], float], rules: ClaimRules
    ) -> None:
        strangers = [name for name in algorithms if name not in ALGORITHMS]
        if strangers or not algorithms:
            named = ", ".join(repr(name) for name in strangers) or "nothing"
            raise ValueError(f"algorithms must be some of {', '.join(sorted(ALGORITHMS))}; got {named}")
        known = get_default_algorithms()
        self._algorithms = {name: known[name] for name in algorithms}
        self._keys = keys
        self._wall = wall
        self._rules = rules

    def authenticate(self, handshake: Handshake) -> Deferred[Identity]:
        credential = find_token(handshake)
        if credential is None:
            return fail(HandshakeRefused(RefusalReason.MISSING, "the handshake carries no token"))
        try:
            token = _take_apart(credential.token, credential.source)
            self._judge_header(token.header)
        except HandshakeRefused as refused:
            return fail(_stripped(refused))
        return self._keys.candidates(token.header).addCallback(self._judged, token)

    def _judged(self, keys: Sequence[Any], token: "_Token") -> Identity | Deferred[Identity]:
        try:
            return self._judge(keys, token)
        except HandshakeRefused as refused:
            return fail(_stripped(refused))

    def _judge_header(self, header: Mapping[str, Any]) -> None:
        for name in ("typ", "kid"):
            if not isinstance(header.get(name, ""), str):
                raise _malformed(f"header parameter {name!r} is no string")
        if "crit" in header:
            raise _malformed("the token asks for extensions that nobody here knows (crit)")
        if header.get("b64", True) is not True:
            raise _malformed("the payload of the token is not encoded (b64)")
        algorithm = header.get("alg")
        if not isinstance(algorithm, str):
            raise _malformed("header parameter 'alg' is missing or no string")
        if algorithm not in self._algorithms:
            raise HandshakeRefused(RefusalReason.ALGORITHM, "the token's algorithm is not one of JWT_ALG")

    def _judge(self, keys: Sequence[Any], token: "_Token") -> Identity:
        name = token.header["alg"]
        fitting = [key for key in keys if key_fits(name, key)]
        if not fitting:
            raise HandshakeRefused(RefusalReason.UNKNOWN_KEY, "no key fits the token's algorithm and key id")
        verify = self._algorithms[name].verify
        if not any(verify(token.signed, key, token.signature) for key in fitting):
            raise HandshakeRefused(RefusalReason.SIGNATURE, "the signature of the token is wrong")
        claims = _json_object(token.payload)
        if claims is None:
            raise _malformed("the payload of the token is no JSON object")
        return self._rules.identity(claims, self._wall(), token.source)


@frozen
class _Token:
    header: Mapping[str, Any] = field(repr=False)
    payload: bytes = field(repr=False)
    signature: bytes = field(repr=False)
    signed: bytes = field(repr=False)
    source: str


def _take_apart(text: str, source: str) -> _Token:
    if not _COMPACT.fullmatch(text):
        raise _malformed("the token is not of the form header.payload.signature")
    encoded = text.encode("ascii")
    signed, _, signature_part = encoded.rpartition(b".")
    header_part, _, payload_part = signed.partition(b".")
    raw_header, payload, signature = map(_base64url, (header_part, payload_part, signature_part))
    if raw_header is None or payload is None or signature is None:
        raise _malformed("a part of the token is not base64url")
    header = _json_object(raw_header)
    if header is None:
        raise _malformed("the header of the token is no JSON object")
    return _Token(header, payload, signature, signed, source)


def _base64url(part: bytes) -> bytes | None:
    """Decode; only the one text that encoding gives again is good, or a token had many spellings."""
    standard = part.translate(_TO_STANDARD) + b"=" * (-len(part) % 4)
    try:
        decoded = a2b_base64(standard)
    except Base64Error:
        return None
    return decoded if b2a_base64(decoded, newline=False) == standard else None


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are no JSON")


# Not orjson: that one turns integers over 64 bits into fractions, and a user id may be such an integer.
_decode_json = json.JSONDecoder(parse_constant=_refuse_constant).decode


def _json_object(raw: bytes) -> dict[str, Any] | None:
    try:
        value = _decode_json(raw.decode("utf-8"))
    except (ValueError, RecursionError):  # UnicodeDecodeError and JSONDecodeError are ValueErrors.
        return None
    return value if isinstance(value, dict) else None


def _malformed(detail: str) -> HandshakeRefused:
    return HandshakeRefused(RefusalReason.MALFORMED, detail)


def _stripped(refused: HandshakeRefused) -> HandshakeRefused:
    """Without the frames that it passed: their variables hold the token."""
    refused.__context__ = None
    return refused.with_traceback(None)
