"""What client frames into Redis are measured beside: the same entries, and nothing before them.

- `--how pipeline`: plain XADD by txredisapi's `pipeline()`, 500 at once.
- `--how script`: the gateway's idempotent script, by its RedisProducer, four runs of 500 side by side.

Prints one line of JSON: entries a second, from the first to the answer for the last.
"""

import argparse
import itertools
import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from random import random
from typing import Any

import txredisapi
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import deferLater, react

from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.brokers.redis.producer import RedisProducer
from ws_gateway.dsn import parse_redis
from ws_gateway.testing.metrics import FakeMetrics

RUN = 500
WINDOW = 4
STREAM = "bench.bare"


async def pipeline(reactor: Any, port: int, runs: Sequence[Sequence[bytes]]) -> float:
    """Seconds for all runs, one pipeline after the other."""
    connection = await txredisapi.Connection("127.0.0.1", port, reconnect=False, charset=None)
    began = reactor.seconds()
    for run in runs:
        pipe = await connection.pipeline()
        for entry in run:
            pipe.execute_command(b"XADD", STREAM, b"*", b"data", entry)
        await pipe.execute_pipeline()
    took: float = reactor.seconds() - began
    await connection.disconnect()
    return took


async def script(reactor: Any, port: int, runs: Sequence[Sequence[bytes]]) -> float:
    """Seconds for all runs, some under way at a time, as the pipeline of events offers them."""
    dsn = parse_redis(f"redis://127.0.0.1:{port}")
    link = RedisLink(dsn, reactor, random, FakeMetrics(), "events")
    link.startService()
    while not link.is_up:
        await deferLater(reactor, 0.01)
    producer = RedisProducer(link, "bare", reactor, FakeMetrics())
    numbers = itertools.count()
    entries = [[(b"%026d" % next(numbers), entry) for entry in run] for run in runs]
    left = iter(entries)

    async def some() -> None:
        for run in left:
            await producer.append(STREAM, run)

    began = reactor.seconds()
    ends = await DeferredList(
        [Deferred.fromCoroutine(some()) for _ in range(WINDOW)], fireOnOneErrback=True, consumeErrors=True
    )
    assert len(ends) == WINDOW
    took: float = reactor.seconds() - began
    await link.stopService()
    return took


WAYS: dict[str, Callable[[Any, int, Sequence[Sequence[bytes]]], Awaitable[float]]] = {
    "pipeline": pipeline,
    "script": script,
}


async def measure(reactor: Any, options: argparse.Namespace) -> None:
    """Append and print what came of it."""
    bodies = itertools.cycle(options.entries.read_bytes().splitlines())
    runs = [list(itertools.islice(bodies, RUN)) for _ in range(options.count // RUN)]
    took = await WAYS[options.how](reactor, options.port, runs)
    print(json.dumps({"rate": len(runs) * RUN / took}))


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--how", choices=WAYS, required=True)
    parser.add_argument("--entries", type=Path, required=True, help="a file with one entry a line")
    parser.add_argument("--count", type=int, required=True, help=f"how many, in runs of {RUN}")
    options = parser.parse_args()
    react(lambda reactor: Deferred.fromCoroutine(measure(reactor, options)))


if __name__ == "__main__":
    main()
