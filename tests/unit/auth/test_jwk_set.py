"""Key sets: which entries are of use, and which keys a token is tried with."""

import json
from typing import Any

from jwt.algorithms import get_default_algorithms
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.auth.jwk_set import MAX_CANDIDATES, MAX_ENTRIES, BadKeySet, KeySet, parse_key_set
from ws_gateway.testing.auth import Issuer

_ALGORITHMS = ("RS256", "PS256", "ES256", "EdDSA")
_RSA, _EC, _ED = (Issuer.generate(name) for name in ("RS256", "ES256", "EdDSA"))


def entry(issuer: Issuer, **members: Any) -> dict[str, Any]:
    """The public key of an issuer as an entry of a key set."""
    read = get_default_algorithms()[issuer.algorithm].to_jwk(issuer.verification_key, as_dict=True)
    return {**read, **members}


def key_set(*entries: Any, algorithms: tuple[str, ...] = _ALGORITHMS) -> KeySet:
    """A parsed set."""
    return parse_key_set(json.dumps({"keys": entries}).encode(), algorithms)


class UseTests(SynchronousTestCase):
    """Which entries are of use."""

    def assert_skipped(self, reason: str, item: Any) -> None:
        """An entry is passed over for this reason, and one beside it is not."""
        keys = key_set(item, entry(_RSA, kid="good"))
        self.assertEqual((keys.kids, keys.skipped), (("good",), f"1 {reason}"))

    def test_of_use(self) -> None:
        """RSA, EC and Edwards keys; all but their numbers is optional, and null is as good as absent."""
        for issuer in (_RSA, _EC, _ED):
            plain = {name: value for name, value in entry(issuer).items() if name != "key_ops"}
            for members in (
                {},
                {"alg": issuer.algorithm, "use": "sig", "key_ops": ["verify"]},
                {"alg": None, "use": None, "key_ops": None, "kid": None, "d": None},
                {"x5c": ["nonsense"], "x5t": 7, "more": {}},
            ):
                keys = key_set({**plain, **members})
                (found,) = keys.candidates(issuer.algorithm, None)
                self.assertEqual(found, issuer.verification_key)
                self.assertEqual(keys.skipped, "")

    def test_no_object(self) -> None:
        """An entry is an object."""
        for item in (None, 5, "RSA", [], [["kty", "RSA"]], True):
            self.assert_skipped("no object", item)

    def test_another_use(self) -> None:
        """Keys for encryption, or for anything else, verify nothing."""
        for members in (
            {"use": "enc"},
            {"use": ""},
            {"use": 5},
            {"key_ops": ["encrypt"]},
            {"key_ops": []},
            {"key_ops": "verify"},
        ):
            self.assert_skipped("for another use", entry(_RSA, **members))

    def test_unknown_type(self) -> None:
        """A type that nobody here knows, or none."""
        for kty in ("AKP", "rsa", "", None, 5, ["RSA"], {}):
            self.assert_skipped("of unknown type", entry(_RSA, kty=kty))

    def test_symmetric(self) -> None:
        """A secret is never a verification key, whatever algorithm it names."""
        for members in ({}, {"alg": "RS256"}, {"alg": "HS256"}):
            self.assert_skipped("symmetric", {"kty": "oct", "k": "c2VjcmV0", **members})

    def test_private(self) -> None:
        """A private key that is published is nobody's secret any more."""
        for issuer in (_RSA, _EC, _ED):
            written = get_default_algorithms()[issuer.algorithm].to_jwk(issuer.signing_key, as_dict=True)
            self.assert_skipped("private", {**written, "key_ops": ["sign", "verify"]})
            self.assert_skipped("private", {**entry(issuer), "d": 5})

    def test_damaged(self) -> None:
        """Members that are missing, of the wrong type or of no sense."""
        for item in (
            {"kty": "RSA"},
            entry(_RSA, n=None),
            entry(_RSA, e=65537),
            entry(_RSA, n=["AQAB"]),
            entry(_EC, crv=None),
            entry(_EC, y={"a": 1}),
            entry(_ED, x=5),
        ):
            self.assert_skipped("damaged", item)
        for item in (
            entry(_RSA, n=""),
            entry(_RSA, n="A"),
            entry(_RSA, n="\xe9"),
            entry(_RSA, e="AQ"),
            entry(_EC, crv="P-257"),
            entry(_EC, crv="P-384"),
            entry(_EC, x="AAAA"),
            entry(_EC, x="A" * 43),
            entry(_ED, crv="X25519"),
            entry(_ED, x="AAAA"),
        ):
            self.assert_skipped("damaged or on an unknown curve", item)

    def test_kid_of_another_type(self) -> None:
        """A name is a string."""
        for kid in (5, [], {}, True):
            self.assert_skipped("with a kid that is no string", entry(_RSA, kid=kid))

    def test_no_algorithm(self) -> None:
        """A key for algorithms that are not accepted is of no use, and so is one that names another."""
        for item in (
            entry(_RSA, alg="RS512"),
            entry(_RSA, alg="ES256"),
            entry(_RSA, alg=5),
            entry(_RSA, alg="none"),
        ):
            self.assert_skipped("for no algorithm of JWT_ALG", item)
        keys = key_set(entry(_RSA, kid="r"), entry(_EC, kid="e"), algorithms=("ES256",))
        self.assertEqual((keys.kids, keys.skipped), (("e",), "1 for no algorithm of JWT_ALG"))

    def test_all_reasons_are_told(self) -> None:
        """What was passed over is counted by reason."""
        keys = key_set(1, entry(_RSA), {"kty": "oct"}, 2)
        self.assertEqual(keys.skipped, "2 no object, 1 symmetric")

    def test_too_many_entries(self) -> None:
        """A set without end does not hold us up: what stands behind the first entries is passed over."""
        keys = key_set(*[entry(_RSA, kid=str(number)) for number in range(MAX_ENTRIES + 3)])
        self.assertEqual(len(keys), MAX_ENTRIES)
        self.assertEqual(keys.skipped, f"3 behind the first {MAX_ENTRIES}")


class SetTests(SynchronousTestCase):
    """What is a set at all."""

    def test_no_set(self) -> None:
        """Anything but an object with a list of keys is refused, in words that hold nothing of it."""
        for body in (
            b"",
            b"canary",
            b"<html>canary",
            b"[]",
            b"null",
            b"7",
            b'"canary"',
            b"{}",
            b'{"keys": {"canary": 1}}',
            b'{"keys": "canary"}',
            b'{"keys": [NaN]}',
            b'{"keys": [] "canary"',
            b"\xff\xfe{\0}\0",
            b'{"keys": ["\xff"]}',
            b'{"keys": ' + b"[" * 100_000,
        ):
            error = self.assertRaises(BadKeySet, parse_key_set, body, ["RS256"])
            self.assertNotIn("canary", str(error))
            self.assertIsNone(error.__cause__)

    def test_no_key_of_use(self) -> None:
        """A set without a single key of use is no set; the reason says why."""
        error = self.assertRaises(BadKeySet, key_set)
        self.assertIn("it is empty", str(error))
        error = self.assertRaises(BadKeySet, key_set, {"kty": "oct", "k": "canary"})
        self.assertIn("1 symmetric", str(error))
        self.assertNotIn("canary", str(error))

    def test_described(self) -> None:
        """The names of its keys can be shown, long ones cut, control characters escaped."""
        keys = key_set(entry(_RSA, kid="a\n"), entry(_EC), entry(_ED, kid="x" * 5000))
        self.assertEqual(keys.described(), "'a\\n', (no kid), '" + "x" * 64 + "'")


class ChoiceTests(SynchronousTestCase):
    """Which keys a token is tried with."""

    def test_by_name(self) -> None:
        """A token that names a key is tried with that one only."""
        keys = key_set(entry(_RSA, kid="a"), entry(Issuer.generate("RS256"), kid="b"))
        self.assertEqual(keys.candidates("RS256", "a"), (_RSA.verification_key,))
        self.assertEqual(keys.candidates("RS256", "c"), ())
        self.assertEqual(keys.candidates("RS256", ""), ())

    def test_without_a_name(self) -> None:
        """A token that names none is tried with all that fit its algorithm, in the order of the set."""
        other = Issuer.generate("RS256")
        keys = key_set(entry(_RSA, kid="a"), entry(_EC, kid="e"), entry(other))
        self.assertEqual(keys.candidates("RS256", None), (_RSA.verification_key, other.verification_key))
        self.assertEqual(keys.candidates("ES256", None), (_EC.verification_key,))
        self.assertEqual(keys.candidates("EdDSA", None), ())

    def test_keys_without_a_name(self) -> None:
        """A key without a name may be anybody's: it is tried after those of the name."""
        other = Issuer.generate("RS256")
        keys = key_set(entry(other), entry(_RSA, kid="a"))
        self.assertEqual(keys.candidates("RS256", "a"), (_RSA.verification_key, other.verification_key))
        self.assertEqual(keys.candidates("RS256", "z"), (other.verification_key,))

    def test_one_name_twice(self) -> None:
        """One name for keys of two algorithms, or for two keys: the fitting ones are tried."""
        other = Issuer.generate("RS256")
        keys = key_set(entry(_RSA, kid="a"), entry(_EC, kid="a"), entry(other, kid="a"))
        self.assertEqual(keys.candidates("ES256", "a"), (_EC.verification_key,))
        self.assertEqual(keys.candidates("RS256", "a"), (_RSA.verification_key, other.verification_key))

    def test_the_key_names_its_algorithm(self) -> None:
        """A key that says RS256 verifies no PS256, one that says nothing verifies both."""
        self.assertEqual(key_set(entry(_RSA, alg="RS256")).candidates("PS256", None), ())
        self.assertEqual(len(key_set(entry(_RSA)).candidates("PS256", None)), 1)

    def test_not_without_end(self) -> None:
        """One token is tried with so many keys and no more."""
        entries = [entry(_RSA, kid="same") for _ in range(MAX_CANDIDATES + 1)]
        self.assertEqual(len(key_set(*entries).candidates("RS256", "same")), MAX_CANDIDATES)
        self.assertEqual(len(key_set(*entries).candidates("RS256", None)), MAX_CANDIDATES)
        nameless = [entry(_RSA) for _ in range(MAX_CANDIDATES + 1)]
        self.assertEqual(len(key_set(*nameless).candidates("RS256", "any")), MAX_CANDIDATES)

    def test_an_algorithm_that_is_not_accepted(self) -> None:
        """It has no keys."""
        self.assertEqual(key_set(entry(_RSA)).candidates("RS512", None), ())
