"""One suite for every authenticator; a new one is a new subclass with nothing but its `make`."""

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ws_gateway.auth.claims import ClaimRules
from ws_gateway.auth.jwt import JwtAuthenticator
from ws_gateway.domain.messages import Handshake, Identity
from ws_gateway.errors import HandshakeRefused, KeysUnavailable, RefusalReason
from ws_gateway.interfaces import IAuthenticator
from ws_gateway.testing.auth import FakeAuthenticator, FakeKeys, Issuer, bearer

_ISSUER = Issuer("HS256", b"s" * 32)
_GOOD = _ISSUER.token(user_id="42")
_BAD = Issuer("HS256", b"other secret of enough length").token(user_id="42")


def authenticator_tests(make: Callable[[], tuple[IAuthenticator, object]]) -> type[SynchronousTestCase]:
    """The suite that every authenticator passes.

    :param make: gives a new authenticator, which accepts _GOOD and refuses _BAD, and whatever makes its
        answers wait (`hang()`, `release()`, `waiting`, `fail_with()`).
    """

    class AuthenticatorTests(SynchronousTestCase):
        """What every authenticator promises."""

        def setUp(self):
            self.authenticator, self.answers = make()

        def refusal_of(self, handshake: Handshake) -> HandshakeRefused:
            return self.failureResultOf(self.authenticator.authenticate(handshake), HandshakeRefused).value

        def test_provides(self):
            """It provides IAuthenticator."""
            self.assertTrue(verifyObject(IAuthenticator, self.authenticator))

        def test_good(self):
            """A good token tells, at once, whose it is."""
            identity = self.successResultOf(self.authenticator.authenticate(bearer(_GOOD)))
            self.assertEqual(identity.user_id, "42")

        def test_bad(self):
            """A bad token is refused, and the refusal holds nothing of it."""
            refused = self.refusal_of(bearer(_BAD))
            self.assertIs(refused.reason, RefusalReason.SIGNATURE)
            for part in _BAD.split("."):
                self.assertNotIn(part, repr(refused) + str(refused) + refused.detail)

        def test_missing(self):
            """Without a token the reason is `missing`."""
            self.assertIs(self.refusal_of(Handshake("/ws", (), {})).reason, RefusalReason.MISSING)

        def test_first_found_decides(self):
            """A bad token in the header is not rescued by a good one in the query."""
            self.refusal_of(Handshake("/ws", (("token", _GOOD),), {"authorization": (f"Bearer {_BAD}",)}))

        def test_waits(self):
            """Two who wait for a key are both answered when it comes."""
            self.answers.hang()
            first = self.authenticator.authenticate(bearer(_GOOD))
            second = self.authenticator.authenticate(bearer(_BAD))
            self.assertNoResult(first)
            self.assertNoResult(second)
            self.answers.release()
            self.assertEqual(self.successResultOf(first).user_id, "42")
            self.failureResultOf(second, HandshakeRefused)

        def test_cancelled(self):
            """Who cancels while a key is awaited leaves nothing behind, and disturbs nobody."""
            self.answers.hang()
            gone = self.authenticator.authenticate(bearer(_GOOD))
            stays = self.authenticator.authenticate(bearer(_GOOD))
            gone.addErrback(lambda failure: None)
            gone.cancel()
            self.successResultOf(gone)
            self.assertEqual(self.answers.waiting, 1)
            self.answers.release()
            self.assertEqual(self.successResultOf(stays).user_id, "42")

        def test_keys_unavailable(self):
            """That no key could be loaded is told as such, not as a bad token."""
            self.answers.fail_with(KeysUnavailable("no key was ever loaded", 5.0))
            failure = self.failureResultOf(self.authenticator.authenticate(bearer(_GOOD)), KeysUnavailable)
            self.assertEqual(failure.value.retry_after, 5.0)

    return AuthenticatorTests


def _jwt() -> tuple[IAuthenticator, FakeKeys]:
    keys = FakeKeys({"HS256": [_ISSUER.verification_key]})
    return JwtAuthenticator(keys, ["HS256"], lambda: 1000.0, ClaimRules()), keys


def _fake() -> tuple[IAuthenticator, FakeAuthenticator]:
    fake = FakeAuthenticator({_GOOD: Identity("42")})
    return fake, fake


class JwtTests(authenticator_tests(_jwt)):
    """JSON Web Tokens."""


class FakeTests(authenticator_tests(_fake)):
    """The fake."""
