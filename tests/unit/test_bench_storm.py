"""What is printed about the storm."""

from typing import Any

from bench.storm import NAME, ROWS
from bench.storm_report import AIM, Phase, Storm, storm_lines
from twisted.trial.unittest import SynchronousTestCase


def phase(pings: float, publications: float) -> Phase:
    """A span of time with these 99th percentiles, in milliseconds."""

    def result(p99: float) -> dict[str, Any]:
        return {"p50_ms": p99 / 10, "p99_ms": p99}

    return Phase(result(pings), result(publications))


def storm(calm: list[Phase], raging: Phase) -> Storm:
    attackers = {"seconds": 29.6, "kinds": {"garbage": {"begun": 1500}, "floods": {"begun": 10}}}
    counted = {"ws_refused_total": 3000}
    return Storm(calm, raging, attackers, counted, (60 * 2**20, 90 * 2**20, 61 * 2**20))


class StormTests(SynchronousTestCase):
    """Ratios, and whether they are what is aimed at."""

    def test_ratio(self) -> None:
        """The ratio is that of the storm by the median of the calm spans, for each kind of client."""
        seen = storm([phase(1, 4), phase(3, 8)], phase(3, 9))
        self.assertEqual((seen.ratio("pings"), seen.ratio("publications")), (1.5, 1.5))

    def test_lines(self) -> None:
        """A row for each kind of client, what attacked, what was counted, and the memory."""
        lines = storm_lines(storm([phase(1, 2), phase(1, 2)], phase(1.25, 2.5)), ROWS).splitlines()
        cells = [cell.strip() for cell in lines[2].strip("|").split("|")]
        self.assertEqual(cells, [ROWS["pings"], "0.10 / 1.00", "0.12 / 1.25", "1.25"])
        self.assertEqual(
            lines[4:],
            [
                "The storm, 30 s: 1500 garbage, 10 floods.",
                "The gateway counted meanwhile: ws_refused_total 3000.",
                "Its memory: 60.0 MiB before, 90.0 at most during, 61.0 after.",
            ],
        )

    def test_beyond_the_aim(self) -> None:
        """What is worse than the aim is said, and only that."""
        lines = storm_lines(storm([phase(1, 2)], phase(AIM, 2 * AIM + 0.1)), ROWS)
        self.assertIn(f"{ROWS['publications']}: more than the 1.5", lines)
        self.assertNotIn(f"{ROWS['pings']}: more", lines)

    def test_name(self) -> None:
        """`--only storm` finds it."""
        self.assertIn("storm", NAME)
