"""The order of a run: what starts which servers, and the two sides of each figure in turn."""

import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from bench.comparison import Comparison
from bench.figures import AS_SHIPPED, AUTOBAHN, GATEWAY, NCHAN, Figure, Side, figures
from bench.gap import gap_name, measure_gap
from bench.generator import Generator, GeneratorFailed
from bench.latency import latency_names, measure_latency
from bench.memory import measure_memory, memory_names
from bench.messages import MESSAGES, measure_messages
from bench.outbox import (
    measure_rabbit_outbox,
    measure_redis_outbox,
    rabbit_outbox_names,
    redis_outbox_names,
)
from bench.rabbit_frames import RABBIT_FRAMES, measure_rabbit_frames
from bench.redis_frames import measure_redis_frames, redis_frame_names
from bench.servers import NCHAN_MISSING, Address, bare_autobahn, gateway, nchan, nchan_module
from bench.surroundings import Bench
from bench.two_nodes import measure_two_nodes, two_node_names
from bench.webhooks import measure_webhooks, webhook_names

__all__ = ["compare", "measure_all", "names_of"]


def compare(generator: Generator, figure: Figure, servers: Mapping[str, Address], repeats: int) -> Comparison:
    """Measure one figure on both sides, the one that begins changing each time."""
    missing = [side.server for side in (figure.ours, figure.theirs) if side.server not in servers]
    if missing:
        return Comparison(figure.name, figure.beside, skipped=NCHAN_MISSING, aim=figure.aim)
    sides = [figure.ours, figure.theirs]
    results: list[list[dict[str, Any]]] = [[], []]
    for repeat in range(repeats):
        for place in (1, 0) if repeat % 2 else (0, 1):
            side = sides[place]
            try:
                results[place].append(_one(generator, side, servers[side.server]))
            except GeneratorFailed as failure:
                why = f"{side.server}: {failure}"
                return Comparison(figure.name, figure.beside, failure=why, aim=figure.aim)
    ours, theirs = results
    return Comparison(figure.name, figure.beside, ours, theirs, aim=figure.aim)


def _one(generator: Generator, side: Side, address: Address) -> dict[str, Any]:
    ports = ("--port", str(address.port), "--http-port", str(address.http_port))
    return generator.measure_alone(side.command, *ports, *side.arguments)


def _generator_figures(bench: Bench, done: list[Comparison]) -> None:
    wanted = [each for each in _figures(bench) if bench.wanted(each.name)]
    if not wanted:
        return
    needed = {side.server for each in wanted for side in (each.ours, each.theirs)}
    core, directory = bench.core, bench.directory
    starts = {
        GATEWAY: lambda: gateway(core, directory, bench.settings()),
        AUTOBAHN: lambda: bare_autobahn(core, directory),
        AS_SHIPPED: lambda: bare_autobahn(core, directory, as_shipped=True),
        NCHAN: lambda: nchan(core, directory),
    }
    if NCHAN in needed and nchan_module() is None:
        print(f"bench: {NCHAN_MISSING}. Its figures are skipped.", file=sys.stderr)
        needed.remove(NCHAN)
    with ExitStack() as stack:
        servers = {name: stack.enter_context(starts[name]()) for name in starts if name in needed}
        for number, figure in enumerate(wanted, 1):
            print(f"bench: {number} of {len(wanted)}: {figure.name}, beside {figure.beside}", file=sys.stderr)
            done.append(compare(bench.generator, figure, servers, bench.scale.repeats))


def _figures(bench: Bench) -> list[Figure]:
    return figures(bench.scale, bench.credentials.tokens)


Section = tuple[Sequence[str], Callable[[Bench], list[Comparison]]]


def _sections(bench: Bench) -> list[Section]:
    """What needs servers of its own: the names of its rows, and what measures them."""
    scale = bench.scale
    return [
        ([MESSAGES], measure_messages),
        (webhook_names(), measure_webhooks),
        (memory_names(scale.idle), measure_memory),
        ([gap_name(scale.still, scale.gap_seconds)], measure_gap),
        (redis_frame_names(scale.burst), measure_redis_frames),
        (redis_outbox_names(), measure_redis_outbox),
        (rabbit_outbox_names(), measure_rabbit_outbox),
        ([RABBIT_FRAMES], measure_rabbit_frames),
        (two_node_names(), measure_two_nodes),
        (latency_names(), measure_latency),
    ]


def names_of(bench: Bench) -> list[str]:
    """The names of all rows."""
    return [
        *(each.name for each in _figures(bench)),
        *(name for names, _ in _sections(bench) for name in names),
    ]


def measure_all(bench: Bench, done: list[Comparison]) -> None:
    """Measure what is wanted; what was measured before an error stays in the list.

    :raises ServerFailed: a server did not start or died.
    """
    _generator_figures(bench, done)
    for names, section in _sections(bench):
        if any(map(bench.wanted, names)):
            print(f"bench: {'; '.join(names)}", file=sys.stderr)
            done += section(bench)
