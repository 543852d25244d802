from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ws_gateway.auth.policy import ClaimsPolicy
from ws_gateway.domain.messages import Identity
from ws_gateway.interfaces import ISubjectPolicy


class ClaimsPolicyTests(SynchronousTestCase):
    """What a connection listens to."""

    def grant(self, identity, wanted=(), max_subjects=100, channels_open=False, prefix="user:"):
        policy = ClaimsPolicy(prefix, max_subjects, channels_open)
        return self.successResultOf(policy.grant(identity, wanted))

    def test_provides(self):
        """It provides ISubjectPolicy."""
        self.assertTrue(verifyObject(ISubjectPolicy, ClaimsPolicy("user:", 100, False)))

    def test_user_alone(self):
        """The user's own subject is always there; its prefix is a setting."""
        self.assertEqual(self.grant(Identity("42")), (("user:42",), ()))
        self.assertEqual(self.grant(Identity("42"), prefix="u/"), (("u/42",), ()))

    def test_longest_user_id(self):
        """The longest user id still has its subject, though the prefix makes it longer than others may be."""
        self.assertEqual(self.grant(Identity("x" * 512))[0], ("user:" + "x" * 512,))

    def test_order(self):
        """The user first, then the token's subjects, then the channels, each once."""
        identity = Identity("42", ("team:1", "user:42", "team:1", "channel:a"), ("a", "b"))
        granted, refused = self.grant(identity, ["b", "a", "b"])
        self.assertEqual(granted, ("user:42", "team:1", "channel:a", "channel:b"))
        self.assertEqual(refused, ())

    def test_channels_are_not_granted_unasked(self):
        """The claim allows channels; the client has to ask."""
        self.assertEqual(self.grant(Identity("42", channels=("a",)))[0], ("user:42",))

    def test_patterns(self):
        """A trailing `*` stands for one character or more; elsewhere it is a character."""
        identity = Identity("42", channels=("news.*", "a*b", "exact"))
        granted, refused = self.grant(
            identity, ["news.sport", "news.x.y", "news.", "news", "newsx", "a*b", "axb", "exact", "exactly"]
        )
        self.assertEqual(
            granted, ("user:42", "channel:news.sport", "channel:news.x.y", "channel:a*b", "channel:exact")
        )
        self.assertEqual(
            refused,
            ("channel:news.", "channel:news", "channel:newsx", "channel:axb", "channel:exactly"),
        )

    def test_star_alone(self):
        """`*` alone grants every channel, as WS_CHANNELS_OPEN does."""
        self.assertEqual(self.grant(Identity("42", channels=("*",)), ["x"]), (("user:42", "channel:x"), ()))
        self.assertEqual(
            self.grant(Identity("42"), ["x"], channels_open=True), (("user:42", "channel:x"), ())
        )

    def test_no_permission(self):
        """Without permission the connection opens without the channel."""
        self.assertEqual(self.grant(Identity("42"), ["x", "x"]), (("user:42",), ("channel:x",)))

    def test_names_that_are_no_channels(self):
        """Empty names are passed over, others that can be no subject are refused even where all is open."""
        granted, refused = self.grant(
            Identity("42"), ["", "a\n", "x" * 505, "x" * 504, "\ud800"], channels_open=True
        )
        self.assertEqual(granted, ("user:42", "channel:" + "x" * 504))
        self.assertEqual(refused, ("channel:a\n", "channel:" + "x" * 505, "channel:?"))

    def test_limit(self):
        """What is over the limit is refused, never the user's own subject."""
        identity = Identity("42", ("a", "b", "c"), ("*",))
        self.assertEqual(
            self.grant(identity, ["d"], max_subjects=3), (("user:42", "a", "b"), ("c", "channel:d"))
        )
        twice = Identity("42", ("a", "user:42", "a"))
        self.assertEqual(self.grant(twice, max_subjects=2), (("user:42", "a"), ()))
        self.assertEqual(self.grant(Identity("42", ("a",)), max_subjects=0), (("user:42",), ("a",)))
