from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ws_gateway.auth.keys import ALGORITHMS, ReplaceableKeys, SecretKeys, StaticKeys, key_fits
from ws_gateway.interfaces import IKeySource
from ws_gateway.testing.auth import Issuer

RSA = Issuer.generate("RS256")
EC = Issuer.generate("ES256")
ED = Issuer.generate("EdDSA")


def numbers(keys):
    return [key.public_numbers() for key in keys]


class StaticKeysTests(SynchronousTestCase):
    """Public keys from text."""

    def candidates(self, text, algorithm="RS256"):
        return self.successResultOf(StaticKeys(text, [algorithm]).candidates({"alg": algorithm}))

    def assert_is_rsa(self, text):
        self.assertEqual(numbers(self.candidates(text)), numbers([RSA.verification_key]))

    def problem(self, text, algorithms=("RS256",)):
        error = self.assertRaises(ValueError, StaticKeys, text, list(algorithms))
        self.assertIsNone(error.__cause__)
        return str(error)

    def test_layouts(self):
        """Line ends and white space may be as environment variables and YAML leave them."""
        pem = RSA.public_pem
        self.assert_is_rsa(pem)
        self.assert_is_rsa(f"\n\t {pem}  \n")
        self.assert_is_rsa(pem.replace("\n", "\\n"))
        self.assert_is_rsa(pem.replace("\n", "\\r\\n"))
        self.assert_is_rsa(pem.replace("\n", "\r\n"))
        self.assert_is_rsa(pem.replace("\n", " "))
        self.assert_is_rsa("\n".join("    " + line for line in pem.splitlines()))
        self.assert_is_rsa(f'"{pem}"')

    def test_certificate(self):
        """A certificate stands for its key."""
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer")])
        start = datetime(2020, 1, 1, tzinfo=UTC)
        certificate = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(RSA.verification_key)
            .serial_number(1)
            .not_valid_before(start)
            .not_valid_after(start + timedelta(days=1))
            .sign(RSA.signing_key, hashes.SHA256())
        )
        self.assert_is_rsa(certificate.public_bytes(Encoding.PEM).decode())

    def test_key_type_decides(self):
        """With several algorithms and several keys, each algorithm gets the keys of its type, in order."""
        second = Issuer.generate("RS256")
        text = EC.public_pem + RSA.public_pem + second.public_pem
        keys = StaticKeys(text, ["RS256", "PS512", "ES256", "ES384"])
        both = numbers([RSA.verification_key, second.verification_key])
        for algorithm in ("RS256", "PS512"):
            found = self.successResultOf(keys.candidates({"alg": algorithm}))
            self.assertEqual(numbers(found), both)
        self.assertEqual(
            numbers(self.successResultOf(keys.candidates({"alg": "ES256"}))), numbers([EC.verification_key])
        )
        for algorithm in ("ES384", "EdDSA", "RS512", "none"):
            self.assertEqual(self.successResultOf(keys.candidates({"alg": algorithm})), ())

    def test_never_with_hs(self):
        """An HS algorithm beside a public key is refused by name: the key would serve as the secret."""
        self.assertIn("HS256", self.problem(RSA.public_pem, ["RS256", "HS256"]))

    def test_private_key(self):
        """A private key in the place of the public one is refused and not shown."""
        problem = self.problem(RSA.private_pem)
        self.assertIn("private key", problem)
        self.assertNotIn(RSA.private_pem.splitlines()[1], problem)

    def test_unreadable(self):
        """Text without a key, a damaged key and a block of another kind each have their own sentence."""
        lines = RSA.public_pem.splitlines()
        damaged = "\n".join(lines[:2] + lines[3:])
        self.assertIn("no PEM block", self.problem("secret"))
        self.assertIn("cut or damaged", self.problem(damaged))
        self.assertIn("cut or damaged", self.problem(damaged.replace("PUBLIC KEY", "CERTIFICATE")))
        self.assertIn("is no public key", self.problem(RSA.public_pem.replace("PUBLIC KEY", "DH PARAMETERS")))
        self.assertNotIn(lines[1], self.problem(damaged))

    def test_of_no_use(self):
        """A key that fits none of the algorithms is an error at start, not at the first client."""
        self.assertIn("ES256", self.problem(RSA.public_pem, ["ES256"]))
        self.assertIn("ES384", self.problem(EC.public_pem, ["ES384"]))
        self.assertIn("no algorithm", self.problem(EC.public_pem, []))


class SecretKeysTests(SynchronousTestCase):
    """A shared secret."""

    def problem(self, secret, algorithms=("HS256",)):
        return str(self.assertRaises(ValueError, SecretKeys, secret, list(algorithms)))

    def test_trimmed(self):
        """White space around the secret is not part of it."""
        keys = SecretKeys("  a secret \n", ["HS256"])
        self.assertEqual(self.successResultOf(keys.candidates({"alg": "HS256"})), (b"a secret",))
        self.assertEqual(self.successResultOf(keys.candidates({"alg": "HS512"})), ())

    def test_any_bytes(self):
        """A secret from the environment that is not UTF-8 keeps its bytes."""
        keys = SecretKeys(b"\xff\xfe secret".decode("utf-8", "surrogateescape"), ["HS256"])
        self.assertEqual(self.successResultOf(keys.candidates({"alg": "HS256"})), (b"\xff\xfe secret",))

    def test_refused(self):
        """An empty secret, a key in its place and algorithms that take no secret are errors at start."""
        self.assertIn("empty", self.problem(" \n"))
        self.assertIn("public or private key", self.problem(RSA.public_pem))
        self.assertIn("public or private key", self.problem("ssh-rsa AAAA"))
        self.assertIn("RS256", self.problem("a secret", ["HS256", "RS256"]))


class KeyFitsTests(SynchronousTestCase):
    """No key serves an algorithm of another family."""

    def test_table(self):
        """Each key fits exactly the algorithms of its kind, the curve included."""
        fits = {
            name: sorted(algorithm for algorithm in ALGORITHMS if key_fits(algorithm, key))
            for name, key in [
                ("rsa", RSA.verification_key),
                ("p256", EC.verification_key),
                ("p384", Issuer.generate("ES384").verification_key),
                ("ed", ED.verification_key),
                ("secret", b"s"),
                ("text", "s"),
            ]
        }
        self.assertEqual(
            fits,
            {
                "rsa": ["PS256", "PS384", "PS512", "RS256", "RS384", "RS512"],
                "p256": ["ES256"],
                "p384": ["ES384"],
                "ed": ["EdDSA"],
                "secret": ["HS256", "HS384", "HS512"],
                "text": [],
            },
        )
        self.assertFalse(key_fits("none", b"s"))


class ReplaceableKeysTests(SynchronousTestCase):
    """One source after the other."""

    def test_replace(self):
        """Only the keys of the source in force are candidates."""
        keys = ReplaceableKeys(SecretKeys("old", ["HS256"]))
        verifyObject(IKeySource, keys)
        self.assertEqual(self.successResultOf(keys.candidates({"alg": "HS256"})), (b"old",))
        keys.replace(SecretKeys("new", ["HS256"]))
        self.assertEqual(self.successResultOf(keys.candidates({"alg": "HS256"})), (b"new",))
