"""What was measured for one figure, and whether it is enough. Pure: numbers in, verdicts out."""

from collections.abc import Sequence
from enum import Enum
from statistics import median
from typing import Any

from attrs import field, frozen

__all__ = ["TIMES", "Aim", "Bound", "Comparison", "Row", "Unit", "middle", "row_of"]

TIMES = "\N{MULTIPLICATION SIGN}"


class Unit(Enum):
    """What a figure is counted in; the value is the key of the measurements."""

    RATE = "rate"
    BYTES = "bytes"
    MILLISECONDS = "ms"

    def text(self, amount: float) -> str:
        """An amount for people, with three digits: 947, 65.1 k, 1.87 M; 5.72 KB; 12.4 ms."""
        match self:
            case Unit.RATE:
                for least, unit, divisor in ((999_500, " M", 1e6), (999.5, " k", 1e3)):
                    if amount >= least:
                        scaled = float(f"{amount / divisor:.3g}")
                        return f"{scaled:#.3g}".rstrip(".") + unit
                return f"{amount:.0f}"
            case Unit.BYTES if amount >= 1024 * 1024:
                return f"{amount / 1024 / 1024:.0f} MB"
            case Unit.BYTES:
                return f"{amount / 1024:.2f} KB"
            case Unit.MILLISECONDS if amount < 0.1:
                return f"{amount * 1000:.1f} µs"
            case Unit.MILLISECONDS if amount < 1:
                return f"{amount:.2f} ms"
            case Unit.MILLISECONDS:
                return f"{amount:.1f} ms"


class Bound(Enum):
    """What an aim speaks of."""

    RATIO_AT_LEAST = "ratio at least"
    RATIO_AT_MOST = "ratio at most"
    AT_LEAST = "at least"
    AT_MOST = "at most"


_ABSOLUTE = (Bound.AT_LEAST, Bound.AT_MOST)


@frozen
class Aim:
    """What is to be reached."""

    bound: Bound
    amount: float

    def text(self, unit: Unit) -> str:
        """The aim for people: at least so many times, at most `8.00 KB`."""
        if self.bound in _ABSOLUTE:
            return f"{'≥' if self.bound is Bound.AT_LEAST else '≤'} {unit.text(self.amount)}"
        return f"{'≥' if self.bound is Bound.RATIO_AT_LEAST else '≤'} {self.amount:g} {TIMES}"

    def reached(self, ours: float, ratio: float | None) -> bool | None:
        """Whether it is; None where that cannot be known."""
        if self.bound in _ABSOLUTE:
            return ours >= self.amount if self.bound is Bound.AT_LEAST else ours <= self.amount
        if ratio is None:
            return None
        return ratio >= self.amount if self.bound is Bound.RATIO_AT_LEAST else ratio <= self.amount


@frozen
class Comparison:
    """What was measured for one figure, on both sides in turn.

    :ivar failure: why there is no result; then the lists are not to be believed.
    :ivar skipped: why it was not tried.
    """

    name: str
    beside: str
    ours: Sequence[dict[str, Any]] = field(factory=list)
    theirs: Sequence[dict[str, Any]] = field(factory=list)
    failure: str = ""
    aim: Aim | None = None
    unit: Unit = Unit.RATE
    skipped: str = ""

    @property
    def measured(self) -> bool:
        """Whether there is a result of ours."""
        return bool(self.ours) and not self.failure and not self.skipped

    @property
    def ratio(self) -> float | None:
        """Ours by theirs, of the medians; None where one is missing."""
        if not self.measured or not self.theirs:
            return None
        other = middle(self.theirs, self.unit.value)
        return middle(self.ours, self.unit.value) / other if other else None

    @property
    def reached(self) -> bool | None:
        """Whether the aim is; None without an aim or a result."""
        if self.aim is None or not self.measured:
            return None
        return self.aim.reached(middle(self.ours, self.unit.value), self.ratio)


def middle(results: Sequence[dict[str, Any]], key: str) -> float:
    """The median of one key of the measurements."""
    return median(float(result[key]) for result in results)


@frozen
class Row:
    """A figure as it is published: plain values, so that it can go to JSON and back."""

    name: str
    beside: str
    unit: str
    ours: float | None
    theirs: float | None
    ratio: float | None
    bound: str | None
    amount: float | None
    reached: bool | None
    note: str = ""

    @property
    def aim(self) -> Aim | None:
        """What is to be reached."""
        if self.bound is None or self.amount is None:
            return None
        return Aim(Bound(self.bound), self.amount)


def row_of(comparison: Comparison) -> Row:
    """The medians of a comparison."""
    unit, aim = comparison.unit, comparison.aim
    known = comparison.measured
    return Row(
        name=comparison.name,
        beside=comparison.beside,
        unit=unit.value,
        ours=middle(comparison.ours, unit.value) if known else None,
        theirs=middle(comparison.theirs, unit.value) if known and comparison.theirs else None,
        ratio=comparison.ratio,
        bound=aim.bound.value if aim else None,
        amount=aim.amount if aim else None,
        reached=comparison.reached,
        note=comparison.failure or comparison.skipped,
    )
