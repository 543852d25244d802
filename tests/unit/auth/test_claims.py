from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.auth.claims import ClaimRules
from ws_gateway.errors import HandshakeRefused, RefusalReason

NOW = 1_000_000.0


class ClaimTests(SynchronousTestCase):
    """What claims must say."""

    def identity(self, rules=None, **claims):
        return (rules or ClaimRules()).identity({"user_id": "42", **claims}, NOW)

    def assert_refused(self, reason, rules=None, **claims):
        with self.assertRaises(HandshakeRefused) as caught:
            self.identity(rules, **claims)
        self.assertIs(caught.exception.reason, reason, caught.exception.detail)
        return caught.exception.detail

    def test_plain(self):
        """A user id alone is enough; such a token never ends."""
        identity = self.identity()
        self.assertEqual(
            (identity.user_id, identity.subjects, identity.channels, identity.expires_at, identity.claims),
            ("42", (), (), None, {}),
        )

    def test_exp(self):
        """A token is good until `exp`, and not at it."""
        self.assertEqual(self.identity(exp=NOW + 1).expires_at, NOW + 1)
        self.assertEqual(self.identity(exp=NOW + 0.5).expires_at, NOW + 0.5)
        for late in (NOW, NOW - 0.5, 0, -1, -1e300, -(10**400)):
            self.assert_refused(RefusalReason.EXPIRED, exp=late)

    def test_nbf(self):
        """A token is good from `nbf` on."""
        for past in (NOW, NOW - 0.5, -5, -(10**400)):
            self.identity(nbf=past)
        for future in (NOW + 0.5, 1e300, 10**400):
            self.assert_refused(RefusalReason.NOT_YET_VALID, nbf=future)

    def test_leeway(self):
        """The leeway counts at both ends, and moves the end of the connection along."""
        rules = ClaimRules(leeway=10)
        self.assertEqual(self.identity(rules, exp=NOW - 9).expires_at, NOW + 1)
        self.assert_refused(RefusalReason.EXPIRED, rules, exp=NOW - 10)
        self.identity(rules, nbf=NOW + 10)
        self.assert_refused(RefusalReason.NOT_YET_VALID, rules, nbf=NOW + 11)

    def test_any_year(self):
        """Huge times end at a moment that others can count with."""
        for far in (1e300, 10**400, float("inf"), 10**15):
            self.assertEqual(self.identity(exp=far).expires_at, 1e15)

    def test_times_of_a_wrong_type(self):
        """A time that is no number is malformed; a truth value is no number."""
        for wrong in ("1000000000", True, None, [], {}):
            self.assert_refused(RefusalReason.MALFORMED, exp=wrong)
            self.assert_refused(RefusalReason.MALFORMED, nbf=wrong)

    def test_iat_is_not_judged(self):
        """A token of tomorrow is good, and so is one with nonsense in `iat`."""
        for iat in (NOW + 86400, "yesterday", None, [1]):
            self.identity(iat=iat)

    def test_require_exp(self):
        """With JWT_REQUIRE_EXP a token must have an end."""
        rules = ClaimRules(require_exp=True)
        self.assertIn("JWT_REQUIRE_EXP", self.assert_refused(RefusalReason.MALFORMED, rules))
        self.identity(rules, exp=NOW + 1)

    def test_issuer(self):
        """`iss` is compared when an issuer is set, and must be a string in any case."""
        rules = ClaimRules(issuer="us")
        self.identity(rules, iss="us")
        self.identity(iss="anybody")
        self.assert_refused(RefusalReason.ISSUER, rules, iss="them")
        self.assert_refused(RefusalReason.ISSUER, rules)
        for wrong in (None, 7, ["us"]):
            self.assert_refused(RefusalReason.MALFORMED, rules, iss=wrong)
            self.assert_refused(RefusalReason.MALFORMED, iss=wrong)

    def test_audience(self):
        """`aud` must hold the audience, alone or in a list."""
        rules = ClaimRules(audience="ws")
        self.identity(rules, aud="ws")
        self.identity(rules, aud=["api", "ws"])
        for other in ("api", "w", ["api"], [], "ws2"):
            self.assert_refused(RefusalReason.AUDIENCE, rules, aud=other)
        self.assertIn("JWT_AUDIENCE", self.assert_refused(RefusalReason.AUDIENCE, rules))

    def test_audience_not_configured(self):
        """A token that is meant for somebody is refused when nobody is configured; the setting is named."""
        for audience in ("ws", ["ws"], []):
            self.assertIn("JWT_AUDIENCE", self.assert_refused(RefusalReason.AUDIENCE, aud=audience))

    def test_audience_of_a_wrong_type(self):
        """Neither a string nor a list of strings: malformed."""
        for wrong in (None, 7, {"ws": 1}, ["ws", 7]):
            self.assert_refused(RefusalReason.MALFORMED, ClaimRules(audience="ws"), aud=wrong)
            self.assert_refused(RefusalReason.MALFORMED, aud=wrong)

    def test_sub(self):
        """`sub` may be any scalar."""
        for scalar in ("x", 7, 1.5, True, None):
            self.identity(sub=scalar)
        for wrong in ([], {}):
            self.assert_refused(RefusalReason.MALFORMED, sub=wrong)

    def test_user_id(self):
        """A non-empty string or an integer, whose decimal text counts, however large."""
        for value, text in (("a b", "a b"), (7, "7"), (-7, "-7"), (0, "0"), (2**80, str(2**80)), ("é", "é")):
            self.assertEqual(self.identity(user_id=value).user_id, text)
        self.assertEqual(self.identity(user_id="é" * 256).user_id, "é" * 256)

    def test_user_id_refused(self):
        """Everything else has no user id."""
        wrong = ("", None, True, 1.0, [], {}, "a\n", "\x7f", "a\x85", "é" * 257, "\ud800", 10**600)
        for value in wrong:
            self.assert_refused(RefusalReason.USER_ID, user_id=value)
        self.assertIn(
            "'uid' is missing", self.assert_refused(RefusalReason.USER_ID, ClaimRules(user_id_claim="uid"))
        )

    def test_user_id_claim(self):
        """The claim that names the user is a setting."""
        rules = ClaimRules(user_id_claim="sub")
        self.assertEqual(self.identity(rules, sub=9).user_id, "9")
        self.assert_refused(RefusalReason.USER_ID, rules, sub=True)

    def test_subjects_and_channels(self):
        """Both claims are lists of subjects, and their names are settings."""
        identity = self.identity(subjects=["team:1", "team:1"], channels=["news.*"])
        self.assertEqual(identity.subjects, ("team:1", "team:1"))
        self.assertEqual(identity.channels, ("news.*",))
        rules = ClaimRules(subjects_claim="s", channels_claim="c")
        identity = self.identity(rules, s=["a"], c=["b"], subjects="ignored", channels="ignored")
        self.assertEqual((identity.subjects, identity.channels), (("a",), ("b",)))

    def test_malformed_subjects(self):
        """A token whose subjects are no subjects is refused as a whole."""
        for wrong in ("team:1", None, {}, 7, [1], ["a", None], [""], ["a\n"], ["x" * 513], ["\udc00"]):
            self.assert_refused(RefusalReason.SUBJECTS, subjects=wrong)
            self.assert_refused(RefusalReason.SUBJECTS, channels=wrong)

    def test_forwarded(self):
        """Only the named claims are kept, as they are."""
        rules = ClaimRules(forward_claims=("role", "org", "absent"))
        identity = self.identity(rules, role=["a", 1.5, None], org={"id": 7}, email="x")
        self.assertEqual(identity.claims, {"role": ["a", 1.5, None], "org": {"id": 7}})

    def test_forwarded_must_survive(self):
        """A forwarded claim that JSON cannot carry to the backend unchanged is malformed."""
        rules = ClaimRules(forward_claims=("x",))
        for wrong in (2**70, float("inf"), "\ud800", [{"a": 2**70}]):
            self.assert_refused(RefusalReason.MALFORMED, rules, x=wrong)
            self.identity(x=wrong)
