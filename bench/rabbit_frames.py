"""Client frames that become confirmed messages of RabbitMQ, beside pika's bare confirmed publish.

One burst of messages, as fast as the node reads; the broker must hold all of them, in the order of each
connection. The bare publisher sends the same bodies with 100 messages not yet confirmed.
"""

import time
from typing import Any

import orjson
from tests.servers.rabbitmq import RabbitServer

from bench.brokers import alone, node, outcome, rabbit_server, waited
from bench.comparison import Aim, Bound, Comparison
from bench.figures import PING, PONG
from bench.generator import GeneratorFailed
from bench.queues import Queues
from bench.redis_frames import MESSAGE
from bench.surroundings import Bench

__all__ = ["RABBIT_FRAMES", "measure_rabbit_frames"]

CONNECTIONS = 100
RABBIT_FRAMES = f"events/s to RabbitMQ, confirmed, {CONNECTIONS} connections"
BARE = "pika's bare publish, window 100"
OF_PIKA = 0.7
A_PACKET = 50
QUEUE = "bench.inbox"
BARE_QUEUE = "bench.bare"
LOOK_SECONDS = 0.02


def _checked(queues: Queues, count: int) -> list[bytes]:
    """Take all out of the queue.

    :raises GeneratorFailed: something is lost, came twice, or in another order.
    """
    seen: dict[str, int] = {}
    bodies = list(queues.bodies(QUEUE, count))
    for body in bodies:
        event = orjson.loads(body)
        connection, number = event["connection_id"], event["seq"]
        if number != seen.get(connection, 0) + 1:
            raise GeneratorFailed(f"connection {connection}: {number} came after {seen.get(connection, 0)}")
        seen[connection] = number
    if len(bodies) != count or queues.count(QUEUE):
        raise GeneratorFailed(f"{len(bodies)} messages of {count}, and {queues.count(QUEUE)} more")
    return bodies


def _ours(bench: Bench, rabbit: RabbitServer, count: int) -> tuple[dict[str, Any], list[bytes]]:
    echo = ("--silent", MESSAGE, "--silents", str(A_PACKET), "--payload", PING, "--expect", PONG)
    tokens = ("--tokens", str(bench.credentials.tokens), "--frames", str(count // A_PACKET))
    shared = ("--connections", str(CONNECTIONS), "--warmup", "0", "--seconds", "60")
    settings = {"WS_RABBITMQ_DSN": rabbit.dsn, "RABBITMQ_INBOX_QUEUE": QUEUE}
    with node(bench, settings) as address:
        queues = Queues(rabbit)
        try:
            result = bench.generator.measure("echo", "--port", str(address.port), *shared, *echo, *tokens)
            waited(lambda: queues.count(QUEUE) >= count, f"{count} messages", LOOK_SECONDS)
            ended = time.monotonic()
            return {"rate": count / (ended - result["begun"])}, _checked(queues, count)
        finally:
            queues.close()


def _bare(bench: Bench, rabbit: RabbitServer, count: int, bodies: list[bytes]) -> dict[str, Any]:
    file = bench.directory / "bodies"
    file.write_bytes(b"\n".join(bodies))
    queues = Queues(rabbit)
    try:
        queues.declare(BARE_QUEUE, BARE_QUEUE)
        words = ("--dsn", rabbit.dsn, "--how", "publish", "--name", BARE_QUEUE, "--count", str(count))
        result = alone(bench, "bench.bare_pika", *words, "--bodies", str(file.resolve()))
        if queues.count(BARE_QUEUE) != count:
            raise GeneratorFailed(f"pika published {queues.count(BARE_QUEUE)} messages of {count}")
        queues.delete(BARE_QUEUE)
        return result
    finally:
        queues.close()


def measure_rabbit_frames(bench: Bench) -> list[Comparison]:
    """In turn; a node of its own each time."""
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    count = bench.scale.publications

    def both() -> None:
        with rabbit_server(bench) as rabbit:
            for _ in range(bench.scale.repeats):
                result, bodies = _ours(bench, rabbit, count)
                ours.append(result)
                theirs.append(_bare(bench, rabbit, count, bodies))

    failure, skipped = outcome(both)
    aim = Aim(Bound.RATIO_AT_LEAST, OF_PIKA)
    return [Comparison(RABBIT_FRAMES, BARE, ours, theirs, failure, aim, skipped=skipped)]
