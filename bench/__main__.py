"""One command: builds, starts, measures both sides in turn, prints the table, stops what it started."""

import argparse
import json
import os
import platform
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from importlib.metadata import version
from pathlib import Path

from attrs import asdict

from bench.figures import API_KEY, AS_SHIPPED, AUTOBAHN, CHANNEL, FULL, GATEWAY, QUICK, Figure, Scale, figures
from bench.generator import Generator, GeneratorFailed, build
from bench.report import Comparison, limits_line, table
from bench.servers import Address, ServerFailed, bare_autobahn, gateway, pinned
from bench.storm import NAME as STORM
from bench.storm import ROWS, measure_storm
from bench.storm_report import Storm, storm_lines
from bench.tokens import make_credentials

BUILD = Path(__file__).parent / "build"


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


def _arguments(address: Address, shared: Sequence[str], own: Sequence[str]) -> list[str]:
    return ["--port", str(address.port), "--http-port", str(address.http_port), *shared, *own]


def compare(generator: Generator, figure: Figure, servers: Mapping[str, Address], repeats: int) -> Comparison:
    """Measure one figure on both sides, the one that begins changing each time."""
    sides = {
        GATEWAY: _arguments(servers[GATEWAY], figure.shared, figure.ours),
        figure.beside: _arguments(servers[figure.beside], figure.shared, figure.theirs),
    }
    results: dict[str, list[dict[str, object]]] = {side: [] for side in sides}
    for repeat in range(repeats):
        for side in sorted(sides, key=list(sides).index, reverse=bool(repeat % 2)):
            try:
                results[side].append(generator.measure(figure.command, *sides[side]))
            except GeneratorFailed as failure:
                return Comparison(figure.name, figure.beside, failure=f"{side}: {failure}")
    return Comparison(figure.name, figure.beside, results[GATEWAY], results[figure.beside])


def _settings(public_key: Path) -> dict[str, str]:
    """What is measured is the way of a frame; limits and events are off, as the other side has none."""
    return {
        "JWT_PUBLIC_KEY_FILE": str(public_key),
        "GATEWAY_API_KEY": API_KEY,
        "EVENTS_MODE": "none",
        "WS_RATE_LIMIT_PER_SEC": "0",
        "WS_PING_INTERVAL_SECONDS": "0",
        "LOG_LEVEL": "WARN",
    }


def _machine() -> str:
    names = (f"{name} {version(name)}" for name in ("Twisted", "autobahn"))
    load = os.getloadavg()[0]
    busy = f" Something else runs here (load {load:.1f}): repeat it on a quiet machine." if load > 0.5 else ""
    return f"Python {platform.python_version()}, {', '.join(names)}, {os.cpu_count()} cores.{busy}"


def measure(scale: Scale, only: str, comparisons: list[Comparison], storms: list[Storm]) -> None:
    """Run everything whose name holds `only`; what was measured before an error stays in the lists.

    :raises GeneratorFailed: it cannot be built or does not work.
    :raises ServerFailed: a server did not start or died.
    """
    server_core, generator_core = _cores()
    _raise_descriptor_limit(max(scale.connects, scale.subscribers) + 500)
    program = build(BUILD)
    credentials = make_credentials(BUILD, scale.connects, CHANNEL)
    wanted = [each for each in figures(scale, credentials.tokens) if only in each.name]
    if not wanted and only not in STORM:
        raise SystemExit(f"bench: no figure has {only!r} in its name")
    generator = Generator(program, pinned(generator_core))
    print(_machine())
    if wanted:
        print(limits_line(generator.limits(server_core, generator_core, scale.seconds / 2)))
    sys.stdout.flush()
    if only in STORM:
        print("bench: the storm", file=sys.stderr)
        storms.append(measure_storm(generator, server_core, BUILD, credentials, scale.storm_seconds))
    if not wanted:
        return
    with ExitStack() as stack:
        servers = {
            GATEWAY: stack.enter_context(gateway(server_core, BUILD, _settings(credentials.public_key))),
            AUTOBAHN: stack.enter_context(bare_autobahn(server_core, BUILD)),
            AS_SHIPPED: stack.enter_context(bare_autobahn(server_core, BUILD, as_shipped=True)),
        }
        for number, figure in enumerate(wanted, 1):
            print(f"bench: {number} of {len(wanted)}: {figure.name}", file=sys.stderr)
            comparisons.append(compare(generator, figure, servers, scale.repeats))


def main() -> int:
    """Read the command line, measure, print. The exit status is 1 if a figure could not be measured."""
    parser = argparse.ArgumentParser(prog="bench/run", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="about a minute: once each, shorter")
    parser.add_argument("--only", default="", metavar="TEXT", help="only figures with this in their name")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write all measurements there")
    options = parser.parse_args()
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
    if options.json:
        document = {
            "figures": [asdict(each) for each in comparisons],
            "storm": [asdict(each) for each in storms],
        }
        options.json.write_text(json.dumps(document, indent=1) + "\n")
    return int(failed or any(each.failure for each in comparisons))


if __name__ == "__main__":
    sys.exit(main())
