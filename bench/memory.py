"""What an idle connection costs in memory, beside a bare server that was sent the same heads."""

import time
from pathlib import Path

from attrs import evolve

from bench.comparison import Aim, Bound, Comparison, Unit
from bench.figures import AUTOBAHN
from bench.generator import GeneratorFailed
from bench.servers import Address, bare_autobahn, gateway
from bench.surroundings import Bench
from bench.tokens import make_long_tokens

__all__ = ["CHROME", "idle_settings", "idle_tokens", "measure_memory", "memory_names", "resident_bytes"]

TOKEN_BYTES = 800
SECRET = "a secret that only this measurement knows"
KILOBYTES = 8
FLAT = 1.1
"""How much more one of the most connections may cost than one of the fewest."""

SETTLE_SECONDS = 1.0

CHROME = (
    "Pragma: no-cache",
    "Cache-Control: no-cache",
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/142.0.0.0 Safari/537.36",
    "Origin: https://app.example.com",
    "Accept-Encoding: gzip, deflate, br, zstd",
    "Accept-Language: en-GB,en-US;q=0.9,en;q=0.8,de;q=0.7",
    "Cookie: session=0123456789abcdef0123456789abcdef; theme=dark",
    "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
)
"""What a browser sends beside the handshake itself."""


def resident_bytes(pid: int) -> int:
    """The resident memory of a process.

    :raises GeneratorFailed: it is gone.
    """
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise GeneratorFailed(f"process {pid} has no memory: it is gone")


def idle_settings() -> dict[str, str]:
    """An operator's gateway, as these tokens need it."""
    return {"JWT_ALG": "HS256", "JWT_SECRET": SECRET, "EVENTS_MODE": "none", "LOG_LEVEL": "WARN"}


def idle_tokens(bench: Bench, count: int) -> tuple[str, ...]:
    """Arguments that make connections those of a browser with a long token."""
    path = bench.directory / "long-tokens"
    make_long_tokens(path, count, TOKEN_BYTES, SECRET)
    return ("--tokens", str(path), *(f"--header={line}" for line in CHROME))


def _name(count: int) -> str:
    return f"memory of an idle connection, {count:,} open"


def _flat_name(counts: tuple[int, ...]) -> str:
    return f"the same, {counts[-1]:,} open"


def memory_names(counts: tuple[int, ...]) -> list[str]:
    """The rows that measure_memory() makes."""
    return [*map(_name, counts), _flat_name(counts)]


def _cost(bench: Bench, address: Address, count: int, heads: tuple[str, ...]) -> dict[str, float]:
    """Bytes a connection, of a server that nobody else uses."""
    port = ("--port", str(address.port), *heads)
    # What is made once, for the first connection, is no cost of each. Few: what they give back is used again.
    bench.generator.measure("connect", *port, "--connections", "5")
    before = resident_bytes(address.pid)
    with bench.generator.beside("idle", *port, "--connections", str(count), "--seconds", "60"):
        time.sleep(SETTLE_SECONDS)
        return {"bytes": (resident_bytes(address.pid) - before) / count}


def measure_memory(bench: Bench) -> list[Comparison]:
    """Once for each count, with fresh servers: memory that was given back would be used again."""
    counts = bench.scale.idle
    heads = idle_tokens(bench, max(counts))
    rows = []
    for count in counts:
        row = Comparison(_name(count), AUTOBAHN, unit=Unit.BYTES, aim=Aim(Bound.AT_MOST, KILOBYTES * 1024))
        try:
            with gateway(bench.core, bench.directory, idle_settings()) as address:
                ours = _cost(bench, address, count, heads)
            with bare_autobahn(bench.core, bench.directory) as address:
                theirs = _cost(bench, address, count, heads)
            rows.append(evolve(row, ours=[ours], theirs=[theirs]))
        except GeneratorFailed as failure:
            rows.append(evolve(row, failure=str(failure)))
    flat = Aim(Bound.RATIO_AT_MOST, FLAT)
    fewest, most = rows[0], rows[-1]
    beside = f"{counts[0]:,} open"
    why = most.failure or fewest.failure
    rows.append(
        Comparison(_flat_name(counts), beside, most.ours, fewest.ours, failure=why, aim=flat, unit=Unit.BYTES)
    )
    return rows
