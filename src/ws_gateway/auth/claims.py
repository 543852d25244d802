"""What the claims of a verified token say, judged one by one (contract section 1).

A claim that is used and has the wrong JSON type is a malformed token. `iat` is not judged. Times may be
integers or fractions and lie in any year.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from attrs import frozen

from ws_gateway.domain.messages import Identity
from ws_gateway.domain.subjects import subject_problem
from ws_gateway.errors import HandshakeRefused, RefusalReason

__all__ = ["ClaimRules"]

_FAR_FUTURE = 1e15
"""Later than this no clock will be; where huge times end, so that everybody may count with them."""


def _malformed(detail: str) -> HandshakeRefused:
    return HandshakeRefused(RefusalReason.MALFORMED, detail)


@frozen(kw_only=True)
class ClaimRules:
    """The settings that claims are judged by.

    :ivar issuer: what `iss` must be; None asks for nothing.
    :ivar audience: what `aud` must hold; None refuses every token that has an `aud`.
    :ivar leeway: seconds of tolerance for `exp` and `nbf`.
    :ivar channels_claim: lists the channels, or patterns of them, that a client may ask for.
    :ivar forward_claims: claims that go with each event.
    """

    issuer: str | None = None
    audience: str | None = None
    leeway: float = 0
    require_exp: bool = False
    user_id_claim: str = "user_id"
    subjects_claim: str = "subjects"
    channels_claim: str = "channels"
    forward_claims: tuple[str, ...] = ()

    def identity(self, claims: Mapping[str, Any], now: float, source: str = "") -> Identity:
        """Judge the claims of a token whose signature is good.

        :param now: Unix seconds.
        :param source: where the token stood.
        :returns: with `expires_at` at the end of the leeway: who is let in late is not thrown out at once.
        :raises HandshakeRefused: for the first thing that is wrong.
        """
        expires_at = self._judge_times(claims, now)
        self._judge_issuer(claims)
        self._judge_audience(claims)
        if isinstance(claims.get("sub"), dict | list):
            raise _malformed("claim 'sub' is an object or a list")
        user_id = self._user_id(claims)
        subjects = _subject_list(claims, self.subjects_claim)
        channels = _subject_list(claims, self.channels_claim)
        return Identity(user_id, subjects, channels, expires_at, self._forwarded(claims), source)

    def _judge_times(self, claims: Mapping[str, Any], now: float) -> float | None:
        not_before = _moment(claims, "nbf")
        if not_before is not None and not_before > now + self.leeway:
            raise HandshakeRefused(RefusalReason.NOT_YET_VALID, "the token is not valid yet (nbf)")
        expires = _moment(claims, "exp")
        if expires is None:
            if self.require_exp:
                raise _malformed("the token has no claim 'exp', which JWT_REQUIRE_EXP asks for")
            return None
        if expires <= now - self.leeway:
            raise HandshakeRefused(RefusalReason.EXPIRED, "the token has expired (exp)")
        return expires + self.leeway

    def _judge_issuer(self, claims: Mapping[str, Any]) -> None:
        issuer = claims.get("iss")
        if not isinstance(issuer, str) and "iss" in claims:
            raise _malformed("claim 'iss' is no string")
        if self.issuer is not None and issuer != self.issuer:
            raise HandshakeRefused(RefusalReason.ISSUER, "claim 'iss' is not the one of JWT_ISSUER")

    def _judge_audience(self, claims: Mapping[str, Any]) -> None:
        if "aud" not in claims:
            if self.audience is None:
                return
            raise HandshakeRefused(RefusalReason.AUDIENCE, "no claim 'aud', but JWT_AUDIENCE asks for one")
        audience = claims["aud"]
        audiences = [audience] if isinstance(audience, str) else audience
        if not isinstance(audiences, list) or not all(isinstance(item, str) for item in audiences):
            raise _malformed("claim 'aud' is neither a string nor a list of strings")
        if self.audience is None:
            raise HandshakeRefused(
                RefusalReason.AUDIENCE, "the token has an audience, but JWT_AUDIENCE is not set"
            )
        if self.audience not in audiences:
            raise HandshakeRefused(RefusalReason.AUDIENCE, "claim 'aud' does not hold JWT_AUDIENCE")

    def _user_id(self, claims: Mapping[str, Any]) -> str:
        value = claims.get(self.user_id_claim)
        if isinstance(value, int) and not isinstance(value, bool):
            value = str(value)
        name = self.user_id_claim
        if not isinstance(value, str):
            kind = "is neither a string nor an integer" if name in claims else "is missing"
            raise HandshakeRefused(RefusalReason.USER_ID, f"claim {name!r} {kind}")
        problem = subject_problem(value)  # A user id has the bounds of a subject.
        if problem:
            raise HandshakeRefused(RefusalReason.USER_ID, f"claim {name!r} {problem}")
        return value

    def _forwarded(self, claims: Mapping[str, Any]) -> dict[str, Any]:
        forwarded = {name: claims[name] for name in self.forward_claims if name in claims}
        if forwarded and not _survives_json(forwarded):
            raise _malformed("a claim of JWT_FORWARD_CLAIMS holds a number or text that JSON cannot carry")
        return forwarded


def _moment(claims: Mapping[str, Any], name: str) -> float | None:
    """A NumericDate; huge values are cut to what a float counts in whole seconds."""
    if name not in claims:
        return None
    value = claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _malformed(f"claim {name!r} is no number")
    return float(max(-_FAR_FUTURE, min(value, _FAR_FUTURE)))


def _subject_list(claims: Mapping[str, Any], name: str) -> tuple[str, ...]:
    if name not in claims:
        return ()
    entries: Sequence[object] = claims[name]
    if not isinstance(entries, list):
        raise HandshakeRefused(RefusalReason.SUBJECTS, f"claim {name!r} is no list")
    texts = tuple(entry for entry in entries if isinstance(entry, str))
    if len(texts) != len(entries):
        raise HandshakeRefused(RefusalReason.SUBJECTS, f"claim {name!r} holds something that is no string")
    for text in texts:
        problem = subject_problem(text)
        if problem:
            raise HandshakeRefused(RefusalReason.SUBJECTS, f"an entry of claim {name!r} {problem}")
    return texts


def _survives_json(claims: dict[str, Any]) -> bool:
    try:
        survived: bool = orjson.loads(orjson.dumps(claims)) == claims
    except (orjson.JSONEncodeError, orjson.JSONDecodeError):
        return False
    return survived
