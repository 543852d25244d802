"""Whether a run is worse than a former one: ratios are compared, never times. Pure."""

from collections.abc import Sequence

from bench.comparison import Bound, Row

__all__ = ["TOLERANCE", "regressions"]

TOLERANCE = 0.2
"""Ratios of quiet runs differ by a few percent, those of one publication at a time by ten."""


def _worse(now: Row, then: Row) -> bool:
    if now.bound == Bound.AT_MOST.value:
        return now.ours is not None and then.ours is not None and now.ours > then.ours * (1 + TOLERANCE)
    if now.ratio is None or then.ratio is None:
        return False
    if now.bound == Bound.RATIO_AT_MOST.value:
        return now.ratio > then.ratio * (1 + TOLERANCE)
    return now.ratio < then.ratio * (1 - TOLERANCE)


def _told(row: Row) -> str:
    if row.bound == Bound.AT_MOST.value and row.ours is not None:
        return f"{row.ours:.4g} {row.unit}"
    return "none" if row.ratio is None else f"{row.ratio:.2f}"


def regressions(now: Sequence[Row], then: Sequence[Row]) -> list[str]:
    """One sentence for each figure that is worse than it was, or was measured and is not any more."""
    former = {(row.name, row.beside): row for row in then}
    found = []
    for row in now:
        before = former.get((row.name, row.beside))
        if before is None:
            continue
        if row.ours is None and before.ours is not None and row.note:
            found.append(f"{row.name}: was measured, is not any more: {row.note}")
        elif _worse(row, before):
            found.append(f"{row.name}, beside {row.beside}: {_told(row)}, was {_told(before)}")
    return found
