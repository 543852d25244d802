"""Two ways to make inputs until the time is over. Both begin with the seeds."""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.fuzz.crashes import FOLDER, report
from tests.fuzz.targets import Target

__all__ = ["ENGINES"]

ROUND = 300
"""Inputs that hypothesis makes between two looks at the clock."""


def _run_hypothesis(target: Target, seconds: float, number: int) -> None:
    """Seeds cut up and put together again, with words between."""
    deadline = time.monotonic() + seconds
    runs = 0

    def one(data: bytes) -> None:
        nonlocal runs
        runs += 1
        try:
            target.check(data)
        except Exception:
            report(target, data)
            sys.exit(1)

    seeds = target.seeds()
    for data in seeds:
        one(data)
    words = st.sampled_from(target.words())
    pieces = words | st.sampled_from(seeds) | st.binary(max_size=8)
    inputs = (
        st.tuples(st.sampled_from(seeds), st.lists(st.tuples(st.floats(0, 1), st.integers(0, 9), pieces)))
        .map(_mutated)
        .map(lambda data: data[: target.most])
        | st.lists(pieces).map(b"".join)
        | st.binary(max_size=200)
    )
    options = settings(
        max_examples=ROUND,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    while time.monotonic() < deadline:
        number += 1
        seed(number)(options(given(inputs)(one)))()
    print(f"{runs} inputs", flush=True)


def _mutated(plan: tuple[bytes, list[tuple[float, int, bytes]]]) -> bytes:
    """Replace some bytes here and there by something else."""
    data, changes = plan
    for where, length, piece in changes:
        at = int(where * len(data))
        data = data[:at] + piece + data[at + length :]
    return data


def _run_atheris(target: Target, seconds: float, number: int) -> None:
    """Inputs that reach new places in the code are kept and changed further."""
    import atheris

    def one(data: bytes) -> None:
        try:
            target.check(data)
        except Exception:
            report(target, data)
            os._exit(1)  # libFuzzer would write and tell of it once more

    grown = Path(".fuzz/corpus", target.name)
    grown.mkdir(parents=True, exist_ok=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    arguments = [
        sys.argv[0],
        f"-max_total_time={max(1, round(seconds))}",
        f"-max_len={target.most}",
        f"-dict={target.dictionary}",
        f"-seed={number}",
        f"-artifact_prefix={FOLDER}/{target.name}-",  # for what hangs or eats all memory
        "-timeout=20",
        "-rss_limit_mb=2048",
        "-verbosity=0",
        "-print_final_stats=1",
        str(grown),
        str(target.corpus),
    ]
    atheris.Setup(arguments, one)
    atheris.Fuzz()  # ends the process


ENGINES: dict[str, Callable[[Target, float, int], None]] = {
    "atheris": _run_atheris,
    "hypothesis": _run_hypothesis,
}
