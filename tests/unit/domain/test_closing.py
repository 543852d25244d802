"""Close codes as a table."""

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain import closing
from ws_gateway.domain.closing import Closing, cut_reason, kicked, violation
from ws_gateway.domain.messages import DisconnectCause


class TableTests(SynchronousTestCase):
    def test_contract(self) -> None:
        """Codes, reasons and causes as the contract says."""
        for ending, code, cause in (
            (closing.TOKEN_EXPIRED, 4401, DisconnectCause.TOKEN_EXPIRED),
            (closing.TOO_OLD, 1012, DisconnectCause.SERVER),
            (closing.SHUTDOWN, 1012, DisconnectCause.SHUTDOWN),
            (closing.SLOW_CONSUMER, 4408, DisconnectCause.SLOW_CONSUMER),
            (closing.RATE_LIMITED, 4429, DisconnectCause.RATE_LIMITED),
            (closing.PING_TIMEOUT, 1006, DisconnectCause.PING_TIMEOUT),
        ):
            self.assertEqual((ending.code, ending.cause), (code, cause))
            self.assertLessEqual(len(ending.reason.encode()), closing.MAX_REASON_BYTES)
        self.assertEqual(closing.TOKEN_EXPIRED.reason, "token expired")
        self.assertEqual(
            (closing.UNAUTHORIZED_CODE, closing.KICKED_CODE, closing.USER_FULL_CODE), (4401, 4403, 4429)
        )

    def test_violations(self) -> None:
        """1009 is `too_large`, the others are protocol errors."""
        for code, cause in {
            1002: DisconnectCause.PROTOCOL_ERROR,
            1007: DisconnectCause.PROTOCOL_ERROR,
            1009: DisconnectCause.TOO_LARGE,
        }.items():
            self.assertEqual(violation(code, "why"), Closing(code, "why", cause))

    def test_kicked(self) -> None:
        """A kick carries the caller's code and reason."""
        self.assertEqual(kicked(4999, "bye"), Closing(4999, "bye", DisconnectCause.KICKED))

    def test_both_cut(self) -> None:
        """Nobody can make a reason longer than a control frame holds."""
        self.assertEqual(kicked(4403, "x" * 500).reason, "x" * 123)
        self.assertEqual(violation(1002, "x" * 500).reason, "x" * 123)


class CutReasonTests(SynchronousTestCase):
    def test_fits(self) -> None:
        """Up to 123 bytes nothing is cut."""
        for reason in ("", "bye", "x" * 123, "é" * 61, "€" * 41):
            self.assertEqual(cut_reason(reason), reason)

    def test_on_a_character(self) -> None:
        """What is longer is cut before the character that does not fit whole."""
        self.assertEqual(cut_reason("x" * 124), "x" * 123)
        self.assertEqual(cut_reason("é" * 62), "é" * 61)
        self.assertEqual(cut_reason("x" + "é" * 62), "x" + "é" * 61)
        self.assertEqual(cut_reason("xx" + "€" * 41), "xx" + "€" * 40)
        for before in range(4):
            cut = cut_reason("x" * before + "😀" * 31)
            self.assertEqual(cut, "x" * before + "😀" * 30)

    def test_no_unicode(self) -> None:
        """A lone surrogate becomes something that can be sent."""
        self.assertEqual(cut_reason("a\ud800b"), "a?b")
