"""Publications from the outbox of a broker to many connections, as fast as a node takes them.

They are written while the node is stopped (SIGSTOP), so that writing them costs the measurement nothing, and
however fast a writer is, it is not slower than that. The time begins when the node goes on and ends with the
last delivery; every connection must get every publication, once and in order.
"""

import os
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

import hiredis
import pika
from tests.servers.rabbitmq import RabbitServer

from bench.brokers import alone, node, outcome, rabbit_server, redis_server
from bench.commands import Commands
from bench.comparison import Aim, Bound, Comparison
from bench.figures import API_KEY, BODY, CHANNEL, EVENT, HOLE, PUBLISH, SINGLE
from bench.queues import Queues
from bench.servers import Address
from bench.surroundings import Bench

__all__ = [
    "PIKA",
    "REDIS",
    "from_redis",
    "hole_filled",
    "listening",
    "measure_rabbit_outbox",
    "measure_redis_outbox",
    "rabbit_outbox_names",
    "redis_outbox_names",
]

CONNECTIONS = 1000
REDIS = f"deliveries/s to {CONNECTIONS:,} from the Redis outbox, as fast as written"
RABBITMQ = f"publications/s from RabbitMQ, each to {CONNECTIONS:,}, as fast as written"
HTTP = "one at a time by HTTP"
PIKA = "pika consuming alone"
OF_HTTP = 10
OF_PIKA = 0.5
OUTBOX = "ws.outbox"
A_BLOB = 1000


def redis_outbox_names() -> list[str]:
    """The rows that measure_redis_outbox() makes."""
    return [REDIS]


def rabbit_outbox_names() -> list[str]:
    """The rows that measure_rabbit_outbox() makes."""
    return [RABBITMQ]


def hole_filled(count: int) -> list[bytes]:
    """So many publications, numbered from 0."""
    return [BODY.replace(HOLE, f"{number:010}").encode() for number in range(count)]


def listening(bench: Bench, connections: int = CONNECTIONS) -> tuple[str, ...]:
    """Arguments of connections that hear the publications."""
    tokens = ("--tokens", str(bench.credentials.tokens), "--path", f"/ws?channels={CHANNEL}")
    return (*tokens, "--connections", str(connections), "--expect", EVENT)


def _while_stopped(bench: Bench, address: Address, count: int, write: Callable[[], None]) -> dict[str, Any]:
    """Write while the node is stopped, and let it go on."""
    total = ("--deliveries", str(count * CONNECTIONS), "--publishers", "0", "--in-order")
    times = ("--warmup", "0", "--seconds", "60")
    port = ("--port", str(address.port))
    with bench.generator.beside("fanout", *port, *listening(bench), *total, *times) as seen:
        os.kill(address.pid, signal.SIGSTOP)
        try:
            write()
        finally:
            began = time.monotonic()
            os.kill(address.pid, signal.SIGCONT)
    seconds = seen["ended"] - began
    return {
        "rate": count * CONNECTIONS / seconds,
        "publications_rate": count / seconds,
        "generator_busy": seen["generator_busy"],
    }


def from_redis(port: int, publications: Sequence[bytes]) -> None:
    """Write them to the outbox.

    :raises GeneratorFailed: Redis did not take them.
    """
    commands = Commands(port)
    try:
        for at in range(0, len(publications), A_BLOB):
            some = publications[at : at + A_BLOB]
            commands.tell([hiredis.pack_command(("XADD", OUTBOX, "*", "data", each)) for each in some])
    finally:
        commands.close()


def _http(bench: Bench, address: Address) -> dict[str, Any]:
    """The same node, publications to itself alone."""
    publish = ("--publish-path", "/internal/publish?scope=node", "--api-key", API_KEY)
    shared = (
        "--port",
        str(address.port),
        "--connections",
        str(CONNECTIONS),
        "--seconds",
        str(bench.scale.seconds),
    )
    heard = ("--tokens", str(bench.credentials.tokens), "--path", f"/ws?channels={CHANNEL}")
    return bench.generator.measure("fanout", *shared, *SINGLE, *PUBLISH, *publish, *heard)


def measure_redis_outbox(bench: Bench) -> list[Comparison]:
    """Beside what the same node reaches one at a time."""
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    count = bench.scale.publications
    publications = hole_filled(count)

    def both() -> None:
        with redis_server(bench) as redis, node(bench, {"WS_REDIS_DSN": redis.dsn}) as address:
            for _ in range(bench.scale.repeats):
                ours.append(
                    _while_stopped(bench, address, count, lambda: from_redis(redis.port, publications))
                )
                theirs.append(_http(bench, address))

    failure, skipped = outcome(both)
    aim = Aim(Bound.RATIO_AT_LEAST, OF_HTTP)
    return [Comparison(REDIS, HTTP, ours, theirs, failure, aim, skipped=skipped)]


def _write_to_rabbit(rabbit: RabbitServer, publications: Sequence[bytes]) -> None:
    """Write them to the outbox; the last one is confirmed, so all are routed."""
    connection = pika.BlockingConnection(pika.URLParameters(rabbit.dsn))
    channel = connection.channel()
    properties = pika.BasicProperties(content_type="application/json", delivery_mode=2)
    for publication in publications[:-1]:
        channel.basic_publish(OUTBOX, OUTBOX, publication, properties)
    channel.confirm_delivery()
    channel.basic_publish(OUTBOX, OUTBOX, publications[-1], properties)
    connection.close()


ALONE = "bench.alone"


def _pika(bench: Bench, rabbit: RabbitServer, publications: Sequence[bytes]) -> dict[str, Any]:
    """A queue with the same publications in it, and nobody but pika."""
    queues = Queues(rabbit)
    try:
        queues.declare(ALONE, OUTBOX)
        _write_to_rabbit(rabbit, publications)
        words = ("--dsn", rabbit.dsn, "--how", "consume", "--name", ALONE, "--count", str(len(publications)))
        result = alone(bench, "bench.bare_pika", *words)
        queues.delete(ALONE)
        return result
    finally:
        queues.close()


def measure_rabbit_outbox(bench: Bench) -> list[Comparison]:
    """Publications are counted here, as pika has nobody to deliver them to."""
    ours: list[dict[str, Any]] = []
    theirs: list[dict[str, Any]] = []
    count = bench.scale.publications // 2
    publications = hole_filled(count)

    def both() -> None:
        with rabbit_server(bench) as rabbit:
            for _ in range(bench.scale.repeats):
                # A node of its own each time: without one nobody else takes what pika is to take.
                with node(bench, {"WS_RABBITMQ_DSN": rabbit.dsn}) as address:
                    seen = _while_stopped(
                        bench, address, count, lambda: _write_to_rabbit(rabbit, publications)
                    )
                ours.append({**seen, "rate": seen["publications_rate"]})
                theirs.append(_pika(bench, rabbit, publications))

    failure, skipped = outcome(both)
    aim = Aim(Bound.RATIO_AT_LEAST, OF_PIKA)
    return [Comparison(RABBITMQ, PIKA, ours, theirs, failure, aim, skipped=skipped)]
