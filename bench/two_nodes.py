"""What a second node adds.

With two cores there is none left for a second node: generator and brokers need one. So what is measured is
what a node spends: CPU time for each thing done, the kernel's share included. One node serves all
connections; then two nodes on the same core serve half of them each, with the same load. Each of two nodes
with a core of its own could do so much more than one as it spends less on the whole: one node's time, by that
of the busier one of two. What this cannot show is whether a broker keeps up, and what cores do to each
other's caches.

| load | what a second node cannot halve |
|---|---|
| messages in, as fast as they are read | nothing but its own idle life |
| publications out, one at a time, 50 a second | each node reads and parses each publication |
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from tests.servers.redis import RedisServer

from bench.brokers import cpu_seconds, node, outcome, redis_server, waited
from bench.commands import Commands
from bench.comparison import Aim, Bound, Comparison, Unit
from bench.figures import PING, PONG
from bench.outbox import from_redis, hole_filled, listening
from bench.redis_frames import MESSAGE
from bench.servers import Address
from bench.surroundings import Bench

__all__ = ["measure_two_nodes", "two_node_names"]

ONE = "one of two nodes"
RATIO = 1.7
MESSAGES = "CPU time of a node per message into Redis"
PUBLICATIONS = "CPU time of a node per publication to 1,000"
CONNECTIONS = 1000
A_PACKET = 50
A_SECOND = 50
MESSAGES_A_SECOND = 20_000
"""Not how fast they come, but how many for each second that other figures take."""

Nodes = list[Address]


def two_node_names() -> list[str]:
    """The rows that measure_two_nodes() makes."""
    return [MESSAGES, PUBLICATIONS]


@contextmanager
def _nodes(bench: Bench, redis: RedisServer, count: int) -> Iterator[Nodes]:
    with ExitStack() as stack:
        settings = {"WS_REDIS_DSN": redis.dsn}
        nodes = [stack.enter_context(node(bench, settings, f"node-{number}")) for number in range(count)]
        yield nodes
    redis.cli("FLUSHALL")


def _spent(nodes: Nodes, work: Callable[[], None], things: int) -> dict[str, Any]:
    """Milliseconds of the busiest node, per thing done."""
    before = [cpu_seconds(each.pid) for each in nodes]
    work()
    spent = [cpu_seconds(each.pid) - was for each, was in zip(nodes, before, strict=True)]
    return {"ms": 1000 * max(spent) / things, "each_ms": [1000 * each / things for each in spent]}


def _messages(bench: Bench, redis: RedisServer, nodes: Nodes) -> dict[str, Any]:
    share = int(bench.scale.seconds * MESSAGES_A_SECOND) // len(nodes)
    total = share * len(nodes)
    echo = ("--silent", MESSAGE, "--silents", str(A_PACKET), "--payload", PING, "--expect", PONG)
    tokens = ("--tokens", str(bench.credentials.tokens), "--frames", str(share // A_PACKET))
    shared = ("--connections", str(100 // len(nodes)), "--warmup", "0", "--seconds", "60")
    commands = Commands(redis.port)

    def work() -> None:
        for each in nodes:
            bench.generator.measure("echo", "--port", str(each.port), *shared, *echo, *tokens)
        waited(lambda: commands.ask("XLEN", "ws.inbox") >= total, f"{total} entries")

    try:
        return _spent(nodes, work, total)
    finally:
        commands.close()


def _publications(bench: Bench, redis: RedisServer, nodes: Nodes) -> dict[str, Any]:
    count = int(bench.scale.seconds * A_SECOND * 2 / 3)
    each_gets = CONNECTIONS // len(nodes)
    ends = ("--publishers", "0", "--in-order", "--warmup", "0", "--seconds", "60")
    deliveries = ("--deliveries", str(count * each_gets))
    publications = hole_filled(count)

    def work() -> None:
        due = time.monotonic()
        for publication in publications:
            due += 1 / A_SECOND
            time.sleep(max(0.0, due - time.monotonic()))
            from_redis(redis.port, [publication])

    with ExitStack() as stack:
        for each in nodes:
            arguments = ("--port", str(each.port), *listening(bench, each_gets), *ends, *deliveries)
            stack.enter_context(bench.generator.beside("fanout", *arguments))
        return _spent(nodes, work, count)


LOADS = {MESSAGES: _messages, PUBLICATIONS: _publications}


def measure_two_nodes(bench: Bench) -> list[Comparison]:
    """One node, two nodes, and again."""
    aim = Aim(Bound.RATIO_AT_LEAST, RATIO)
    results: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {name: ([], []) for name in LOADS}

    def both() -> None:
        with redis_server(bench) as redis:
            for _ in range(bench.scale.repeats):
                for count in (1, 2):
                    with _nodes(bench, redis, count) as nodes:
                        for name, load in LOADS.items():
                            results[name][count - 1].append(load(bench, redis, nodes))

    failure, skipped = outcome(both)
    return [
        Comparison(name, ONE, *sides, failure=failure, aim=aim, unit=Unit.MILLISECONDS, skipped=skipped)
        for name, sides in results.items()
    ]
