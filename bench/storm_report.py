"""What is said about the storm. Pure: numbers in, text out."""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import Any

from attrs import frozen

from bench.report import aligned

__all__ = ["AIM", "Phase", "Storm", "storm_lines"]

AIM = 1.5
"""How much longer a healthy client's 99th percentile may be in the storm."""

HEADS = ["healthy clients", "calm, p50 / p99 ms", "storm, p50 / p99 ms", "p99 ratio"]


@frozen
class Phase:
    """What the healthy clients saw in one span of time: results of the generator."""

    pings: Mapping[str, Any]
    publications: Mapping[str, Any]


@frozen
class Storm:
    """All that was measured.

    :ivar calm: before and after.
    :ivar attackers: what the storm says about itself.
    :ivar counted: what the gateway counted meanwhile.
    :ivar memory: resident bytes before, at most during, and after.
    """

    calm: Sequence[Phase]
    storm: Phase
    attackers: Mapping[str, Any]
    counted: Mapping[str, int]
    memory: tuple[int, int, int]

    def ratio(self, kind: str) -> float:
        """p99 in the storm by p99 in the calm, of `pings` or `publications`."""
        calm = median(float(getattr(phase, kind)["p99_ms"]) for phase in self.calm)
        return float(getattr(self.storm, kind)["p99_ms"]) / calm


def _times(results: Sequence[Mapping[str, Any]]) -> str:
    return " / ".join(
        f"{median(float(result[key]) for result in results):.2f}" for key in ("p50_ms", "p99_ms")
    )


def storm_lines(storm: Storm, rows: Mapping[str, str]) -> str:
    """The result as text.

    :param rows: what `pings` and `publications` are called.
    """
    table = [HEADS]
    for kind, name in rows.items():
        calm = [getattr(phase, kind) for phase in storm.calm]
        ratio = f"{storm.ratio(kind):.2f}"
        table.append([name, _times(calm), _times([getattr(storm.storm, kind)]), ratio])
    beyond = [name for kind, name in rows.items() if storm.ratio(kind) > AIM]
    kinds = ", ".join(f"{seen['begun']} {name}" for name, seen in storm.attackers["kinds"].items())
    counted = ", ".join(f"{name} {count}" for name, count in storm.counted.items())
    before, during, after = (amount / 2**20 for amount in storm.memory)
    return "\n".join(
        [
            *aligned(table, 1),
            *(f"{name}: more than the {AIM} that is aimed at." for name in beyond),
            f"The storm, {storm.attackers['seconds']:.0f} s: {kinds}.",
            f"The gateway counted meanwhile: {counted}.",
            f"Its memory: {before:.1f} MiB before, {during:.1f} at most during, {after:.1f} after.",
        ]
    )
