"""How many messages a second come out as webhooks, and how long one takes, beside a bare Agent.

The generator is client and backend in one: its clients keep 32 messages in flight, two on each of 16
connections, so one request is on its way and one waits for each of the 16 places. The bare Agent has 16
requests in flight.
"""

import json
import subprocess
import sys
from typing import Any

from bench.comparison import Aim, Bound, Comparison
from bench.generator import GeneratorFailed
from bench.servers import free_ports, gateway, own_environment, pinned
from bench.surroundings import Bench

__all__ = ["AGENT", "measure_webhooks", "webhook_names"]

AGENT = "bare Agent, 16 in flight"
DELAYS_MS = (0, 20)
RATIO = 0.7
CONNECTIONS = "16"
DEPTH = "2"
MESSAGE = '{"type":"chat","payload":"hello world"}'


def _name(delay_ms: int) -> str:
    return f"webhooks/s, the receiver takes {delay_ms} ms"


def webhook_names() -> list[str]:
    """The rows that measure_webhooks() makes."""
    return [_name(delay) for delay in DELAYS_MS]


def _agent(bench: Bench, port: int, delay_ms: int) -> dict[str, Any]:
    receive = (
        "--port=1",
        "--connections=0",
        f"--hook-port={port}",
        f"--delay-ms={delay_ms}",
        "--seconds=600",
    )
    words = ["--port", str(port), "--seconds", str(bench.scale.seconds)]
    with bench.generator.beside("hooks", *receive):
        done = subprocess.run(
            [*pinned(bench.core), sys.executable, "-m", "bench.bare_agent", *words],
            env=own_environment({}),
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        raise GeneratorFailed(f"the bare Agent failed: {(done.stderr or done.stdout)[-500:]}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measure_webhooks(bench: Bench) -> list[Comparison]:
    """A receiver that answers at once, and one that takes its time."""
    [port] = free_ports(1)
    settings = {
        **bench.settings(events="webhook"),
        "WEBHOOK_URL": f"http://127.0.0.1:{port}/hook",
        "WEBHOOK_SECRET": "bench-webhook-secret",
        "SHUTDOWN_GRACE_SECONDS": "2",
    }
    clients = ["--connections", CONNECTIONS, "--depth", DEPTH, "--payload", MESSAGE]
    clients += ["--tokens", str(bench.credentials.tokens), "--seconds", str(bench.scale.seconds)]
    aim = Aim(Bound.RATIO_AT_LEAST, RATIO)
    rows = []
    with gateway(bench.core, bench.directory, settings) as address:
        for delay in DELAYS_MS:
            hook = (f"--port={address.port}", f"--hook-port={port}", f"--delay-ms={delay}")
            ours, theirs, failure = [], [], ""
            try:
                for _ in range(bench.scale.repeats):
                    ours.append(bench.generator.measure("hooks", *hook, *clients))
                    theirs.append(_agent(bench, port, delay))
            except GeneratorFailed as failed:
                failure = str(failed)
            rows.append(Comparison(_name(delay), AGENT, ours, theirs, failure, aim))
    return rows
