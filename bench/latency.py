"""From an entry of the Redis outbox to a client, beside publish/subscribe through the same Redis.

Redis is on the servers' core here: so in both cases what is published crosses from one core to the other, and
what is received comes back, as it would between machines. At 100 a second nobody is in anybody's way.
"""

from typing import Any

from attrs import evolve

from bench.brokers import alone, node, outcome, redis_server
from bench.comparison import Aim, Bound, Comparison, Unit
from bench.surroundings import Bench

__all__ = ["latency_names", "measure_latency"]

BESIDE = "publish/subscribe of Redis"
RATIO = 3
PARTS = ("p50", "p99")


def _name(part: str) -> str:
    return f"outbox entry to client, {part}, 100 publications a second"


def latency_names() -> list[str]:
    """The rows that measure_latency() makes."""
    return [_name(part) for part in PARTS]


def measure_latency(bench: Bench) -> list[Comparison]:
    """In turn."""
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    receiver = evolve(bench, core=bench.other_core)
    tokens = ("--tokens", str(bench.credentials.tokens.resolve()))

    def both() -> None:
        with redis_server(bench, bench.core) as redis, node(bench, {"WS_REDIS_DSN": redis.dsn}) as address:
            shared = ("--redis-port", str(redis.port), "--seconds", str(bench.scale.seconds))
            outbox = ("--how", "outbox", "--port", str(address.port), *tokens)
            for _ in range(bench.scale.repeats):
                ours.append(alone(receiver, "bench.round_trip", *shared, *outbox))
                theirs.append(alone(receiver, "bench.round_trip", *shared, "--how", "pubsub"))

    failure, skipped = outcome(both)
    aim = Aim(Bound.RATIO_AT_MOST, RATIO)

    def row(part: str) -> Comparison:
        sides = ([{"ms": each[part]} for each in results] for results in (ours, theirs))
        return Comparison(
            _name(part), BESIDE, *sides, failure=failure, aim=aim, unit=Unit.MILLISECONDS, skipped=skipped
        )

    return [row(part) for part in PARTS]
