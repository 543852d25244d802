"""What answers of a webhook target mean."""

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.errors import EventFailed, EventRefused, TargetDown
from ws_gateway.events.classify import judge, parse_retry_after

DOWN = {*range(300, 400), 401, 403, 404, 405, 408, 410, 425, 429, 502, 503, 504}


class JudgeTests(SynchronousTestCase):
    """The table of contract section 3."""

    def test_every_status(self) -> None:
        """Each status from 100 to 699 has the meaning of the table."""
        for status in range(100, 700):
            error = judge(status, 3.0)
            if 200 <= status < 300:
                self.assertIsNone(error, status)
            elif status in DOWN or status < 200 or status >= 600:
                self.assertIs(type(error), TargetDown, status)
                self.assertEqual(error.retry_after, 3.0)
            elif status >= 500:
                self.assertIs(type(error), EventFailed, status)
                self.assertEqual(error.retry_after, 3.0)
            else:
                self.assertIs(type(error), EventRefused, status)

    def test_detail(self) -> None:
        """The detail names the status."""
        self.assertIn("429", judge(429).detail)
        self.assertIn("redirects are not followed", judge(302).detail)


class RetryAfterTests(SynchronousTestCase):
    """Seconds, a date, or nonsense."""

    def test_seconds(self) -> None:
        """A number is taken as it is."""
        self.assertEqual(parse_retry_after(b"120", 0.0), 120.0)
        self.assertEqual(parse_retry_after(b" 0 ", 0.0), 0.0)

    def test_date(self) -> None:
        """A date is compared with the wall clock; all three forms of HTTP are read."""
        now = 784_111_777.0 - 30
        self.assertEqual(parse_retry_after(b"Sun, 06 Nov 1994 08:49:37 GMT", now), 30.0)
        self.assertEqual(parse_retry_after(b"Sunday, 06-Nov-94 08:49:37 GMT", now), 30.0)
        self.assertEqual(parse_retry_after(b"Sun Nov  6 08:49:37 1994", now), 30.0)

    def test_past_date(self) -> None:
        """A date in the past asks for nothing."""
        self.assertEqual(parse_retry_after(b"Sun, 06 Nov 1994 08:49:37 GMT", 1_700_000_000.0), 0.0)

    def test_nonsense(self) -> None:
        """Anything else is ignored."""
        for value in (
            None,
            b"",
            b"soon",
            b"-5",
            b"1.5",
            b"1e9",
            b"9" * 5000,
            b"\xff\xfe",
            b"\xb2",
            b"Sun, 99 Nov 1994 08:49:37 GMT",
            b"NaN",
        ):
            self.assertIsNone(parse_retry_after(value, 0.0), value)
