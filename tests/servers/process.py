"""A server as a process that can be killed, frozen and brought back at the same place."""

import atexit
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

__all__ = ["PATIENCE", "Missing", "Server", "free_port", "wait_until"]

PATIENCE = 60.0
"""Seconds after which a server that does not do what it should is given up; never a measure of speed."""


class Missing(Exception):
    """A server is not installed; the message says what to install."""


def free_port() -> int:
    """A TCP port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(happened: Callable[[], bool], what: str) -> None:
    """Look again and again until it has happened.

    :raises AssertionError: it does not.
    """
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        time.sleep(0.02)


class Server:
    """One server. Subclasses say how it is started and when it answers.

    :ivar directory: everything that it writes.
    :ivar port: where clients reach it; stays the same over restarts.
    """

    name = "server"

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.port = free_port()
        self._process: subprocess.Popen[bytes] | None = None
        self._frozen = False
        atexit.register(self.stop)

    def command(self) -> Sequence[str]:
        """The words that start it."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Its environment."""
        return dict(os.environ)

    def answers(self) -> bool:
        """Whether it serves clients."""
        raise NotImplementedError

    @property
    def log(self) -> str:
        """Everything that it said."""
        return (self.directory / "output").read_text(errors="replace")

    @property
    def running(self) -> bool:
        """Whether it was started, and not killed since."""
        return self._process is not None

    def start(self) -> None:
        """Start it, at the same place as before, and wait until it serves."""
        assert self._process is None, "it runs"
        with (self.directory / "output").open("ab") as output:
            self._process = subprocess.Popen(
                list(self.command()),
                env=dict(self.environment()),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        process = self._process

        def serves() -> bool:
            if process.poll() is not None:
                raise AssertionError(f"{self.name} ended at once:\n{self.log[-4000:]}")
            return self.answers()

        try:
            wait_until(serves, f"{self.name} to serve")
        except BaseException:
            self.kill()
            raise

    def signal(self, number: int) -> None:
        """Send a signal to it and all of its helpers, which are a session of their own."""
        assert self._process is not None
        os.killpg(self._process.pid, number)

    def kill(self) -> None:
        """SIGKILL: nothing is said, nothing is written."""
        if self._process is None:
            return
        self._signal_if_there(signal.SIGKILL)
        self._process.wait(PATIENCE)
        self._process = None
        self._frozen = False

    def restart(self) -> None:
        """SIGKILL, and back at the same place with the same data."""
        self.kill()
        self.start()

    def freeze(self) -> None:
        """SIGSTOP: connections stay, nobody answers."""
        self.signal(signal.SIGSTOP)
        self._frozen = True

    def thaw(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)
        self._frozen = False

    def stop(self) -> None:
        """End it for good and remove what it wrote."""
        atexit.unregister(self.stop)
        if self._process is not None:
            if self._frozen:
                self._signal_if_there(signal.SIGCONT)
            self._signal_if_there(signal.SIGTERM)
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                pass
            self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _signal_if_there(self, number: int) -> None:
        try:
            self.signal(number)
        except ProcessLookupError:
            pass
