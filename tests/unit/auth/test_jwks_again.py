"""A key set that an operator asks for again."""

from tests.unit.auth.test_jwks import Case, published
from ws_gateway.testing.auth import Issuer

_OLD = Issuer.generate("ES256")
_NEW = Issuer.generate("ES256")


class FetchAgainTests(Case):
    """Without waiting for the cool-down of tokens."""

    def test_at_once(self) -> None:
        """A fetch begins now; the keys at hand serve until it is over, and then only the new ones."""
        self.load(a=_OLD)
        self.keys.fetch_again()
        self.assertEqual(len(self.fetches), 2)
        self.assertEqual(len(self.found({"alg": "ES256", "kid": "a"})), 1)
        self.fetches[-1].callback(published(b=_NEW))
        self.assertEqual(self.found({"alg": "ES256", "kid": "a"}), [])
        self.assertEqual(len(self.found({"alg": "ES256", "kid": "b"})), 1)

    def test_the_next_one_is_moved(self) -> None:
        """The age of the keys counts from there."""
        self.load(a=_OLD)
        self.clock.advance(200)
        self.keys.fetch_again()
        self.fetches[-1].callback(published(a=_OLD))
        self.clock.advance(200)
        self.assertEqual(len(self.fetches), 2)
        self.clock.advance(100)
        self.assertEqual(len(self.fetches), 3)

    def test_not_beside_one(self) -> None:
        """A fetch that is under way will do."""
        self.keys.startService()
        self.keys.fetch_again()
        self.assertEqual(len(self.fetches), 1)

    def test_not_after_the_end(self) -> None:
        """A service that does not run fetches nothing."""
        self.load(a=_OLD)
        self.keys.stopService()
        self.keys.fetch_again()
        self.assertEqual(len(self.fetches), 1)
