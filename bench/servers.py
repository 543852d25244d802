"""The servers that are measured: started on their core, waited for, and stopped whatever happens."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from attrs import frozen

__all__ = ["Address", "ServerFailed", "bare_autobahn", "gateway", "pinned"]

ROOT = Path(__file__).parent.parent
START_SECONDS = 20.0
STOP_SECONDS = 30.0


class ServerFailed(Exception):
    """A server did not start, or died. The text holds the end of its log."""


@frozen
class Address:
    """Where a server listens on 127.0.0.1.

    :ivar http_port: where it takes publish calls; may be the same port.
    """

    port: int
    http_port: int


def pinned(cpu: int | None) -> list[str]:
    """The words before a command that keep it on one core and end it with us, where that can be done."""
    words = []
    if shutil.which("setpriv"):
        words += ["setpriv", "--pdeathsig", "TERM"]
    if cpu is not None and shutil.which("taskset"):
        words += ["taskset", "--cpu-list", str(cpu)]
    return words


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The checkout's own code and these settings; nothing of the caller's that could change the figures."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}", **settings}


def _failed(what: str, log: Path) -> ServerFailed:
    return ServerFailed(f"{what}; the end of {log}:\n{log.read_text(errors='replace')[-1500:]}")


@contextmanager
def _running(
    command: Sequence[str], settings: Mapping[str, str], directory: Path, log: Path
) -> Iterator[subprocess.Popen[str]]:
    with log.open("w") as sink:
        # A session of its own: Ctrl-C reaches us alone, and we stop what we started in order.
        process = subprocess.Popen(
            command,
            env=_environment(settings),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=sink,
            text=True,
            start_new_session=True,
        )
        try:
            yield process
            if process.poll() is not None:
                raise _failed(f"the server ended with status {process.returncode}", log)
        finally:
            _stop(process)


def _stop(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            print(
                f"bench: process {process.pid} did not stop within {STOP_SECONDS:g} s: killed",
                file=sys.stderr,
            )
            process.kill()
            process.wait()
    if process.stdout is not None:
        process.stdout.close()


@contextmanager
def bare_autobahn(cpu: int | None, directory: Path, as_shipped: bool = False) -> Iterator[Address]:
    """The comparison server.

    :raises ServerFailed: it did not start, or did not live until the end.
    """
    name = "autobahn-as-shipped" if as_shipped else "autobahn"
    log = directory / f"{name}.log"
    command = [*pinned(cpu), sys.executable, "-m", "bench.bare_autobahn"]
    if as_shipped:
        command.append("--as-shipped")
    with _running(command, {}, directory, log) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise _failed("the bare Autobahn server did not start", log)
        yield Address(**json.loads(line))


@contextmanager
def gateway(cpu: int | None, directory: Path, settings: Mapping[str, str]) -> Iterator[Address]:
    """The gateway in terminator mode, with `settings` over its defaults.

    :raises ServerFailed: it did not start, or did not live until the end.
    """
    port = _free_port()
    log = directory / "gateway.log"
    # twistd's own script may lie anywhere; its function lies where this interpreter finds it.
    twistd = [sys.executable, "-c", "from twisted.scripts.twistd import run; run()"]
    plugin = ["--nodaemon", "--pidfile=", f"--logfile={directory / 'twistd.log'}", "ws-gateway"]
    command = [*pinned(cpu), *twistd, *plugin, "--mode", "terminator"]
    fixed = {"WS_HOST": "127.0.0.1", "WS_PORT": str(port)}
    with _running(command, {**fixed, **settings}, directory, log) as process:
        deadline = time.monotonic() + START_SECONDS
        while not _healthy(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise _failed("the gateway did not start", log)
            time.sleep(0.05)
        yield Address(port, port)


def _healthy(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=2) as answer:
            return bool(answer.status == 200)
    except (urllib.error.URLError, OSError):
        return False
