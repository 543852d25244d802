"""Whatever a client calls a token: an Identity or a HandshakeRefused, never another error."""

import json
from base64 import urlsafe_b64encode

from hypothesis import given, settings
from hypothesis import strategies as st

from ws_gateway.auth.claims import ClaimRules
from ws_gateway.auth.jwt import JwtAuthenticator
from ws_gateway.auth.keys import StaticKeys
from ws_gateway.auth.policy import ClaimsPolicy
from ws_gateway.domain.messages import Handshake, Identity
from ws_gateway.domain.subjects import subject_problem
from ws_gateway.errors import HandshakeRefused
from ws_gateway.testing.auth import FakeKeys, Issuer, bearer

_HS = Issuer("HS256", b"a secret of some length")
_RULES = ClaimRules(issuer="us", audience="ws", leeway=5, forward_claims=("x",))
_LENIENT = ClaimRules(forward_claims=("x", "exp"))
_ISSUERS = [Issuer.generate(name) for name in ("RS256", "ES256", "EdDSA")]
_ALL = JwtAuthenticator(
    StaticKeys("".join(issuer.public_pem for issuer in _ISSUERS), ["RS256", "ES256", "EdDSA", "PS256"]),
    ["RS256", "ES256", "EdDSA", "PS256"],
    lambda: 1e9,
    _LENIENT,
)

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=10,
)
_claim_names = st.sampled_from(
    ["exp", "nbf", "iat", "iss", "aud", "sub", "user_id", "subjects", "channels", "x"]
)
_plausible = st.sampled_from(["us", "ws", ["ws"], 2e9, 10**400, 1, -1, "42", 42, ["news.*"], {"a": 2**70}])
_claims = st.dictionaries(_claim_names, _plausible | _json)
_header = st.dictionaries(st.sampled_from(["alg", "typ", "kid", "crit", "b64", "jwk"]), _json, max_size=3)


def _outcome(authenticator, handshake):
    outcomes = []
    authenticator.authenticate(handshake).addBoth(outcomes.append)
    [outcome] = outcomes
    if isinstance(outcome, Identity):
        return outcome
    assert isinstance(outcome.value, HandshakeRefused), outcome
    return outcome.value


def _hs(rules):
    return JwtAuthenticator(FakeKeys({"HS256": [_HS.verification_key]}), ["HS256"], lambda: 1e9, rules)


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_any_text(text):
    """Any text at all."""
    assert isinstance(_outcome(_ALL, Handshake("/ws", (("token", text),), {})), HandshakeRefused)


@given(
    st.sampled_from(["RS256", "ES256", "EdDSA", "PS256"]), st.binary(max_size=300), st.binary(max_size=100)
)
def test_any_signature(algorithm, payload, signature):
    """A token of the right form, with any payload and any signature."""
    token = Issuer("HS256", b"x").sign(payload, {"alg": algorithm}).rpartition(".")[0]
    text = f"{token}.{urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert isinstance(_outcome(_ALL, bearer(text)), HandshakeRefused)


@given(st.binary(max_size=300), _header)
def test_any_signed_payload(payload, header):
    """Any bytes as payload and any JSON as header, signed with the right key."""
    _outcome(_hs(_LENIENT), bearer(_HS.sign(payload, header)))


@settings(max_examples=300)
@given(_claims, st.booleans())
def test_any_claims(claims, lenient):
    """Any claims, signed with the right key; what is let in keeps the promises of Identity."""
    outcome = _outcome(_hs(_LENIENT if lenient else _RULES), bearer(_HS.sign(json.dumps(claims).encode())))
    if isinstance(outcome, Identity):
        assert subject_problem(outcome.user_id) is None
        assert not any(map(subject_problem, outcome.subjects + outcome.channels))
        assert outcome.expires_at is None or 1e9 < outcome.expires_at <= 1e15 + 5
        json.dumps(outcome.claims, allow_nan=False).encode()


@given(
    st.lists(st.text(max_size=8)), st.lists(st.text(min_size=1, max_size=8)), st.integers(0, 5), st.booleans()
)
def test_any_wishes(wanted, channels, limit, channels_open):
    """Granted and refused never overlap, none is lost, and the limit holds."""
    deferred = ClaimsPolicy("user:", limit, channels_open).grant(Identity("42", (), tuple(channels)), wanted)
    granted, refused = deferred.result
    assert granted[0] == "user:42" and len(granted) <= max(limit, 1)
    assert len({*granted, *refused}) == len(granted) + len(refused)
    assert {f"channel:{name}" for name in wanted if name} == {*granted[1:], *refused}
