"""The servers that are measured: started on their core, waited for, and stopped whatever happens."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from attrs import evolve, frozen

__all__ = [
    "NCHAN_MISSING",
    "Address",
    "ServerFailed",
    "bare_autobahn",
    "free_ports",
    "gateway",
    "nchan",
    "nchan_module",
    "observed_gateway",
    "own_environment",
    "pinned",
]

ROOT = Path(__file__).parent.parent
START_SECONDS = 20.0
STOP_SECONDS = 30.0

NCHAN_MISSING = "nginx with Nchan is not installed: apt-get install nginx-light libnginx-mod-nchan"
MODULES = ("/usr/lib/nginx/modules", "/usr/share/nginx/modules", "/usr/lib64/nginx/modules")


class ServerFailed(Exception):
    """A server did not start, or died. The text holds the end of its log."""


@frozen
class Address:
    """Where a server listens on 127.0.0.1.

    :ivar http_port: where it takes publish calls; may be the same port.
    :ivar pid: its process, once it runs.
    """

    port: int
    http_port: int
    pid: int = 0


def pinned(cpu: int | None) -> list[str]:
    """The words before a command that keep it on one core and end it with us, where that can be done."""
    words = []
    if shutil.which("setpriv"):
        words += ["setpriv", "--pdeathsig", "TERM"]
    if cpu is not None and shutil.which("taskset"):
        words += ["taskset", "--cpu-list", str(cpu)]
    return words


def free_ports(count: int) -> list[int]:
    """Ports that nobody uses now, all different."""
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


def own_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The checkout's own code and these settings; nothing of the caller's that could change the figures."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", **settings}


def _failed(what: str, log: Path) -> ServerFailed:
    return ServerFailed(f"{what}; the end of {log}:\n{log.read_text(errors='replace')[-1500:]}")


@contextmanager
def _running(
    command: Sequence[str], settings: Mapping[str, str], address: Address, directory: Path, name: str
) -> Iterator[Address]:
    """A server from the moment at which it listens until it is stopped; all its output goes to its log."""
    log = directory / f"{name}.log"
    with log.open("w") as sink:
        # A session of its own: Ctrl-C reaches us alone, and we stop what we started in order.
        process = subprocess.Popen(
            command,
            env=own_environment(settings),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + START_SECONDS
            while not (_listens(address.port) and _listens(address.http_port)):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise _failed(f"{name} did not start", log)
                time.sleep(0.05)
            yield evolve(address, pid=process.pid)
            if process.poll() is not None:
                raise _failed(f"{name} ended with status {process.returncode}", log)
        finally:
            _stop(process)


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=2).close()
    except OSError:
        return False
    return True


def _stop(process: "subprocess.Popen[bytes]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            print(f"bench: process {process.pid} did not stop in {STOP_SECONDS:g} s: killed", file=sys.stderr)
            process.kill()
            process.wait()


def bare_autobahn(
    cpu: int | None, directory: Path, as_shipped: bool = False
) -> AbstractContextManager[Address]:
    """The comparison server.

    :raises ServerFailed: it did not start, or did not live until the end.
    """
    address = Address(*free_ports(2))
    ports = ["--port", str(address.port), "--http-port", str(address.http_port)]
    command = [*pinned(cpu), sys.executable, "-m", "bench.bare_autobahn", *ports]
    if as_shipped:
        return _running([*command, "--as-shipped"], {}, address, directory, "autobahn-as-shipped")
    return _running(command, {}, address, directory, "autobahn")


# The script may lie anywhere; its function lies where this interpreter finds it.
TWISTD = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "--nodaemon", "--pidfile=")


def gateway(
    cpu: int | None,
    directory: Path,
    settings: Mapping[str, str],
    mode: str = "terminator",
    name: str = "gateway",
) -> AbstractContextManager[Address]:
    """The gateway, with `settings` over its defaults.

    :param name: of its log; two that run at once need two.
    :raises ServerFailed: it did not start, or did not live until the end.
    """
    [port] = free_ports(1)
    command = [*pinned(cpu), *TWISTD, "ws-gateway", "--mode", mode]
    listen = {"WS_HOST": "127.0.0.1", "WS_PORT": str(port)}
    return _running(command, {**listen, **settings}, Address(port, port), directory, name)


def observed_gateway(
    cpu: int | None, directory: Path, settings: Mapping[str, str]
) -> AbstractContextManager[Address]:
    """The same gateway with `bench.observed` beside it, whose port is the `http_port`.

    :raises ServerFailed: it did not start, or did not live until the end.
    """
    address = Address(*free_ports(2))
    command = [*pinned(cpu), *TWISTD, "--python", str(ROOT / "bench" / "observed.tac")]
    listen = {"WS_HOST": "127.0.0.1", "WS_PORT": str(address.port)}
    observer = {"BENCH_OBSERVER_PORT": str(address.http_port)}
    return _running(command, {**listen, **observer, **settings}, address, directory, "gateway-observed")


def nchan_module() -> Path | None:
    """Where the module for nginx lies; None where it, or nginx, is not installed."""
    if shutil.which("nginx") is None:
        return None
    found = (Path(directory, "ngx_nchan_module.so") for directory in MODULES)
    return next((module for module in found if module.exists()), None)


def nchan(cpu: int | None, directory: Path) -> AbstractContextManager[Address]:
    """nginx with Nchan, one worker; `bench/nchan.conf` is its configuration.

    :raises ServerFailed: it did not start, or did not live until the end.
    """
    module = nchan_module()
    if module is None:
        raise ServerFailed(NCHAN_MISSING)
    [port] = free_ports(1)
    configuration = (ROOT / "bench" / "nchan.conf").read_text()
    # Root's workers would otherwise be another user's, who may not write to our directory.
    user = "user root;" if os.geteuid() == 0 else ""
    values = {"MODULE": module, "DIRECTORY": directory.resolve(), "PORT": port, "USER": user}
    for name, value in values.items():
        configuration = configuration.replace(f"@{name}@", str(value))
    file = directory / "nchan.conf"
    file.write_text(configuration)
    command = [*pinned(cpu), "nginx", "-c", str(file.resolve()), "-p", str(directory.resolve())]
    return _running(command, {}, Address(port, port), directory, "nchan")
