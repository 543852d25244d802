"""What was written, judged: at the start and for a gateway that runs."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.assembly.reading import Reading, read, read_again
from ws_gateway.errors import ConfigError
from ws_gateway.testing.auth import Issuer

SECRET = "canary-secret-of-32-bytes-or-more!"
RSA, OTHER, ELLIPTIC = (Issuer.generate(name).public_pem for name in ("RS256", "RS256", "ES256"))


def no_file(path: str) -> str:
    raise FileNotFoundError(2, "No such file or directory")


class Case(SynchronousTestCase):
    def read(self, **environ: str) -> Reading:
        return read({"EVENTS_MODE": "none", **environ}, {}, no_file)

    def again(self, start: Reading, **environ: str) -> Reading:
        return read_again(start, {"EVENTS_MODE": "none", **environ}, {}, no_file)

    def candidates(self, reading: Reading, algorithm: str) -> Any:
        assert reading.token_keys is not None
        return self.successResultOf(reading.token_keys.candidates({"alg": algorithm}))


class ReadTests(Case):
    """At the start."""

    def test_keys(self) -> None:
        """Keys are loaded, whichever setting holds them; those at a URL are not."""
        self.assertEqual(len(self.candidates(self.read(JWT_PUBLIC_KEY=RSA), "RS256")), 1)
        secret = self.read(JWT_ALG="HS256", JWT_SECRET=SECRET)
        self.assertEqual(self.candidates(secret, "HS256"), (SECRET.encode(),))
        self.assertIsNone(self.read(JWT_JWKS_URL="https://a/keys").token_keys)
        self.assertNotIn("canary-", repr(secret))

    def test_bad_key(self) -> None:
        """A key that is of no use names both settings."""
        error = self.assertRaises(ConfigError, self.read, JWT_PUBLIC_KEY=ELLIPTIC)
        (line,) = error.problems
        self.assertTrue(line.startswith("JWT_PUBLIC_KEY cannot be used with JWT_ALG=RS256: "), line)

    def test_warnings(self) -> None:
        """What an operator should know comes along."""
        self.assertTrue(
            [line for line in self.read(JWT_PUBLIC_KEY=RSA).warnings if "GATEWAY_API_KEY" in line]
        )


class ReadAgainTests(Case):
    """For a gateway that runs."""

    def problem(self, start: Reading, **environ: str) -> str:
        (line,) = self.assertRaises(ConfigError, self.again, start, **environ).problems
        self.assertNotIn("canary-", line)
        return line

    def test_another_key(self) -> None:
        """A key of the same kind is fine, in whichever setting."""
        start = self.read(JWT_PUBLIC_KEY=RSA)
        again = self.again(start, JWT_PUBLIC_KEY=OTHER)
        self.assertNotEqual(
            *([key.public_numbers() for key in self.candidates(one, "RS256")] for one in (start, again))
        )

    def test_more_algorithms(self) -> None:
        """Keys are chosen for the algorithms in force; others wait for a restart."""
        start = self.read(JWT_PUBLIC_KEY=RSA)
        again = self.again(start, JWT_PUBLIC_KEY=RSA + ELLIPTIC, JWT_ALG="RS256,ES256")
        self.assertEqual(len(self.candidates(again, "RS256")), 1)
        self.assertEqual(self.candidates(again, "ES256"), ())
        self.assertEqual(again.settings.token.algorithms, ("RS256", "ES256"))

    def test_key_that_would_shut_everybody_out(self) -> None:
        """A key that fits new algorithms and not those in force is refused, and the line says why."""
        start = self.read(JWT_PUBLIC_KEY=RSA)
        for environ in (
            {"JWT_ALG": "ES256", "JWT_PUBLIC_KEY": ELLIPTIC},
            {"JWT_ALG": "HS256", "JWT_SECRET": SECRET},
        ):
            line = self.problem(start, **environ)
            self.assertIn("cannot be used with JWT_ALG=RS256: ", line)
            self.assertTrue(line.endswith("(only a restart changes JWT_ALG)"), line)
        line = self.problem(start, JWT_PUBLIC_KEY=ELLIPTIC)
        self.assertNotIn("restart", line)

    def test_another_kind_of_source(self) -> None:
        """Whether keys come from a URL is settled at the start."""
        by_hand, by_url = {"JWT_PUBLIC_KEY": RSA}, {"JWT_JWKS_URL": "https://a/keys"}
        for start, again in ((by_hand, by_url), (by_url, by_hand)):
            self.assertEqual(
                self.problem(self.read(**start), **again),
                "JWT_JWKS_URL: only a restart changes whether token keys come from a URL",
            )
        reading = self.again(self.read(**by_url), JWT_JWKS_URL="https://b/keys")
        self.assertIsNone(reading.token_keys)

    def test_bad_settings(self) -> None:
        """Whatever stops a start stops a reload."""
        self.assertIn(
            "WS_PORT='x'", self.problem(self.read(JWT_PUBLIC_KEY=RSA), JWT_PUBLIC_KEY=RSA, WS_PORT="x")
        )
