"""The table that the measurements end in."""

from pathlib import Path
from typing import Any

from bench.figures import AS_SHIPPED, AUTOBAHN, FULL, figures
from bench.report import Comparison, limits_line, short, table
from twisted.trial.unittest import SynchronousTestCase


def result(rate: float, busy: float = 0.2) -> dict[str, Any]:
    """One measurement as the generator prints it."""
    return {"rate": rate, "p50_ms": 1.0, "p99_ms": 2.0, "generator_busy": busy}


class ComparisonTests(SynchronousTestCase):
    """Ratios."""

    def test_ratio_of_medians(self) -> None:
        """The ratio is that of the medians: one bad run on either side does not move it."""
        ours = [result(300), result(310), result(1)]
        theirs = [result(100), result(9000), result(100)]
        self.assertEqual(Comparison("x", "y", ours, theirs).ratio, 3.0)

    def test_no_ratio_without_both_sides(self) -> None:
        """A failure, a side that was not measured or a rate of nothing give no ratio."""
        self.assertIsNone(Comparison("x", "y", [result(1)], [result(1)], failure="cut").ratio)
        self.assertIsNone(Comparison("x", "y", [result(1)], []).ratio)
        self.assertIsNone(Comparison("x", "y", [result(1)], [result(0)]).ratio)


class TableTests(SynchronousTestCase):
    """What is printed."""

    def test_row(self) -> None:
        """A row has both rates, the ratio, both latencies and how busy the generator was."""
        row = table([Comparison("echo", AUTOBAHN, [result(250_000)], [result(60_000)])]).splitlines()[2]
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        self.assertEqual(
            cells, ["echo", AUTOBAHN, "250 k", "60.0 k", "4.17", "1.00 / 2.00", "1.00 / 2.00", "20 / 20"]
        )

    def test_busy_generator_is_marked(self) -> None:
        """A rate at which the generator had nothing left is marked as a lower bound."""
        row = table([Comparison("echo", AUTOBAHN, [result(1000, busy=0.99)], [result(500)])]).splitlines()[2]
        self.assertIn("> 1.00 k |", row)
        self.assertNotIn("> 500", row)

    def test_failure_is_told(self) -> None:
        """A figure that could not be measured says `failed` in its row and why below the table."""
        lines = table([Comparison("echo", AUTOBAHN, failure="ws-gateway: cut (3)")]).splitlines()
        self.assertIn("failed", lines[2])
        self.assertEqual(lines[3], "echo: ws-gateway: cut (3)")

    def test_columns_align(self) -> None:
        """All lines of the table are equally long, so that it reads well as plain text."""
        one = Comparison("a", AUTOBAHN, [result(1)], [result(2)])
        other = Comparison("a much longer name", AS_SHIPPED, failure="")
        self.assertEqual(len({len(line) for line in table([one, other]).splitlines()}), 1)

    def test_short_rates(self) -> None:
        """Rates have three digits, also where rounding carries."""
        rates = [0, 947.4, 999.6, 1000, 65_149, 99_960, 277_000, 999_499, 999_600, 9_700_000, 17e6]
        self.assertEqual(
            [short(rate) for rate in rates],
            [
                "0",
                "947",
                "1.00 k",
                "1.00 k",
                "65.1 k",
                "100 k",
                "277 k",
                "999 k",
                "1.00 M",
                "9.70 M",
                "17.0 M",
            ],
        )

    def test_limits(self) -> None:
        """What the generator can do stands in one sentence."""
        line = limits_line(
            [
                {"command": "selftest connect", "rate": 31_000},
                {"command": "selftest echo", "rate": 1.5e6, "depth": 8, "payload_bytes": 15},
                {"command": "selftest fanout", "rate": 8e6, "batch": 100},
            ]
        )
        self.assertEqual(
            line,
            "The generator by itself: 31.0 k connects/s, 1.50 M echo/s (8 in flight, 15 B), "
            "8.00 M deliveries/s (batches of 100).",
        )


class FiguresTests(SynchronousTestCase):
    """What is measured."""

    def test_only_the_gateway_gets_tokens(self) -> None:
        """Each figure gives tokens to the gateway and none to what stands beside it."""
        for figure in figures(FULL, Path("/tokens")):
            self.assertIn("--tokens", figure.ours, figure.name)
            self.assertNotIn("--tokens", figure.shared + figure.theirs, figure.name)

    def test_rows_differ(self) -> None:
        """No two rows of the table have the same name beside the same server."""
        rows = [(figure.name, figure.beside) for figure in figures(FULL, Path("/tokens"))]
        self.assertEqual(len(rows), len(set(rows)))
