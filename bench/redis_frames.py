"""Client frames that become durable entries of a Redis stream, beside who appends the same entries directly.

One burst, as fast as the node reads: nothing may be lost, nothing may come twice, the order of each
connection holds, and the node's memory stays small. The stream is read back.
"""

import time
from pathlib import Path
from typing import Any

import orjson
from tests.servers.redis import RedisServer

from bench.brokers import alone, node, outcome, peak_bytes, redis_server, waited
from bench.commands import Commands
from bench.comparison import Aim, Bound, Comparison, Unit
from bench.figures import PING, PONG
from bench.generator import GeneratorFailed
from bench.surroundings import Bench

__all__ = ["measure_redis_frames", "redis_frame_names"]

PIPELINE = "txredisapi pipeline() of XADD"
SCRIPT = "the idempotent script alone"
A_SECOND = 60_000
OF_SCRIPT = 0.5
MEGABYTES = 256
CONNECTIONS = 100
A_PACKET = 250
"""Messages that leave in one piece, before a ping."""

MESSAGE = '{"type":"chat","payload":"hello world"}'
SAMPLE = 10_000
INBOX = "ws.inbox"


def _name(burst: int) -> str:
    return f"client frames/s to durable Redis entries, a burst of {burst:,} over {CONNECTIONS} connections"


def _memory_name(burst: int) -> str:
    return f"the node's memory at most, a burst of {burst:,} into Redis"


def redis_frame_names(burst: int) -> list[str]:
    """The rows that measure_redis_frames() makes."""
    return [_name(burst), _memory_name(burst)]


def _checked(commands: Commands, count: int, sample: Path) -> float:
    """Read everything back; the time of the last entry, in seconds since 1970.

    :param sample: gets some of the entries, one a line.
    :raises GeneratorFailed: something is lost, came twice, or in another order.
    """
    seen: dict[str, int] = {}
    some = []
    total, last = 0, b"0-0"
    for entry_id, data in commands.entries(INBOX):
        last = entry_id
        event = orjson.loads(data)
        connection, number = event["connection_id"], event["seq"]
        if number != seen.get(connection, 0) + 1:
            raise GeneratorFailed(f"connection {connection}: {number} came after {seen.get(connection, 0)}")
        seen[connection] = number
        total += 1
        if total <= SAMPLE:
            some.append(data)
    if total != count or len(seen) != CONNECTIONS:
        raise GeneratorFailed(f"{total} entries of {count}, from {len(seen)} connections")
    sample.write_bytes(b"\n".join(some))
    return int(last.partition(b"-")[0]) / 1000


def _ours(bench: Bench, redis: RedisServer, burst: int, sample: Path) -> dict[str, Any]:
    echo = ("--silent", MESSAGE, "--silents", str(A_PACKET), "--payload", PING, "--expect", PONG)
    tokens = ("--tokens", str(bench.credentials.tokens))
    shared = ("--connections", str(CONNECTIONS), "--warmup", "0", "--seconds", "60")
    with node(bench, {"WS_REDIS_DSN": redis.dsn}) as address:
        ports = ("--port", str(address.port), "--frames", str(burst // A_PACKET))
        result = bench.generator.measure("echo", *ports, *shared, *echo, *tokens)
        commands = Commands(redis.port)
        try:
            waited(lambda: commands.ask("XLEN", INBOX) >= burst, f"{burst} entries", 0.2)
            ended = _checked(commands, burst, sample) - (time.time() - time.monotonic())
        finally:
            commands.close()
        return {"rate": burst / (ended - result["begun"]), "bytes": peak_bytes(address.pid)}


def measure_redis_frames(bench: Bench) -> list[Comparison]:
    """One burst, and then the same entries in both other ways."""
    burst = bench.scale.burst
    name, memory = _name(burst), _memory_name(burst)
    enough, half = Aim(Bound.AT_LEAST, A_SECOND), Aim(Bound.RATIO_AT_LEAST, OF_SCRIPT)
    small = Aim(Bound.AT_MOST, MEGABYTES * 1024 * 1024)
    sample = bench.directory / "entries"
    others: dict[str, list[dict[str, Any]]] = {"pipeline": [], "script": []}
    ours: list[dict[str, Any]] = []

    def all_three() -> None:
        with redis_server(bench) as redis:
            ours.append(_ours(bench, redis, burst, sample))
            for how, results in others.items():
                redis.cli("FLUSHALL")
                words = ("--port", str(redis.port), "--how", how, "--entries", str(sample.resolve()))
                results.append(alone(bench, "bench.bare_redis", *words, "--count", str(burst)))

    failure, skipped = outcome(all_three)
    return [
        Comparison(name, PIPELINE, ours, others["pipeline"], failure, enough, skipped=skipped),
        Comparison(name, SCRIPT, ours, others["script"], failure, half, skipped=skipped),
        Comparison(memory, "-", ours, failure=failure, aim=small, unit=Unit.BYTES, skipped=skipped),
    ]
