"""One suite for every key source; a new one is a new subclass with nothing but its `make`."""

import json
from collections.abc import Callable

from jwt.algorithms import get_default_algorithms
from twisted.internet.defer import succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ws_gateway.auth.jwks import JwksKeys, JwksRules
from ws_gateway.auth.keys import SecretKeys, StaticKeys, key_fits
from ws_gateway.interfaces import IKeySource
from ws_gateway.testing.auth import FakeKeys, Issuer
from ws_gateway.testing.metrics import FakeMetrics


def key_source_tests(make: Callable[[], tuple[IKeySource, str, str]]) -> type[SynchronousTestCase]:
    """The suite that every key source passes.

    :param make: gives a new source that has its keys at hand, an algorithm that it has a key for, and one of
        another family, that it has none for.
    """

    class KeySourceTests(SynchronousTestCase):
        """What every key source promises."""

        def setUp(self):
            self.source, self.known, self.unknown = make()

        def test_provides(self):
            """It provides IKeySource."""
            self.assertTrue(verifyObject(IKeySource, self.source))

        def test_a_key_that_fits(self):
            """Keys come prepared and fit the algorithm of the header."""
            found = self.successResultOf(self.source.candidates({"alg": self.known}))
            self.assertTrue(found)
            self.assertEqual([key_fits(self.known, key) for key in found], [True] * len(found))

        def test_no_key(self):
            """An algorithm without a key has no candidates; that is no error."""
            self.assertEqual(list(self.successResultOf(self.source.candidates({"alg": self.unknown}))), [])

        def test_the_same_again(self):
            """Asking twice gives the very same keys: nothing is loaded or prepared again."""
            first = self.successResultOf(self.source.candidates({"alg": self.known}))
            second = self.successResultOf(self.source.candidates({"alg": self.known}))
            self.assertEqual([id(key) for key in first], [id(key) for key in second])

        def test_further_parameters(self):
            """Header parameters that say nothing about the key do no harm."""
            header = {"alg": self.known, "typ": "JWT", "x5t": 7}
            self.assertTrue(self.successResultOf(self.source.candidates(header)))

    return KeySourceTests


def _static(algorithm: str) -> Callable[[], tuple[IKeySource, str, str]]:
    issuer = Issuer.generate(algorithm)
    other = "EdDSA" if algorithm != "EdDSA" else "RS256"
    return lambda: (StaticKeys(issuer.public_pem, [algorithm, other]), algorithm, other)


class StaticRsaTests(key_source_tests(_static("RS256"))):
    """RSA keys in PEM."""


class StaticEcTests(key_source_tests(_static("ES256"))):
    """Keys on an elliptic curve in PEM."""


class StaticEdTests(key_source_tests(_static("EdDSA"))):
    """Edwards keys in PEM."""


class SecretTests(key_source_tests(lambda: (SecretKeys("s" * 32, ["HS256", "HS512"]), "HS256", "RS256"))):
    """A shared secret."""


def _by_url(algorithm: str, kid: str | None) -> Callable[[], tuple[IKeySource, str, str]]:
    issuer = Issuer.generate(algorithm)
    other = "EdDSA" if algorithm != "EdDSA" else "RS256"
    entry = get_default_algorithms()[algorithm].to_jwk(issuer.verification_key, as_dict=True)
    body = json.dumps({"keys": [{**entry, "kid": kid}]}).encode()

    def make() -> tuple[IKeySource, str, str]:
        clock = Clock()
        keys = JwksKeys(
            lambda: succeed(body),
            [algorithm, other],
            JwksRules(),
            clock,
            clock.seconds,
            lambda: 0.0,
            FakeMetrics(),
        )
        keys.startService()
        return keys, algorithm, other

    return make


class JwksRsaTests(key_source_tests(_by_url("RS256", "2024-01"))):
    """RSA keys by URL."""


class JwksEcTests(key_source_tests(_by_url("ES256", None))):
    """Keys on an elliptic curve by URL, without a name."""


class JwksEdTests(key_source_tests(_by_url("EdDSA", "ed"))):
    """Edwards keys by URL."""


class FakeTests(key_source_tests(lambda: (FakeKeys({"HS256": [b"s" * 32]}), "HS256", "RS256"))):
    """The fake."""
