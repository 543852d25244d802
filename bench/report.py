"""From measurements to a table. Pure: numbers in, text out."""

from collections.abc import Sequence
from statistics import median
from typing import Any

from attrs import field, frozen

__all__ = ["Comparison", "aligned", "limits_line", "table"]

BUSY = 0.95


@frozen
class Comparison:
    """What was measured for one figure, on both sides in turn.

    :ivar failure: why there is no result; then the lists are not to be believed.
    """

    name: str
    beside: str
    ours: Sequence[dict[str, Any]] = field(factory=list)
    theirs: Sequence[dict[str, Any]] = field(factory=list)
    failure: str = ""

    @property
    def ratio(self) -> float | None:
        """Ours by theirs, of the medians; None where one is missing."""
        if self.failure or not self.ours or not self.theirs:
            return None
        other = _middle(self.theirs, "rate")
        return _middle(self.ours, "rate") / other if other else None


def _middle(results: Sequence[dict[str, Any]], key: str) -> float:
    return median(float(result[key]) for result in results)


def short(rate: float) -> str:
    """A rate with three digits: 947, 65.1 k, 1.87 M."""
    for least, unit, divisor in ((999_500, " M", 1e6), (999.5, " k", 1e3)):
        if rate >= least:
            scaled = float(f"{rate / divisor:.3g}")
            return f"{scaled:#.3g}".rstrip(".") + unit
    return f"{rate:.0f}"


def _times(results: Sequence[dict[str, Any]]) -> str:
    return f"{_middle(results, 'p50_ms'):.2f} / {_middle(results, 'p99_ms'):.2f}"


def _row(comparison: Comparison) -> list[str]:
    ratio = comparison.ratio
    if ratio is None:
        return [comparison.name, comparison.beside, "-", "-", "failed", "-", "-", "-"]
    sides = (comparison.ours, comparison.theirs)
    busy = [_middle(side, "generator_busy") for side in sides]
    # Where the generator had nothing left, the rate is a lower bound, and the ratio is none at all.
    rates = [short(_middle(side, "rate")) for side in sides]
    marked = [("> " if used >= BUSY else "") + rate for rate, used in zip(rates, busy, strict=True)]
    percent = " / ".join(f"{100 * min(used, 1):.0f}" for used in busy)
    return [comparison.name, comparison.beside, *marked, f"{ratio:.2f}", *map(_times, sides), percent]


HEADS = ["figure", "beside", "ours", "theirs", "ratio", "p50 / p99 ms", "theirs, ms", "generator busy %"]


def table(comparisons: Sequence[Comparison]) -> str:
    """The comparisons as a Markdown table that also reads well as plain text."""
    failures = [f"{each.name}: {each.failure}" for each in comparisons if each.failure]
    return "\n".join([*aligned([HEADS, *map(_row, comparisons)], 2), *failures])


def aligned(rows: Sequence[Sequence[str]], texts: int) -> list[str]:
    """The lines of a Markdown table.

    :param rows: the first one holds the heads.
    :param texts: so many columns hold text and begin at their left; the others hold numbers.
    """
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]

    def line(row: Sequence[str]) -> str:
        cells = [
            cell.ljust(width) if column < texts else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        return f"| {' | '.join(cells)} |"

    rule = [
        ("-" * width) if column < texts else "-" * (width - 1) + ":" for column, width in enumerate(widths)
    ]
    return [line(rows[0]), line(rule), *map(line, rows[1:])]


def _limit_name(result: dict[str, Any]) -> str:
    match result["command"]:
        case "selftest echo":
            return f"echo/s ({result['depth']} in flight, {result['payload_bytes']} B)"
        case "selftest fanout":
            return f"deliveries/s (batches of {result['batch']})"
        case _:
            return "connects/s"


def limits_line(limits: Sequence[dict[str, Any]]) -> str:
    """What the generator can do by itself, in one sentence."""
    parts = [f"{short(result['rate'])} {_limit_name(result)}" for result in limits]
    return "The generator by itself: " + ", ".join(parts) + "."
