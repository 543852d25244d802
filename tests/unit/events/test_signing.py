"""Webhook signatures, checked against values made by hand."""

import base64
import hashlib
import hmac

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.events.signing import Signer

BODY = b'{"type":"connected"}'


class SignerTests(SynchronousTestCase):
    """Both forms, one or two secrets."""

    def test_body_signature(self) -> None:
        """The fixed form is the hex HMAC of the body."""
        expected = hmac.new(b"secret", BODY, hashlib.sha256).hexdigest()
        self.assertEqual(Signer(["secret"]).body_signature(BODY), f"sha256={expected}")

    def test_known_value(self) -> None:
        """The example of RFC 4231 (test case 2)."""
        signature = Signer(["Jefe"]).body_signature(b"what do ya want for nothing?")
        self.assertEqual(signature, "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")

    def test_standard_signature(self) -> None:
        """The standard form signs id, timestamp and body."""
        expected = base64.b64encode(hmac.digest(b"secret", b"id-1.17." + BODY, "sha256")).decode()
        self.assertEqual(Signer(["secret"]).standard_signature("id-1", 17, BODY), f"v1,{expected}")

    def test_long_and_short_secrets(self) -> None:
        """Secrets of any length give what HMAC says; past a block of 64 bytes their hash is the key."""
        for size in (1, 63, 64, 65, 500):
            with self.subTest(size=size):
                secret = "s" * size
                expected = hmac.new(secret.encode(), BODY, hashlib.sha256).hexdigest()
                signer = Signer([secret])
                for _ in range(2):  # signing uses nothing up
                    self.assertEqual(signer.body_signature(BODY), f"sha256={expected}")

    def test_decoded_secret(self) -> None:
        """`whsec_` is decoded for the standard form and taken as it is for the fixed one."""
        secret = "whsec_" + base64.b64encode(b"raw key").decode()
        signer = Signer([secret])
        expected = base64.b64encode(hmac.digest(b"raw key", b"i.1." + BODY, "sha256")).decode()
        self.assertEqual(signer.standard_signature("i", 1, BODY), f"v1,{expected}")
        fixed = hmac.new(secret.encode(), BODY, hashlib.sha256).hexdigest()
        self.assertEqual(signer.body_signature(BODY), f"sha256={fixed}")

    def test_rotation(self) -> None:
        """A second secret adds a second standard signature; the fixed form is that of the current one."""
        both = Signer(["new", "old"])
        new, old = Signer(["new"]), Signer(["old"])
        self.assertEqual(
            both.standard_signature("i", 1, BODY),
            f"{new.standard_signature('i', 1, BODY)} {old.standard_signature('i', 1, BODY)}",
        )
        self.assertEqual(both.body_signature(BODY), new.body_signature(BODY))

    def test_unsigned(self) -> None:
        """Without a secret there is no signature."""
        self.assertIsNone(Signer([]).body_signature(BODY))
        self.assertIsNone(Signer([]).standard_signature("i", 1, BODY))

    def test_bad_secret(self) -> None:
        """`whsec_` without base64 behind it is an error at once, not at the first event."""
        for secret in ("whsec_", "whsec_!!!", "whsec_abc"):
            with self.assertRaises(ValueError):
                Signer([secret])

    def test_secret_is_not_shown(self) -> None:
        """The repr holds no key."""
        self.assertNotIn("hush", repr(Signer(["hush"])))
