"""The longest time for which the reactor does not turn, with many idle connections while others come and go.

Measured from inside: `bench.observed` runs the real service with a tick every 5 ms that notes its worst
lateness.
"""

import json
import time
import urllib.request
from typing import Any

from bench.comparison import Aim, Bound, Comparison, Unit
from bench.generator import GeneratorFailed
from bench.memory import idle_settings, idle_tokens
from bench.servers import Address, observed_gateway
from bench.surroundings import Bench

__all__ = ["gap_name", "measure_gap", "observed"]

A_SECOND = 200
MILLISECONDS = 50
SETTLE_SECONDS = 2.0


def gap_name(still: int, seconds: float) -> str:
    """The row that measure_gap() makes."""
    return f"longest reactor gap in {seconds:.0f} s, {still:,} idle, {A_SECOND} leave and come a second"


def observed(address: Address) -> dict[str, Any]:
    """What the observer saw: see `bench.observed`."""
    with urllib.request.urlopen(f"http://127.0.0.1:{address.http_port}/", timeout=10) as answer:
        seen: dict[str, Any] = json.load(answer)
    return seen


def measure_gap(bench: Bench) -> list[Comparison]:
    """One span of time; the opening of all connections comes before it."""
    scale = bench.scale
    name, aim = gap_name(scale.still, scale.gap_seconds), Aim(Bound.AT_MOST, MILLISECONDS)
    heads = idle_tokens(bench, scale.still)
    try:
        with observed_gateway(bench.core, bench.directory, idle_settings()) as address:
            arguments = [
                f"--port={address.port}",
                f"--connections={scale.still}",
                f"--rate={A_SECOND}",
                *heads,
            ]
            seconds = scale.gap_seconds + SETTLE_SECONDS + 30
            with bench.generator.beside("idle", *arguments, f"--seconds={seconds}") as idle:
                time.sleep(SETTLE_SECONDS)
                observed(address)
                time.sleep(scale.gap_seconds)
                late = observed(address)["late_ms"]
    except GeneratorFailed as failure:
        return [Comparison(name, "-", failure=str(failure), aim=aim, unit=Unit.MILLISECONDS)]
    return [Comparison(name, "-", [{**idle, "ms": late}], aim=aim, unit=Unit.MILLISECONDS)]
