"""The table and the picture that the measurements end in."""

import json
import tempfile
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from bench.comparison import Aim, Bound, Comparison, Row, Unit, row_of
from bench.figures import AS_SHIPPED, AUTOBAHN, FULL, GATEWAY, HEALTH, NCHAN, Figure, Side, figures
from bench.generator import Generator
from bench.measure import compare
from bench.observed import CountingSink, Lateness
from bench.picture import BAR, LEFT, picture
from bench.publishing import BEGIN, END, document_of, publish, readme_table, rows_in, with_table
from bench.regression import regressions
from bench.report import limits_line, table
from bench.servers import NCHAN_MISSING, Address
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ws_gateway.domain.messages import Receipt
from ws_gateway.errors import EventRefused
from ws_gateway.interfaces import IEventSink
from ws_gateway.testing.sinks import make_envelope

TWICE = Aim(Bound.RATIO_AT_LEAST, 2)


def result(rate: float, busy: float = 0.2) -> dict[str, Any]:
    """One measurement as the generator prints it."""
    return {"rate": rate, "p50_ms": 1.0, "p99_ms": 2.0, "generator_busy": busy}


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def rows() -> list[Row]:
    """A row of each kind."""
    memory = {"aim": Aim(Bound.AT_MOST, 8192), "unit": Unit.BYTES}
    return [
        row_of(Comparison("echo", AUTOBAHN, [result(300)], [result(100)], aim=TWICE)),
        row_of(Comparison("slow", AUTOBAHN, [result(150)], [result(100)], aim=TWICE)),
        row_of(Comparison("memory", AUTOBAHN, [{"bytes": 7168}], [{"bytes": 10240}], **memory)),
        row_of(Comparison("flat", "a few", [{"bytes": 7168}], [{"bytes": 7000}], **memory)),
        row_of(Comparison("gap", "-", [{"ms": 60}], aim=Aim(Bound.AT_MOST, 50), unit=Unit.MILLISECONDS)),
        row_of(Comparison("no aim", AUTOBAHN, [result(1)], [result(1)])),
        row_of(Comparison("nobody <there>", NCHAN, skipped="not installed & so on", aim=TWICE)),
    ]


class ComparisonTests(SynchronousTestCase):
    """Ratios and verdicts."""

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

    def test_reached(self) -> None:
        """An aim is reached at its very amount; a bound from above is kept below it."""
        cases = [
            (Aim(Bound.RATIO_AT_LEAST, 2), 200.0, True),
            (Aim(Bound.RATIO_AT_LEAST, 2), 199.0, False),
            (Aim(Bound.RATIO_AT_MOST, 1.5), 150.0, True),
            (Aim(Bound.RATIO_AT_MOST, 1.5), 151.0, False),
            (Aim(Bound.AT_MOST, 90), 90.0, True),
            (Aim(Bound.AT_MOST, 90), 91.0, False),
            (Aim(Bound.AT_LEAST, 90), 90.0, True),
            (Aim(Bound.AT_LEAST, 90), 89.0, False),
        ]
        for aim, ours, reached in cases:
            with self.subTest(aim=aim, ours=ours):
                comparison = Comparison("x", "y", [result(ours)], [result(100)], aim=aim)
                self.assertIs(comparison.reached, reached)

    def test_no_verdict_without_result(self) -> None:
        """What failed, was skipped, has no aim or nothing beside it is neither reached nor missed."""
        ours, theirs = [result(1)], [result(1)]
        for comparison in (
            Comparison("x", "y", ours, theirs),
            Comparison("x", "y", ours, theirs, failure="cut", aim=TWICE),
            Comparison("x", "y", ours, theirs, skipped="not here", aim=TWICE),
            Comparison("x", "y", ours, aim=TWICE),
            Comparison("x", "y", aim=TWICE),
        ):
            with self.subTest(comparison=comparison):
                self.assertIsNone(comparison.reached)

    def test_amounts(self) -> None:
        """Rates have three digits, also where rounding carries; memory is in KB, times in ms."""
        rates = [0, 947.4, 999.6, 1000, 65_149, 99_960, 277_000, 999_499, 999_600, 9_700_000, 17e6]
        shown = ["0", "947", "1.00 k", "1.00 k", "65.1 k", "100 k", "277 k", "999 k"]
        self.assertEqual(list(map(Unit.RATE.text, rates)), [*shown, "1.00 M", "9.70 M", "17.0 M"])
        self.assertEqual(Unit.BYTES.text(5857), "5.72 KB")
        self.assertEqual(Unit.BYTES.text(100 * 1024 * 1024), "100 MB")
        shown = [Unit.MILLISECONDS.text(amount) for amount in (12.345, 0.456, 0.0206)]
        self.assertEqual(shown, ["12.3 ms", "0.46 ms", "20.6 µs"])
        self.assertEqual(Aim(Bound.AT_LEAST, 60_000).text(Unit.RATE), "≥ 60.0 k")


class TableTests(SynchronousTestCase):
    """What is printed."""

    def test_row(self) -> None:
        """A row has both rates, ratio, aim and verdict, both latencies, and how busy the generator was."""
        comparison = Comparison("echo", AUTOBAHN, [result(250_000)], [result(60_000)], aim=TWICE)
        aim = TWICE.text(Unit.RATE)
        self.assertEqual(
            cells(table([comparison]).splitlines()[2]),
            [
                "echo",
                AUTOBAHN,
                "250 k",
                "60.0 k",
                "4.17",
                aim,
                "yes",
                "1.00 / 2.00",
                "1.00 / 2.00",
                "20 / 20",
            ],
        )

    def test_missed(self) -> None:
        """An aim that is not reached stands out."""
        comparison = Comparison("echo", AUTOBAHN, [result(100)], [result(100)], aim=TWICE)
        self.assertIn("NO", cells(table([comparison]).splitlines()[2]))

    def test_busy_generator_is_marked(self) -> None:
        """A rate at which the generator had nothing left is marked as a lower bound."""
        row = table([Comparison("echo", AUTOBAHN, [result(1000, busy=0.99)], [result(500)])]).splitlines()[2]
        self.assertIn("> 1.00 k |", row)
        self.assertNotIn("> 500", row)

    def test_alone(self) -> None:
        """A figure with nothing beside it, and no latencies, has a row."""
        comparison = Comparison("gap", "-", [{"ms": 12}], aim=Aim(Bound.AT_MOST, 50), unit=Unit.MILLISECONDS)
        row = cells(table([comparison]).splitlines()[2])
        self.assertEqual((row[2:5], row[6]), (["12.0 ms", "-", "-"], "yes"))

    def test_failure_is_told(self) -> None:
        """What failed or was skipped says so in its row, and why below the table."""
        failed = Comparison("echo", AUTOBAHN, failure="ws-gateway: cut (3)")
        skipped = Comparison("fan-out", NCHAN, skipped="not installed")
        lines = table([failed, skipped]).splitlines()
        self.assertIn("failed", lines[2])
        self.assertIn("skipped", lines[3])
        self.assertEqual(lines[4:], ["echo: ws-gateway: cut (3)", "fan-out: not installed"])

    def test_columns_align(self) -> None:
        """All lines of the table are equally long, so that it reads well as plain text."""
        one = Comparison("a", AUTOBAHN, [result(1)], [result(2)])
        other = Comparison("a much longer name", AS_SHIPPED, failure="")
        self.assertEqual(len({len(line) for line in table([one, other]).splitlines()}), 1)

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
            self.assertEqual(figure.ours.server, GATEWAY, figure.name)
            self.assertIn("--tokens", figure.ours.arguments, figure.name)
            self.assertNotIn("--tokens", figure.theirs.arguments, figure.name)

    def test_rows_differ(self) -> None:
        """No two rows of the table have the same name beside the same server."""
        listed = [(figure.name, figure.beside) for figure in figures(FULL, Path("/tokens"))]
        self.assertEqual(len(listed), len(set(listed)))

    def test_aims(self) -> None:
        """The figures that are to be reached are all there, beside whom and how far."""
        aims = [
            (figure.beside.partition(",")[0], figure.aim.amount)
            for figure in figures(FULL, Path("/tokens"))
            if figure.aim is not None
        ]
        nchan = [(NCHAN, amount) for amount in (1.1, 1.1, 1.1, 8, 30)]
        self.assertEqual(aims, [*nchan, (AUTOBAHN, 3), (AUTOBAHN, 2), (AUTOBAHN, 0.5), (HEALTH, 0.5)])

    def test_missing_opponent(self) -> None:
        """Where the other server is not installed the figure is skipped, and says what to install."""
        side = Side(GATEWAY, "echo", ())
        figure = Figure("x", NCHAN, side, Side(NCHAN, "echo", ()), TWICE)
        generator = Generator(Path("/nowhere"))
        comparison = compare(generator, figure, {GATEWAY: Address(1, 1)}, repeats=3)
        self.assertEqual(comparison.skipped, NCHAN_MISSING)
        self.assertIn("apt-get install", comparison.skipped)


class PublishingTests(SynchronousTestCase):
    """What a full run leaves in the repository."""

    def test_there_and_back(self) -> None:
        """Rows survive JSON."""
        document = json.loads(json.dumps(document_of(rows(), "here")))
        self.assertEqual(rows_in(document), rows())

    def test_readme_table(self) -> None:
        """The README shows what has an aim, and whether it is reached."""
        lines = [cells(line) for line in readme_table(rows()).splitlines()[2:]]
        verdicts = {line[0]: line[-1] for line in lines}
        self.assertEqual(
            verdicts,
            {"echo": "yes", "slow": "NO", "memory": "yes", "flat": "yes", "gap": "NO", "nobody <there>": "-"},
        )

    def test_between_the_marks(self) -> None:
        """Only what stands between the marks changes."""
        text = with_table(f"before\n{BEGIN}\nold\n{END}\nafter\n", "| new |")
        self.assertEqual(text, f"before\n{BEGIN}\n\n| new |\n\n{END}\nafter\n")

    def test_without_marks(self) -> None:
        """A README without its marks, or with two pairs, is an error and not a guess."""
        pair = f"{BEGIN}{END}"
        for text in ("", BEGIN, END + BEGIN, pair + pair):
            with self.subTest(text=text):
                self.assertRaises(ValueError, with_table, text, "| new |")

    def test_publish(self) -> None:
        """The results, the picture and the table are written, the results so that they can be drawn again."""
        with tempfile.TemporaryDirectory() as directory:
            root = Path(directory)
            (root / "bench").mkdir()
            (root / "docs").mkdir()
            (root / "README.md").write_text(f"{BEGIN}{END}", "utf-8")
            document = document_of(rows(), "here")
            publish(root, document)
            self.assertEqual(json.loads((root / "bench" / "results.json").read_text("utf-8")), document)
            self.assertIn("echo", (root / "README.md").read_text("utf-8"))
            drawn = (root / "docs" / "benchmarks.svg").read_text("utf-8")
            self.assertIn("here", drawn)
            self.assertNotIn("no aim", drawn)


class PictureTests(SynchronousTestCase):
    """The SVG."""

    def _texts(self, drawn: list[Row]) -> list[str]:
        root = ElementTree.fromstring(picture(drawn, "a & b"))
        return [element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text")]

    def test_texts(self) -> None:
        """It is well-formed, and names every row, both amounts, the ratio and the verdict."""
        texts = self._texts(rows())
        for words in ("a & b", "echo", "nobody <there>", "not installed & so on", "7.00 KB", "60.0 ms"):
            self.assertIn(words, texts)
        self.assertEqual(len([text for text in texts if text.startswith("✗")]), 2)  # slow, gap
        self.assertEqual(len([text for text in texts if text.startswith("✓")]), 3)

    def test_bars(self) -> None:
        """The longer bar fills its width, the other its share of it, and the mark stands at the aim."""
        root = ElementTree.fromstring(picture(rows()[:1], ""))
        space = "{http://www.w3.org/2000/svg}"
        bars = [
            (bar.get("class"), float(bar.get("width", "0")))
            for bar in root.iter(f"{space}rect")
            if float(bar.get("width", "0")) > 20 and bar.get("class") != "ground"
        ]
        self.assertEqual(bars, [("ours", BAR), ("theirs", round(BAR / 3, 1))])
        marks = [line for line in root.iter(f"{space}line") if line.get("class") == "aim"]
        self.assertAlmostEqual(float(marks[-1].get("x1", "0")) - LEFT, BAR * 2 / 3, 0)

    def test_both_themes(self) -> None:
        """It follows the reader's theme."""
        self.assertIn("prefers-color-scheme: dark", picture([], ""))


class ObservedTests(SynchronousTestCase):
    """What stands beside the gateway while it is measured."""

    def test_counting_sink(self) -> None:
        """It takes every event, and counts the one that comes before an older one of its key."""
        sink = CountingSink(["secret"])
        verifyObject(IEventSink, sink)
        first, second = make_envelope(1), make_envelope(2)
        self.successResultOf(sink.deliver([first, second, make_envelope(1, "c-2")]))
        self.assertEqual((sink.counted, sink.disorder), (3, 0))
        [receipt] = self.successResultOf(sink.deliver([first]))
        self.assertIsInstance(receipt, Receipt)
        self.assertEqual((sink.counted, sink.disorder), (4, 1))
        self.successResultOf(sink.close())

    def test_unsigned(self) -> None:
        """Without a secret nothing is signed, and that is no measurement: the event is refused."""
        [refused] = self.successResultOf(CountingSink([]).deliver([make_envelope()]))
        self.assertIsInstance(refused.value, EventRefused)

    def test_lateness(self) -> None:
        """The worst delay counts, beyond the interval; asking begins anew."""
        clock = Clock()
        lateness = Lateness(clock)
        lateness.tick()
        for seconds in (0.005, 0.045, 0.006):
            clock.advance(seconds)
            lateness.tick()
        self.assertAlmostEqual(lateness.take(), 0.040)
        clock.advance(0.025)
        self.assertAlmostEqual(lateness.take(), 0.020)


class RegressionTests(SynchronousTestCase):
    """A run beside a former one."""

    def _changed(self, name: str, ours: float) -> list[str]:
        comparisons = {
            "echo": Comparison("echo", AUTOBAHN, [result(ours)], [result(100)], aim=TWICE),
            "gap": Comparison("gap", "-", [{"ms": ours}], aim=Aim(Bound.AT_MOST, 50), unit=Unit.MILLISECONDS),
        }
        return regressions([row_of(comparisons[name])], rows())

    def test_worse(self) -> None:
        """A ratio that fell by more than a fifth is told with both numbers; a gap that grew as well."""
        self.assertEqual(self._changed("echo", 200), [f"echo, beside {AUTOBAHN}: 2.00, was 3.00"])
        self.assertEqual(self._changed("gap", 80), ["gap, beside -: 80 ms, was 60 ms"])

    def test_noise(self) -> None:
        """A little less, or anything better, is not told."""
        for name, ours in (("echo", 250), ("echo", 900), ("gap", 65), ("gap", 1)):
            with self.subTest(name=name, ours=ours):
                self.assertEqual(self._changed(name, ours), [])

    def test_gone(self) -> None:
        """What was measured and fails now is told; what is new or was never measured is not."""
        failed = [
            row_of(Comparison("echo", AUTOBAHN, failure="cut", aim=TWICE)),
            row_of(Comparison("new", AUTOBAHN, [result(1)], [result(9)], aim=TWICE)),
            row_of(Comparison("nobody <there>", NCHAN, failure="cut", aim=TWICE)),
        ]
        self.assertEqual(regressions(failed, rows()), ["echo: was measured, is not any more: cut"])
