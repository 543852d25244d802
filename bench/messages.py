"""`message_received` through the whole pipeline: parsed, judged, encoded, kept in order, signed and counted.

The sink is that of `bench.observed`, which has no target. A message has no answer, so eight of them are
followed by a ping in the same packet: the next eight leave when its pong comes, and at the end the sink must
have counted all.
"""

from bench.comparison import Aim, Bound, Comparison
from bench.figures import AUTOBAHN, PING, PONG
from bench.gap import observed
from bench.generator import GeneratorFailed
from bench.servers import Address, bare_autobahn, observed_gateway
from bench.surroundings import Bench

__all__ = ["MESSAGES", "measure_messages"]

MESSAGES = "message_received/s into a counting sink, 100 connections, 8 in flight"
RATIO = 1.5
AT_ONCE = "8"
MESSAGE = '{"type":"chat","payload":"hello world"}'
CONNECTIONS = 100
EVENTS_OF_A_CONNECTION = 2  # connected, disconnected


def _ours(bench: Bench, address: Address, shared: tuple[str, ...]) -> dict[str, object]:
    before = observed(address)["counted"]
    silent = ("--silent", MESSAGE, "--silents", AT_ONCE, "--depth", "1", "--payload", PING, "--expect", PONG)
    tokens = ("--tokens", str(bench.credentials.tokens))
    result = bench.generator.measure_alone("echo", "--port", str(address.port), *shared, *silent, *tokens)
    seen = observed(address)
    due = result["silent"] + EVENTS_OF_A_CONNECTION * CONNECTIONS
    if seen["counted"] - before != due or seen["disorder"]:
        counted = seen["counted"] - before
        raise GeneratorFailed(f"{due} events, {counted} were counted, {seen['disorder']} in disorder")
    return result


def measure_messages(bench: Bench) -> list[Comparison]:
    """Beside a server that echoes the same messages, as many in flight."""
    shared = ("--connections", str(CONNECTIONS), "--seconds", str(bench.scale.seconds))
    echoed = ("--payload", MESSAGE, "--expect", MESSAGE, "--depth", AT_ONCE)
    settings = {
        **bench.settings(events="webhook"),
        "WEBHOOK_URL": "http://127.0.0.1:9/never-asked",
        "WEBHOOK_SECRET": "bench-webhook-secret",
    }
    ours, theirs = [], []
    aim = Aim(Bound.RATIO_AT_LEAST, RATIO)
    with (
        observed_gateway(bench.core, bench.directory, settings) as address,
        bare_autobahn(bench.core, bench.directory) as other,
    ):
        try:
            for _ in range(bench.scale.repeats):
                ours.append(_ours(bench, address, shared))
                theirs.append(
                    bench.generator.measure_alone("echo", "--port", str(other.port), *shared, *echoed)
                )
        except GeneratorFailed as failure:
            return [Comparison(MESSAGES, AUTOBAHN, failure=str(failure), aim=aim)]
    return [Comparison(MESSAGES, AUTOBAHN, ours, theirs, aim=aim)]
