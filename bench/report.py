"""From measurements to a table. Pure: numbers in, text out."""

from collections.abc import Sequence
from typing import Any

from bench.comparison import Comparison, Unit, middle

__all__ = ["aligned", "limits_line", "table", "verdict"]

BUSY = 0.95

HEADS = [
    "figure",
    "beside",
    "ours",
    "theirs",
    "ratio",
    "to reach",
    "met",
    "p50 / p99 ms",
    "theirs, ms",
    "generator busy %",
]


def verdict(reached: bool | None) -> str:
    """One word for whether an aim is reached."""
    return "" if reached is None else "yes" if reached else "NO"


def _times(results: Sequence[dict[str, Any]]) -> str:
    if not results or "p50_ms" not in results[0]:
        return "-"
    return f"{middle(results, 'p50_ms'):.2f} / {middle(results, 'p99_ms'):.2f}"


def _busy(results: Sequence[dict[str, Any]]) -> float | None:
    return middle(results, "generator_busy") if results and "generator_busy" in results[0] else None


def _percent(busy: float | None) -> str:
    return "-" if busy is None else f"{100 * min(busy, 1):.0f}"


def _row(comparison: Comparison) -> list[str]:
    unit, aim, ratio = comparison.unit, comparison.aim, comparison.ratio
    to_reach = aim.text(unit) if aim else ""
    if not comparison.measured:
        word = "skipped" if comparison.skipped else "failed"
        return [comparison.name, comparison.beside, "-", "-", word, to_reach, "", "-", "-", "-"]
    sides = (comparison.ours, comparison.theirs)
    # Where the generator had nothing left, the rate is a lower bound, and the ratio is none at all.
    amounts = [
        ("> " if (_busy(side) or 0) >= BUSY else "") + unit.text(middle(side, unit.value)) if side else "-"
        for side in sides
    ]
    return [
        comparison.name,
        comparison.beside,
        *amounts,
        "-" if ratio is None else f"{ratio:.2f}",
        to_reach,
        verdict(comparison.reached),
        *map(_times, sides),
        " / ".join(_percent(_busy(side)) for side in sides),
    ]


def table(comparisons: Sequence[Comparison]) -> str:
    """The comparisons as a Markdown table that also reads well as plain text."""
    notes = [
        f"{each.name}: {each.failure or each.skipped}" for each in comparisons if each.failure or each.skipped
    ]
    return "\n".join([*aligned([HEADS, *map(_row, comparisons)], 2), *notes])


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
        ("-" * width) if column < texts else "-" * max(0, width - 1) + ":"
        for column, width in enumerate(widths)
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
    parts = [f"{Unit.RATE.text(result['rate'])} {_limit_name(result)}" for result in limits]
    return "The generator by itself: " + ", ".join(parts) + "."
