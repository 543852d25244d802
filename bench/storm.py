"""The storm: what a hundred healthy clients notice of several hundred that nobody wants.

The healthy ones are measured three times: before, while the attackers are at it, and afterwards. Half of them
ping, the others hear publications. The gateway has an operator's limits; for the other figures they are off.
"""

import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bench.figures import API_KEY, BODY, CHANNEL, EVENT, PING, PONG
from bench.generator import Generator
from bench.memory import resident_bytes
from bench.servers import Address, gateway
from bench.storm_report import Phase, Storm
from bench.tokens import Credentials

__all__ = ["NAME", "ROWS", "measure_storm"]

NAME = "storm: p99 of 100 healthy clients"

HEALTHY = 50
PINGS_A_SECOND = 10
PUBLICATIONS_A_SECOND = 40
ROWS = {
    "pings": f"{HEALTHY} ping {PINGS_A_SECOND} times a second",
    "publications": f"{HEALTHY} hear {PUBLICATIONS_A_SECOND} publications a second",
}

PUBLISH = ("--publishers=1", "--window=100", f"--api-key={API_KEY}")
SAMPLE_SECONDS = 0.2
COUNTERS = ("ws_refused_total", "ws_rate_limited_total", "ws_outbox_dropped_total", "ws_disconnects_total")

FLOODED = "flooded"
"""The channel of the attackers. What is published there is large, so that a slow reader's socket fills."""

LARGE = "x" * 16_000
LARGE_BODY = f'{{"subjects":["channel:{FLOODED}"],"payload":"{LARGE}"}}'
LARGE_EVENT = f'{{"type":"event","payload":"{LARGE}"}}'
LARGE_A_SECOND = 10
FILL_A_SECOND = 100
FILL_SECONDS = 4
"""Before the measurement: 6 MB for each slow reader, more than the kernel and its queue take."""


def _phase(
    generator: Generator, address: Address, tokens: Path, seconds: float, large: bool = False
) -> Phase:
    """Measure the healthy clients; with `large`, something is published to the others meanwhile."""
    shared = [f"--port={address.port}", f"--tokens={tokens}", f"--seconds={seconds}", "--warmup=1"]
    publish = [*PUBLISH, f"--path=/ws?channels={CHANNEL}"]
    ping = [f"--rate={PINGS_A_SECOND}", "--depth=100", f"--payload={PING}", f"--expect={PONG}"]
    small = [f"--rate={PUBLICATIONS_A_SECOND}", f"--body={BODY}", f"--expect={EVENT}"]
    healthy = [f"--connections={HEALTHY}", *shared]
    with ThreadPoolExecutor(3) as pool:
        pings = pool.submit(generator.measure, "echo", *healthy, *ping)
        heard = pool.submit(generator.measure, "fanout", *healthy, *publish, *small)
        if large:
            pool.submit(generator.measure, "fanout", *shared, *_large(LARGE_A_SECOND)).result()
        return Phase(pings.result(), heard.result())


def _large(rate: int) -> list[str]:
    """Large publications to whoever attacks, and to one who reads."""
    shown = [f"--path=/ws?channels={FLOODED}", f"--body={LARGE_BODY}", f"--expect={LARGE_EVENT}"]
    return [*PUBLISH, *shown, "--connections=1", "--others=1000", f"--rate={rate}"]


class _Peak:
    """The most memory that a process has while this is entered."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.bytes = 0

    def __enter__(self) -> "_Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            self.bytes = max(self.bytes, resident_bytes(self._pid))


def _counted(address: Address) -> dict[str, int]:
    """The counters of the gateway, their labels added up."""
    with urllib.request.urlopen(f"http://127.0.0.1:{address.port}/metrics", timeout=10) as answer:
        text: str = answer.read().decode()
    counted = dict.fromkeys(COUNTERS, 0)
    for line in text.splitlines():
        name = line.partition("{")[0].partition(" ")[0]
        if name in counted:
            counted[name] += int(float(line.rpartition(" ")[2]))
    return counted


def measure_storm(
    generator: Generator, core: int | None, directory: Path, credentials: Credentials, seconds: float
) -> Storm:
    """Measure the calm, the storm and the calm after it.

    :param seconds: of each span.
    :raises GeneratorFailed: a healthy client saw anything but what it should, or the storm could not be.
    :raises ServerFailed: the gateway did not start or died.
    """
    settings = {
        "JWT_PUBLIC_KEY_FILE": str(credentials.public_key),
        "GATEWAY_API_KEY": API_KEY,
        "EVENTS_MODE": "none",
        "WS_CHANNELS_OPEN": "1",
        # All come from one address here, and the dearest answer to a bad token is to judge it.
        "AUTH_FAILURES_PER_MINUTE": "0",
    }
    with gateway(core, directory, settings) as address:
        calm = [_phase(generator, address, credentials.tokens, seconds)]
        before, counted = resident_bytes(address.pid), _counted(address)
        storm = [f"--port={address.port}", f"--path=/ws?channels={FLOODED}", f"--seconds={seconds + 60}"]
        storm += [f"--tokens={credentials.tokens}", f"--bad-tokens={credentials.bad_tokens}"]
        with _Peak(address.pid) as peak, generator.beside("storm", *storm) as attackers:
            fill = [f"--port={address.port}", f"--tokens={credentials.tokens}", f"--seconds={FILL_SECONDS}"]
            generator.measure("fanout", *fill, *_large(FILL_A_SECOND))
            raging = _phase(generator, address, credentials.tokens, seconds, large=True)
            counted = {name: count - counted[name] for name, count in _counted(address).items()}
        calm.append(_phase(generator, address, credentials.tokens, seconds))
        return Storm(calm, raging, attackers, counted, (before, peak.bytes, resident_bytes(address.pid)))
