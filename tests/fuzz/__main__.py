"""See the package."""

import argparse
import random
import re
import subprocess
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

FOLDER = Path(".fuzz")
NAMES = ("heads", "clients", "publications")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description="Fuzz what strangers send.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}; default all")
    parser.add_argument("--seconds", type=float, default=60, help="for each target; they run side by side")
    parser.add_argument("--engine", choices=("atheris", "hypothesis"), help="default: atheris if installed")
    parser.add_argument("--seed", type=int, default=0, help="0 = another one each time")
    parser.add_argument("--reproduce", type=Path, metavar="FILE", help="run one input that failed")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    unknown = set(options.targets) - set(NAMES)
    if unknown:
        parser.error(f"there is no target {', '.join(sorted(unknown))}; there are: {', '.join(NAMES)}")
    if options.reproduce is not None:
        from tests.fuzz.crashes import reproduce

        reproduce(options.reproduce)
        print("it passes")
        return 0
    number = options.seed or random.randrange(1, 2**31)
    if options.alone:
        return _fuzz(options.targets[0], options.engine, options.seconds, number)
    return _side_by_side(options.targets or NAMES, options.engine, options.seconds, number)


def _side_by_side(targets: Sequence[str], engine: str | None, seconds: float, number: int) -> int:
    """A process for each target, since atheris ends its own. Only who finds something is quoted."""
    print(f"fuzzing {', '.join(targets)} for {seconds:g} s each, --seed {number}", flush=True)
    more = [] if engine is None else ["--engine", engine]
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        "--alone",
        f"--seconds={seconds}",
        f"--seed={number}",
        *more,
    ]
    FOLDER.mkdir(exist_ok=True)
    running = {}
    for target in targets:
        with FOLDER.joinpath(f"{target}.log").open("wb") as log:
            running[target] = subprocess.Popen(
                [*command, target], stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT
            )
    failed = 0
    for target, process in running.items():
        status = process.wait()
        said = FOLDER.joinpath(f"{target}.log").read_text(errors="replace")
        if status != 0:
            failed += 1
            told = [line for line in said.splitlines() if not line.startswith(("INFO: ", "WARNING: "))]
            print("\n".join(told), flush=True)
        else:
            inputs = re.search(r"number_of_executed_units: *(\d+)|(\d+) inputs", said)
            print(f"{target}: {inputs[1] or inputs[2] if inputs else '?'} inputs, nothing found", flush=True)
    print(f"{len(targets) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


def _fuzz(target: str, engine: str | None, seconds: float, number: int) -> int:
    chosen = engine or ("atheris" if find_spec("atheris") else "hypothesis")
    if chosen == "atheris":
        import atheris

        # Before anything of it is imported: then atheris sees which branches an input takes.
        with atheris.instrument_imports(include=["ws_gateway", "json"], enable_loader_override=False):
            import tests.fuzz.targets  # noqa: F401
    from tests.fuzz.engines import ENGINES
    from tests.fuzz.targets import TARGETS

    ENGINES[chosen](TARGETS[target], seconds, number)
    return 0


if __name__ == "__main__":
    sys.exit(main())
