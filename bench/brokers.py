"""Brokers for the figures of core mode, on the generator's core, and nodes that use them."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from subprocess import SubprocessError
from typing import Any

from pika.exceptions import AMQPError
from tests.servers.process import Missing, Server
from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import RedisServer

from bench.generator import GeneratorFailed
from bench.servers import Address, ServerFailed, gateway, own_environment, pinned
from bench.surroundings import Bench

__all__ = [
    "alone",
    "core_settings",
    "cpu_seconds",
    "node",
    "outcome",
    "peak_bytes",
    "rabbit_server",
    "redis_server",
    "waited",
]

PATIENCE = 60.0


class _Redis(RedisServer):
    """Redis on one core."""

    def __init__(self, core: int | None) -> None:
        super().__init__()
        self._core = core

    def command(self) -> Sequence[str]:
        return [*pinned(self._core), *super().command()]


class _Rabbit(RabbitServer):
    """RabbitMQ on one core."""

    def __init__(self, core: int | None) -> None:
        super().__init__()
        self._core = core

    def command(self) -> Sequence[str]:
        return [*pinned(self._core), *super().command()]


def _start(server: Server) -> None:
    try:
        server.start()
    except AssertionError as failure:
        raise ServerFailed(str(failure)) from None


def outcome(measure: Callable[[], None]) -> tuple[str, str]:
    """Measure; what goes wrong with one figure of core mode is no reason to measure no other one.

    :returns: why there is no result, and why it was not tried: arguments of a Comparison.
    """
    try:
        measure()
    except Missing as missing:
        return "", str(missing)
    except (GeneratorFailed, ServerFailed, OSError, SubprocessError, AMQPError) as failure:
        return f"{failure or type(failure).__name__}", ""
    return "", ""


@contextmanager
def redis_server(bench: Bench, core: int | None = None) -> Iterator[RedisServer]:
    """A Redis that keeps what it acknowledged (`appendonly yes`, fsync every second).

    :param core: where it runs; None: on the generator's core.
    :raises Missing: it is not installed.
    """
    server = _Redis(bench.other_core if core is None else core)
    try:
        _start(server)
        yield server
    finally:
        server.stop()


@contextmanager
def rabbit_server(bench: Bench) -> Iterator[RabbitServer]:
    """A RabbitMQ with one scheduler.

    :raises Missing: it is not installed.
    """
    server = _Rabbit(bench.other_core)
    try:
        _start(server)
        yield server
    finally:
        server.stop()


def core_settings(bench: Bench) -> dict[str, str]:
    """A node whose clients are allowed whatever they can do."""
    return {
        **bench.settings(events="broker"),
        # Where the generator lags behind, nobody's publications are dropped: all must arrive.
        "WS_OUTBOX_QUEUE_SIZE": "1000000",
        "WS_OUTBOX_MAX_BYTES": "64MiB",
        "SHUTDOWN_GRACE_SECONDS": "5",
    }


@contextmanager
def node(bench: Bench, settings: Mapping[str, str], name: str = "node") -> Iterator[Address]:
    """A node in core mode on the servers' core, from when its brokers are there.

    :raises ServerFailed: it did not start, or did not live until the end.
    """
    all_of_it = {**core_settings(bench), "NODE_ID": name, **settings}
    with gateway(bench.core, bench.directory, all_of_it, "core", f"gateway-{name}") as address:
        waited(lambda: _ready(address), f"{name} to be ready")
        yield address


def _ready(address: Address) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{address.http_port}/ready", timeout=10) as answer:
            return bool(json.load(answer)["ok"])
    except urllib.error.HTTPError:
        return False


def waited(happened: Callable[[], bool], what: str, every: float = 0.05) -> None:
    """Look until it has happened.

    :raises ServerFailed: it does not.
    """
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            raise ServerFailed(f"waited {PATIENCE:g} s in vain for {what}")
        time.sleep(every)


def alone(bench: Bench, module: str, *words: str) -> dict[str, Any]:
    """What a program of ours measured by itself on the servers' core.

    :raises GeneratorFailed: it failed.
    """
    done = subprocess.run(
        [*pinned(bench.core), sys.executable, "-m", module, *words],
        env=own_environment({}),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    if done.returncode:
        raise GeneratorFailed(f"{module} failed: {(done.stderr or done.stdout)[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def peak_bytes(pid: int) -> int:
    """The most memory that a process had resident.

    :raises ServerFailed: it is gone.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ServerFailed(f"process {pid} has no memory: it is gone")


def cpu_seconds(pid: int) -> float:
    """How long the threads of a process have run."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks) / 1e9
