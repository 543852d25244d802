"""Demo tokens and the names in them."""

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.demo.config import DemoConfig, SettingsError
from ws_gateway.demo.tokens import TokenIssuer, user_name


class UserNameTests(SynchronousTestCase):
    def test_as_the_demo_uses_it(self) -> None:
        """Blanks around a name and doubled ones go; what looks the same is the same."""
        self.assertEqual(user_name("  Ada   Lovelace "), "Ada Lovelace")
        self.assertEqual(user_name("Zoe\u0308"), "Zo\u00eb")
        self.assertEqual(user_name("\u674e\u96f7"), "\u674e\u96f7")

    def test_refused(self) -> None:
        """Nothing, too much, control characters and invisible direction marks are no names."""
        for text in ("", "   ", "x" * 33, "a\x00b", "a\u202eb", "a\u200bb", "\ud800"):
            self.assertIsNone(user_name(text), repr(text))
        self.assertEqual(user_name("x" * 32), "x" * 32)


class TokenIssuerTests(SynchronousTestCase):
    def _file(self, key: "rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey") -> str:
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        return path

    def test_claims(self) -> None:
        """A token names the user and ends one hour after it began."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        config = DemoConfig(demo_mode=True, jwt_key_file=self._file(key))
        token = TokenIssuer.from_config(config, lambda: 1700000000.9).issue("ada")
        claims = jwt.decode(token.jwt, key.public_key(), algorithms=["RS256"], options={"verify_exp": False})
        self.assertEqual(claims, {"user_id": "ada", "iat": 1700000000, "exp": 1700003600})
        self.assertEqual(token.expires_at, 1700003600)
        self.assertNotIn(token.jwt, repr(token))

    def test_secret(self) -> None:
        """HS algorithms sign with the secret."""
        config = DemoConfig(demo_mode=True, jwt_alg="HS256", jwt_secret="s" * 32)
        token = TokenIssuer.from_config(config, lambda: 1700000000.0).issue("ada")
        self.assertEqual(
            jwt.decode(token.jwt, "s" * 32, algorithms=["HS256"], options={"verify_exp": False})["user_id"],
            "ada",
        )

    def test_wrong_keys(self) -> None:
        """A key that is missing, no key, or of the wrong kind is told at start, in one line."""
        garbage = self.mktemp()
        with open(garbage, "w") as file:
            file.write("no key")
        curve = self._file(ec.generate_private_key(ec.SECP256R1()))
        for path in (self.mktemp(), garbage, curve):
            config = DemoConfig(demo_mode=True, jwt_key_file=path)
            with self.assertRaises(SettingsError) as caught:
                TokenIssuer.from_config(config, lambda: 0.0)
            (line,) = caught.exception.problems
            self.assertIn(f"DEMO_JWT_PRIVATE_KEY_FILE={path!r}", line)
            self.assertNotIn("\n", line)
