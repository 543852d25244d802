"""W3C Trace Context: what is passed on."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain.trace import message_traceparent, valid_traceparent

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PARENT_ID = "b7ad6b7169203331"
GOOD = f"00-{TRACE_ID}-{PARENT_ID}-01"
OTHER = f"00-{TRACE_ID}-{PARENT_ID}-00"


class ValidTests(SynchronousTestCase):
    def test_valid(self) -> None:
        """Version 00 with its four parts, and later versions that may have more."""
        for value in (
            GOOD,
            OTHER,
            f"00-{TRACE_ID}-{PARENT_ID}-ff",
            f"01-{TRACE_ID}-{PARENT_ID}-01",
            f"fe-{TRACE_ID}-{PARENT_ID}-01-what-the.future_brings",
            f"01-{TRACE_ID}-{PARENT_ID}-01-" + "x" * 200,
        ):
            self.assertEqual(valid_traceparent(value), value)

    def test_invalid(self) -> None:
        """Everything that the recommendation forbids, and what could break out of a header or of JSON."""
        for value in (
            "",
            "nonsense",
            GOOD.upper(),
            f" {GOOD}",
            f"{GOOD} ",
            f"{GOOD}\n",
            f"{GOOD}-",
            f"{GOOD}-more",
            f"{GOOD}, {GOOD}",
            f"ff-{TRACE_ID}-{PARENT_ID}-01",
            f"0-{TRACE_ID}-{PARENT_ID}-01",
            f"0g-{TRACE_ID}-{PARENT_ID}-01",
            f"00-{'0' * 32}-{PARENT_ID}-01",
            f"00-{TRACE_ID}-{'0' * 16}-01",
            f"00-{TRACE_ID[1:]}-{PARENT_ID}-01",
            f"00-{TRACE_ID}0-{PARENT_ID}-01",
            f"00-{TRACE_ID}-{PARENT_ID[1:]}-01",
            f"00-{TRACE_ID}-{PARENT_ID}",
            f"00-{TRACE_ID}-{PARENT_ID}-1",
            f"00-{TRACE_ID}-{PARENT_ID}-001",
            f"01-{TRACE_ID}-{PARENT_ID}-01x",
            f'01-{TRACE_ID}-{PARENT_ID}-01-"',
            f"01-{TRACE_ID}-{PARENT_ID}-01-\\",
            f"01-{TRACE_ID}-{PARENT_ID}-01-a\r\nX: y",
            f"01-{TRACE_ID}-{PARENT_ID}-01-é",
            f"01-{TRACE_ID}-{PARENT_ID}-01-" + "x" * 202,
            f"00-{TRACE_ID[:-1]}\u0661-{PARENT_ID}-01",
        ):
            self.assertIsNone(valid_traceparent(value), value)

    def test_no_text(self) -> None:
        """Values of another type are none."""
        for value in (None, 0, True, GOOD.encode(), [GOOD], {"traceparent": GOOD}):
            self.assertIsNone(valid_traceparent(value))


class MessageTests(SynchronousTestCase):
    def test_places(self) -> None:
        """The top level first, then `meta`."""
        cases: list[tuple[dict[str, Any], str | None]] = [
            ({"traceparent": GOOD}, GOOD),
            ({"traceparent": GOOD, "meta": {"traceparent": OTHER}}, GOOD),
            ({"meta": {"traceparent": OTHER}}, OTHER),
            ({"traceparent": "nonsense", "meta": {"traceparent": OTHER}}, OTHER),
            ({"traceparent": 7, "meta": {"traceparent": OTHER}}, OTHER),
            ({"traceparent": "nonsense", "meta": {"traceparent": "nonsense"}}, None),
            ({"meta": [OTHER]}, None),
            ({"meta": OTHER}, None),
            ({"meta": None}, None),
            ({}, None),
        ]
        for message, expected in cases:
            self.assertEqual(message_traceparent(message), expected, message)
