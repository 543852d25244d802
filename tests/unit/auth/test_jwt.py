import json
import traceback
from base64 import urlsafe_b64encode

from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.auth.claims import ClaimRules
from ws_gateway.auth.jwt import JwtAuthenticator
from ws_gateway.auth.keys import SecretKeys, StaticKeys
from ws_gateway.domain.messages import Handshake
from ws_gateway.errors import HandshakeRefused, RefusalReason
from ws_gateway.testing.auth import FakeKeys, Issuer, bearer

NOW = 1_000_000.0
HS = Issuer("HS256", b"a secret of some length")
ISSUERS = {name: Issuer.generate(name) for name in ("RS256", "ES256", "ES384", "EdDSA")}


def encoded(value):
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return urlsafe_b64encode(raw).rstrip(b"=").decode()


class JwtTests(SynchronousTestCase):
    """Tokens in, identities or refusals out."""

    def setUp(self):
        self.now = NOW
        keys = FakeKeys({"HS256": [HS.verification_key]})
        self.authenticator = JwtAuthenticator(keys, ["HS256"], lambda: self.now, ClaimRules())

    def identity(self, token, authenticator=None):
        return self.successResultOf((authenticator or self.authenticator).authenticate(bearer(token)))

    def refused(self, token, authenticator=None):
        deferred = (authenticator or self.authenticator).authenticate(bearer(token))
        return self.failureResultOf(deferred, HandshakeRefused).value

    def assert_refused(self, reason, token, authenticator=None):
        refused = self.refused(token, authenticator)
        self.assertIs(refused.reason, reason, refused.detail)

    def test_every_family(self):
        """RSA, curves, Edwards and secrets: each verifies its own token and no other's."""
        for name, issuer in ISSUERS.items():
            keys = StaticKeys(issuer.public_pem, [name])
            authenticator = JwtAuthenticator(keys, [name], lambda: NOW, ClaimRules())
            self.assertEqual(self.identity(issuer.token(user_id=name), authenticator).user_id, name)
            forged = Issuer.generate(name).token(user_id=name)
            self.assert_refused(RefusalReason.SIGNATURE, forged, authenticator)
        authenticator = JwtAuthenticator(
            SecretKeys("a secret of some length", ["HS256"]), ["HS256"], lambda: NOW, ClaimRules()
        )
        self.assertEqual(self.identity(HS.token(user_id="42"), authenticator).user_id, "42")

    def test_source(self):
        """An identity tells where its token stood, and nothing of the token."""
        token = HS.token(user_id="42")
        asked = {
            "header": bearer(token),
            "query": Handshake("/ws", (("token", token),), {}),
            "subprotocol": Handshake("/ws", (), {"sec-websocket-protocol": (f"bearer, {token}",)}),
        }
        for source, handshake in asked.items():
            identity = self.successResultOf(self.authenticator.authenticate(handshake))
            self.assertEqual(identity.token_source, source)
            self.assertNotIn(token.split(".")[2], repr(identity))

    def test_several_keys(self):
        """While keys rotate, the old one and the new one are both good."""
        old, new = Issuer.generate("ES256"), Issuer.generate("ES256")
        keys = StaticKeys(new.public_pem + old.public_pem, ["ES256"])
        authenticator = JwtAuthenticator(keys, ["ES256"], lambda: NOW, ClaimRules())
        for issuer in (old, new):
            self.assertEqual(self.identity(issuer.token(user_id=1), authenticator).user_id, "1")

    def test_algorithms_that_are_not_allowed(self):
        """What JWT_ALG does not name is refused, `none` and other spellings included."""
        for algorithm in ("none", "None", "", "RS256", "hs256", "HS512"):
            token = HS.sign(b'{"user_id":"42"}', {"alg": algorithm})
            self.assert_refused(RefusalReason.ALGORITHM, token)
        unsigned = encoded({"alg": "none"}) + "." + encoded({"user_id": "42"}) + "."
        self.assert_refused(RefusalReason.ALGORITHM, unsigned)

    def test_public_key_as_secret(self):
        """A token signed by HS256 with the text of the public key is refused."""
        issuer = ISSUERS["RS256"]
        confused = Issuer("HS256", issuer.public_pem.encode()).token(user_id="42")
        keys = StaticKeys(issuer.public_pem, ["RS256"])
        self.assert_refused(
            RefusalReason.ALGORITHM, confused, JwtAuthenticator(keys, ["RS256"], lambda: NOW, ClaimRules())
        )

    def test_keys_of_another_family(self):
        """A key source that hands out a key of the wrong kind cannot make it verify."""
        issuer = ISSUERS["RS256"]
        keys = FakeKeys({"HS256": [issuer.verification_key, issuer.public_pem]})
        authenticator = JwtAuthenticator(keys, ["HS256"], lambda: NOW, ClaimRules())
        self.assert_refused(RefusalReason.UNKNOWN_KEY, HS.token(user_id="42"), authenticator)

    def test_no_key(self):
        """No key for the token: the reason says so."""
        authenticator = JwtAuthenticator(FakeKeys({}), ["HS256"], lambda: NOW, ClaimRules())
        self.assert_refused(RefusalReason.UNKNOWN_KEY, HS.token(user_id="42"), authenticator)

    def test_shape(self):
        """What is not three parts of base64url is malformed, also with one character too many."""
        good = HS.token(user_id="42")
        header, payload, signature = good.split(".")
        for text in (
            "x",
            "..",
            "a.b",
            good + ".x",
            good + " ",
            " " + good,
            good + "\n",
            good + "=",
            header + "." + payload,
            f"{header}..{signature}",
            f"{header}.{payload}.{signature[:-3]}*",
            f"{header}.{payload}.{signature}AA",
            f"A.{payload}.{signature}",
            good.replace(".", "\u2024"),
            "\x85" + good,
            "\ud800",
        ):
            # In the query nothing is trimmed.
            deferred = self.authenticator.authenticate(Handshake("/ws", (("token", text),), {}))
            refused = self.failureResultOf(deferred, HandshakeRefused).value
            self.assertIs(refused.reason, RefusalReason.MALFORMED, text)

    def test_one_spelling(self):
        """The same signature with other unused bits is another text, and malformed."""
        token = HS.token(user_id="42")
        last = token[-1]
        alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
        twin = token[:-1] + alphabet[alphabet.index(last) + 1]
        self.assert_refused(RefusalReason.MALFORMED, twin)

    def test_header_types(self):
        """Header parameters of a wrong JSON type are malformed."""
        for header in (
            {"alg": None},
            {"alg": 7},
            {"alg": ["HS256"]},
            {"alg": {"HS256": 1}},
            {"kid": 7},
            {"kid": None},
            {"typ": []},
            {"crit": ["exp"]},
            {"crit": []},
            {"crit": None},
            {"crit": ["b64"], "b64": False},
            {"b64": False},
            {"b64": 1},
        ):
            self.assert_refused(RefusalReason.MALFORMED, HS.sign(b'{"user_id":"42"}', header))
        self.identity(HS.sign(b'{"user_id":"42"}', {"kid": "k", "typ": "at+jwt", "b64": True, "x5c": 7}))

    def test_header_is_no_object(self):
        """A header that is no JSON object is malformed."""
        for header in (b"[]", b'"HS256"', b"null", b"{", b"\xff", b"[" * 5000):
            self.assert_refused(RefusalReason.MALFORMED, f"{encoded(header)}.e30.")

    def test_header_without_algorithm(self):
        """A header that names no algorithm is malformed."""
        self.assert_refused(RefusalReason.MALFORMED, f"{encoded({})}.e30.")

    def test_payload_is_no_object(self):
        """A signed payload that is no JSON object is malformed, however it was signed."""
        for payload in (
            b"[]",
            b"7",
            b"null",
            b"{",
            b'{"user_id":"\xff"}',
            b"\xef\xbb\xbf{}",
            '{"user_id":"42"}'.encode("utf-16"),
            b'{"user_id":"42","exp":NaN}',
            b'{"user_id":"42","exp":-Infinity}',
            b'{"user_id":"42","x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
            b'{"user_id":' + b"9" * 5000 + b"}",
        ):
            self.assert_refused(RefusalReason.MALFORMED, HS.sign(payload))

    def test_numbers_keep_their_digits(self):
        """A user id is exact beyond 64 bits, and a time may overflow a float."""
        identity = self.identity(HS.sign(b'{"user_id":12345678901234567890123,"exp":1e400}'))
        self.assertEqual(identity.user_id, "12345678901234567890123")
        self.assertEqual(identity.expires_at, 1e15)

    def test_time_is_asked_each_time(self):
        """The same token is good before its end and expired after it."""
        token = HS.token(user_id="42", exp=NOW + 5)
        self.identity(token)
        self.now = NOW + 5
        self.assert_refused(RefusalReason.EXPIRED, token)

    def test_signature_before_claims(self):
        """The claims of a token with a wrong signature are not looked at."""
        forged = Issuer("HS256", b"another secret").token(user_id="42", exp=1)
        self.assert_refused(RefusalReason.SIGNATURE, forged)

    def test_algorithms_must_be_known(self):
        """A setting that would allow `none`, something unknown or nothing at all is refused by name."""
        for algorithms in (["none"], ["HS256", "None"], ["RS1024"], []):
            error = self.assertRaises(
                ValueError, JwtAuthenticator, FakeKeys({}), algorithms, lambda: NOW, ClaimRules()
            )
            self.assertIn(repr(algorithms[-1]) if algorithms else "nothing", str(error))

    def test_canary(self):
        """No refusal holds a part of the token: not its text, not its traceback, not what led to it."""
        claims = {"user_id": "CANARY-USER", "exp": "CANARY-EXP", "iss": "CANARY-ISS", "aud": "CANARY-AUD"}
        tokens = [
            HS.token(**claims),
            HS.token(**{**claims, "exp": 1}),
            HS.token(user_id="CANARY\n"),
            HS.token(user_id="42", subjects=["CANARY\n"]),
            HS.sign(b'{"CANARY": '),
            HS.sign(b"{}", {"alg": "CANARY"}),
            HS.sign(b"{}", {"crit": ["CANARY"]}),
            HS.token(user_id="CANARY")[:-4] + "AAAA",
            "CANARY",
            "CANARY.CANARY.CANARY\xff",
        ]
        for token in tokens:
            deferred = self.authenticator.authenticate(bearer(token))
            failure = self.failureResultOf(deferred, HandshakeRefused)
            refused = failure.value
            written = "".join(traceback.format_exception(refused))
            for text in (
                str(refused),
                refused.detail,
                repr(refused),
                written,
                failure.getTraceback(detail="verbose"),
            ):
                self.assertNotIn("CANARY", text)
                for part in token.split("."):
                    self.assertNotIn(part, text)
            self.assertIsNone(refused.__context__)
            self.assertIsNone(refused.__traceback__)
            self.assertEqual(_locals_of(failure), [])


def _locals_of(failure: Failure):
    return [frame for frame in failure.frames if frame[3] or frame[4]]
