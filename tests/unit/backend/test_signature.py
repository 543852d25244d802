"""Signatures: what is believed and what is not."""

import base64
import hashlib
import hmac

from twisted.trial import unittest

from ws_gateway.backend import Reason, SignatureInvalid, sign, verify

NOW = 1_700_000_000
BODY = b'{"type":"connected"}'
ID = "0190c3f2-7d3c-7b62-9a49-0d6f1d1f6c11"
SECRET = "first secret"
OTHER = "second secret"
STANDARD = ("webhook-id", "webhook-timestamp", "webhook-signature")


def standard(
    body: bytes = BODY, key: bytes = SECRET.encode(), timestamp: object = NOW, event_id: str = ID
) -> dict[str, str]:
    """The Standard form, computed here on its own."""
    content = f"{event_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": event_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
    }


def older(body: bytes = BODY, key: bytes = SECRET.encode()) -> dict[str, str]:
    """The older form, computed here on its own."""
    return {"X-Webhook-Signature": "sha256=" + hmac.new(key, body, hashlib.sha256).hexdigest()}


class SignatureTestCase(unittest.SynchronousTestCase):
    """Shared assertion."""

    def assertRefused(
        self,
        headers: dict[str, str],
        reason: Reason,
        secrets: tuple[str, ...] = (SECRET,),
        tolerance: float = 300,
        now: float = NOW,
        require_timestamp: bool = False,
    ) -> None:
        """The headers are refused for this reason."""
        error = self.assertRaises(
            SignatureInvalid,
            verify,
            BODY,
            headers,
            secrets,
            tolerance=tolerance,
            now=now,
            require_timestamp=require_timestamp,
        )
        self.assertEqual((error.reason, str(error.reason)), (reason, reason.value))
        for secret in secrets:
            self.assertNotIn(secret, str(error))


class StandardFormTests(SignatureTestCase):
    """`webhook-id`, `webhook-timestamp`, `webhook-signature`."""

    def test_published_vector(self) -> None:
        """The example that implementations of Standard Webhooks share is believed."""
        headers = {
            "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "webhook-timestamp": "1614265330",
            "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        }
        secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        verify(b'{"test": 2432232314}', headers, [secret], now=1614265330)
        made = sign(b'{"test": 2432232314}', [secret], event_id=headers["webhook-id"], now=1614265330.9)
        self.assertEqual({name: made[name] for name in STANDARD}, headers)

    def test_believed(self) -> None:
        """The three headers are enough among others; names may have any case, values blanks around them."""
        verify(BODY, {"Host": "app", **standard(), "User-Agent": "x"}, [SECRET], now=NOW)
        verify(BODY, {name.title(): f" {value}\t" for name, value in standard().items()}, [SECRET], now=NOW)

    def test_system_clock(self) -> None:
        """Without `now` the system's clock is asked: a signature of 2023 is too old."""
        error = self.assertRaises(SignatureInvalid, verify, BODY, standard(), [SECRET])
        self.assertEqual(error.reason, Reason.TOO_OLD)
        verify(BODY, sign(BODY, [SECRET], event_id=ID), [SECRET])

    def test_every_part_is_signed(self) -> None:
        """Another body, id, time or secret does not fit."""
        good = standard()
        self.assertRefused(standard(body=BODY + b" "), Reason.MISMATCH)
        self.assertRefused({**good, "webhook-id": ID[:-1]}, Reason.MISMATCH)
        self.assertRefused({**good, "webhook-timestamp": str(NOW + 1)}, Reason.MISMATCH)
        self.assertRefused(standard(key=b"guess"), Reason.MISMATCH)
        self.assertRefused(standard(key=b""), Reason.MISMATCH)

    def test_decoded_secret(self) -> None:
        """A secret written `whsec_<base64>` is decoded; its text is not the key."""
        secret = "whsec_" + base64.b64encode(b"\x00key\xff").decode()
        verify(BODY, standard(key=b"\x00key\xff"), [secret], now=NOW)
        self.assertRefused(standard(key=secret.encode()), Reason.MISMATCH, secrets=(secret,))

    def test_rotation(self) -> None:
        """Any of several signatures by any of several secrets is enough, wherever it stands."""
        first, second = standard()["webhook-signature"], standard(key=OTHER.encode())["webhook-signature"]
        both = {**standard(), "webhook-signature": f"{first} {second}"}
        for secrets in ([SECRET], [OTHER], ["older", OTHER], ["", OTHER, " "]):
            verify(BODY, both, secrets, now=NOW)
        verify(BODY, standard(), [OTHER, f" {SECRET}\n"], now=NOW)
        self.assertRefused(both, Reason.MISMATCH, secrets=("a third",))

    def test_other_versions(self) -> None:
        """Signatures of versions that we do not know are skipped, and are not enough."""
        signature = standard()["webhook-signature"]
        verify(BODY, {**standard(), "webhook-signature": f"v1a,xyz  {signature} v2"}, [SECRET], now=NOW)
        for unknown in ("", "v1a,xyz", signature.replace("v1,", "v2,"), signature.removeprefix("v1,"), "v1"):
            refused = Reason.MISMATCH if unknown == "v1" else Reason.MALFORMED
            self.assertRefused({**standard(), "webhook-signature": unknown}, refused)

    def test_odd_signatures(self) -> None:
        """Signatures of any characters are compared without an error."""
        for value in ("v1,", "v1,é", "v1,\udc80", "v1," + "A" * 44, "v1,\x00"):
            self.assertRefused({**standard(), "webhook-signature": value}, Reason.MISMATCH)

    def test_incomplete(self) -> None:
        """Each of the three headers must be there; a right older form does not stand in for a missing one."""
        for name in STANDARD:
            headers = {key: value for key, value in standard().items() if key != name}
            self.assertRefused({**headers, **older()}, Reason.INCOMPLETE)

    def test_repeated(self) -> None:
        """A header that stands there twice, in whatever case, is refused."""
        for name in (*STANDARD, "x-webhook-signature"):
            everything = {**standard(), "x-webhook-signature": older()["X-Webhook-Signature"]}
            self.assertRefused({**everything, name.upper(): everything[name]}, Reason.MALFORMED)

    def test_unreadable(self) -> None:
        """An id that could blur what is signed is refused, and a time that is no plain number."""
        for event_id in ("", "a.1", "é", "a\x00b", "a\nb"):
            self.assertRefused(
                {**standard(), "webhook-id": event_id, "webhook-signature": "v1,x"}, Reason.MALFORMED
            )
        self.assertRefused(standard(event_id="a.1"), Reason.MALFORMED)
        for timestamp in ("", "-1", "1.5", "1e9", "١٢٣", "²", "0x10", "1_0", "9" * 13, "nan"):
            self.assertRefused(standard(timestamp=timestamp), Reason.MALFORMED)

    def test_age(self) -> None:
        """The time may differ by the tolerance in both directions, and not by more."""
        for now in (NOW - 300, NOW + 300):
            verify(BODY, standard(), [SECRET], now=now)
        self.assertRefused(standard(), Reason.TOO_OLD, now=NOW + 300.5)
        self.assertRefused(standard(), Reason.TOO_NEW, now=NOW - 300.5)
        verify(BODY, standard(), [SECRET], tolerance=0, now=NOW)
        self.assertRefused(standard(), Reason.TOO_OLD, tolerance=0, now=NOW + 1)

    def test_age_after_signature(self) -> None:
        """Only an authentic request is called too old: a forged one is a mismatch."""
        self.assertRefused(standard(key=b"guess"), Reason.MISMATCH, now=NOW + 1000)

    def test_no_number(self) -> None:
        """A tolerance or a clock that is no number lets nothing through."""
        self.assertRefused(standard(), Reason.TOO_OLD, tolerance=float("nan"))
        self.assertRefused(standard(), Reason.TOO_OLD, now=float("nan"))


class OlderFormTests(SignatureTestCase):
    """`X-Webhook-Signature`."""

    def test_believed(self) -> None:
        """The header alone is enough, whatever the time."""
        verify(BODY, older(), [SECRET])
        verify(BODY, {"x-webhook-signature": " " + older()["X-Webhook-Signature"]}, [OTHER, SECRET])

    def test_not_decoded(self) -> None:
        """The key is the secret's text, also where it begins with `whsec_`."""
        secret = "whsec_" + base64.b64encode(b"key").decode()
        verify(BODY, older(key=secret.encode()), [secret])
        self.assertRefused(older(key=b"key"), Reason.MISMATCH, secrets=(secret,))

    def test_hex_case(self) -> None:
        """The hexadecimal digits may be capitals."""
        digest = older()["X-Webhook-Signature"].removeprefix("sha256=")
        verify(BODY, {"X-Webhook-Signature": "sha256=" + digest.upper()}, [SECRET])

    def test_refused(self) -> None:
        """Another body or secret does not fit; other schemes and bare digits cannot be read."""
        self.assertRefused(older(body=b""), Reason.MISMATCH)
        self.assertRefused(older(key=b""), Reason.MISMATCH)
        self.assertRefused({"X-Webhook-Signature": "sha256=\udcff"}, Reason.MISMATCH)
        digest = older()["X-Webhook-Signature"].removeprefix("sha256=")
        for value in ("", "sha256=", digest, "sha1=" + digest, "SHA256=" + digest):
            self.assertRefused({"X-Webhook-Signature": value}, Reason.MALFORMED)

    def test_forbidden(self) -> None:
        """With `require_timestamp` a recorded request whose other headers were taken off is refused."""
        verify(BODY, {**standard(), **older()}, [SECRET], now=NOW, require_timestamp=True)
        self.assertRefused(older(), Reason.NO_TIMESTAMP, require_timestamp=True)
        self.assertRefused({}, Reason.MISSING, require_timestamp=True)


class BothFormsTests(SignatureTestCase):
    """Requests that carry both, as the gateway's do."""

    def test_no_second_chance(self) -> None:
        """A right older form does not save a wrong, old or unreadable Standard form."""
        self.assertRefused({**standard(key=b"guess"), **older()}, Reason.MISMATCH)
        self.assertRefused({**standard(), **older()}, Reason.TOO_OLD, now=NOW + 1000)
        self.assertRefused({**standard(), **older(), "webhook-signature": "x"}, Reason.MALFORMED)

    def test_rotation(self) -> None:
        """A backend that knows only the previous secret believes a gateway that signs the older form anew."""
        second = standard(key=OTHER.encode())["webhook-signature"]
        headers = {**older(), **standard()}
        headers["webhook-signature"] += " " + second
        verify(BODY, headers, [OTHER], now=NOW)


class SecretsTests(SignatureTestCase):
    """Settings that are wrong are errors of their own kind, never a pass."""

    def test_none(self) -> None:
        """Without a secret nothing is verified, signed with the empty key or not."""
        empty = {**standard(key=b""), **older(key=b"")}
        for secrets in ([], [""], [" ", "\n"]):
            for headers in ({}, empty, older(key=b"")):
                self.assertRaises(ValueError, verify, BODY, headers, secrets, now=NOW)
            self.assertRaises(ValueError, sign, BODY, secrets, event_id=ID)

    def test_one_text(self) -> None:
        """A single text in place of the list is refused: each of its letters would be a secret."""
        self.assertRaises(TypeError, verify, BODY, older(key=b"f"), SECRET)
        self.assertRaises(TypeError, verify, BODY, older(key=b"f"), SECRET.encode())

    def test_no_base64(self) -> None:
        """A `whsec_` secret that cannot be decoded is named without being shown, whatever form comes."""
        for secret in ("whsec_", "whsec_canary!", "whsec_é", "whsec_QQ"):
            for headers in (standard(), older()):
                error = self.assertRaises(ValueError, verify, BODY, headers, [SECRET, secret], now=NOW)
                self.assertIn("whsec_", str(error))
                self.assertNotIn("canary", repr(error))
                self.assertIsNone(error.__cause__ or error.__context__)


class SignTests(SignatureTestCase):
    """Signing for tests of one's own receiver."""

    def test_as_the_gateway(self) -> None:
        """Both forms come out; every secret signs the Standard form, the first one the older form."""
        headers = sign(BODY, [SECRET, "", OTHER], event_id=ID, now=NOW)
        first, second = headers["webhook-signature"].split()
        self.assertEqual(headers, {**standard(), **older(), "webhook-signature": f"{first} {second}"})
        self.assertEqual(first, standard()["webhook-signature"])
        self.assertEqual(second, standard(key=OTHER.encode())["webhook-signature"])
