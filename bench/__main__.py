"""One command: builds, starts, measures both sides in turn, prints the table, stops what it started."""

import argparse
import json
import os
import platform
import resource
import signal
import sys
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

from attrs import asdict

from bench.comparison import Comparison, row_of
from bench.figures import CHANNEL, FULL, QUICK, Scale
from bench.generator import Generator, GeneratorFailed, build
from bench.measure import measure_all, names_of
from bench.publishing import document_of, publish, rows_in
from bench.regression import regressions
from bench.report import limits_line, table
from bench.servers import ServerFailed, pinned
from bench.storm import NAME as STORM
from bench.storm import ROWS, measure_storm
from bench.storm_report import Storm, storm_lines
from bench.surroundings import Bench
from bench.tokens import make_credentials

ROOT = Path(__file__).parent.parent
BUILD = Path(__file__).parent / "build"
RESULTS = Path(__file__).parent / "results.json"


def _cores() -> tuple[int | None, int | None]:
    """The core of the servers and that of the generator; none where there is only one."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print(
            "bench: only one core: servers and generator share it, ratios flatter the slower", file=sys.stderr
        )
        return None, None
    return cores[0], cores[1]


def _raise_descriptor_limit(needed: int) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise SystemExit(
            f"bench: {needed} descriptors are needed, the limit is {hard}: raise it (ulimit -Hn)"
        )


def _machine() -> str:
    names = (f"{name} {version(name)}" for name in ("Twisted", "autobahn"))
    return f"Python {platform.python_version()}, {', '.join(names)}, {os.cpu_count()} cores"


def measure(scale: Scale, only: str, comparisons: list[Comparison], storms: list[Storm]) -> None:
    """Run everything whose name holds `only`; what was measured before an error stays in the lists.

    :raises GeneratorFailed: it cannot be built or does not work.
    :raises ServerFailed: a server did not start or died.
    """
    server_core, generator_core = _cores()
    _raise_descriptor_limit(max(scale.connects, *scale.crowds, *scale.idle, scale.still) + 500)
    program = build(BUILD)
    load = os.getloadavg()[0]
    if load > 0.5:
        print(
            f"bench: something else runs here (load {load:.1f}): repeat it on a quiet machine",
            file=sys.stderr,
        )
    credentials = make_credentials(BUILD, scale.connects, CHANNEL)
    generator = Generator(program, pinned(generator_core), own_core=generator_core is not None)
    bench = Bench(
        generator, server_core, generator_core, BUILD, credentials, scale, lambda name: only in name
    )
    figures = [name for name in names_of(bench) if only in name]
    if not figures and only not in STORM:
        raise SystemExit(f"bench: no figure has {only!r} in its name")
    print(f"{_machine()}.")
    if figures:
        print(limits_line(generator.limits(server_core, generator_core, scale.seconds / 2)))
    sys.stdout.flush()
    if only in STORM:
        print("bench: the storm", file=sys.stderr)
        storms.append(measure_storm(generator, server_core, BUILD, credentials, scale.storm_seconds))
    measure_all(bench, comparisons)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute: once each, shorter")
    parser.add_argument("--only", default="", metavar="TEXT", help="only figures with this in their name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all measurements there")
    parser.add_argument(
        "--against", type=Path, metavar="FILE", help="a former run: exit status 1 if a ratio fell by a fifth"
    )
    parser.add_argument(
        "--publish",
        action="store_true",
        help="write bench/results.json, docs/benchmarks.svg and the table in README.md",
    )
    parser.add_argument(
        "--redraw", action="store_true", help="publish bench/results.json again, measure nothing"
    )
    options = parser.parse_args()
    if options.publish and (options.quick or options.only):
        parser.error("only a full run is published")
    return options


def _document(comparisons: list[Comparison], storms: list[Storm]) -> dict[str, Any]:
    return document_of(
        [row_of(each) for each in comparisons],
        f"{_machine()}; medians; {time.strftime('%Y-%m-%d')}",
        figures=[
            asdict(each, value_serializer=lambda _, __, value: getattr(value, "value", value))
            for each in comparisons
        ],
        storm=[asdict(each) for each in storms],
    )


def main() -> int:
    """Read the command line, measure, print. The exit status is 1 if a figure could not be measured."""
    options = _arguments()
    if options.redraw:
        publish(ROOT, json.loads(RESULTS.read_text("utf-8")))
        return 0
    former = json.loads(options.against.read_text("utf-8")) if options.against else None
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    comparisons: list[Comparison] = []
    storms: list[Storm] = []
    failed = False
    try:
        measure(QUICK if options.quick else FULL, options.only, comparisons, storms)
    except (GeneratorFailed, ServerFailed) as failure:
        print(f"bench: {failure}", file=sys.stderr)
        failed = True
    except KeyboardInterrupt:
        print("bench: interrupted; everything is stopped", file=sys.stderr)
        return 130
    if comparisons:
        print(table(comparisons))
    for storm in storms:
        print(storm_lines(storm, ROWS))
    document = _document(comparisons, storms)
    failed = failed or any(each.failure for each in comparisons)
    if options.json:
        options.json.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n", "utf-8")
    if options.publish:
        if failed or any(each.skipped for each in comparisons):
            print("bench: not published: not everything was measured", file=sys.stderr)
            return 1
        publish(ROOT, document)
    if former is not None:
        worse = regressions(rows_in(document), rows_in(former))
        print("\n".join(f"worse: {line}" for line in worse) or "Nothing is worse than it was.")
        failed = failed or bool(worse)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
