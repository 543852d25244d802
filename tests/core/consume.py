"""`ws-gateway consume` as a process, and the applications that it runs."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ws_gateway
from tests.integration.harness.waiting import PATIENCE, until

__all__ = ["Consumer", "run_consumer"]

_SOURCE = str(Path(ws_gateway.__file__).resolve().parents[1])
_COMMAND = [sys.executable, "-c", "import sys; from ws_gateway.cli import main; sys.exit(main())", "consume"]

# Writes what it hears into a file, one line an event, before it returns; obeys the message's own words.
_APPLICATION = """
import json, os, time

def hear(event):
    message = getattr(event, "message", {})
    if message.get("poison"):
        os.kill(os.getpid(), 9)
    if message.get("die") and not os.path.exists("died"):
        open("died", "w").close()
        os.kill(os.getpid(), 9)
    if message.get("hang"):
        open("hanging", "w").close()
        time.sleep(float(message["hang"]))
    if message.get("fail"):
        left = int(open("left").read()) if os.path.exists("left") else message["fail"]
        if left:
            open("left", "w").write(str(left - 1))
            raise RuntimeError("as asked")
        os.remove("left")
    with open("heard", "a") as heard:
        heard.write(json.dumps([event.type, event.event_id, message]) + "\\n")
"""


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    passed_on = {name: os.environ[name] for name in ("PATH",) if name in os.environ}
    return {**passed_on, "PYTHONPATH": _SOURCE, "WS_CONSUMER_LOG_LEVEL": "DEBUG", **settings}


def run_consumer(settings: Mapping[str, str], *words: str) -> tuple[int, str]:
    """Run one that ends by itself.

    :returns: exit status and everything that it said.
    """
    done = subprocess.run(
        [*_COMMAND, *words],
        env=_environment(settings),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    return done.returncode, (done.stdout + done.stderr).decode()


class Consumer:
    """One that runs, with an application that writes down what it hears.

    :param place: where the application lies and writes; None makes one that goes with the consumer.
    """

    def __init__(self, settings: Mapping[str, str], *words: str, place: Path | None = None) -> None:
        self._own = TemporaryDirectory(prefix="consumer") if place is None else None
        self.place = Path(self._own.name) if self._own else place
        assert self.place is not None
        (self.place / "app.py").write_text(_APPLICATION)
        self._said: list[bytes] = []
        self._process = subprocess.Popen(
            [*_COMMAND, "app:hear", *words],
            env=_environment(settings),
            cwd=self.place,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def log(self) -> str:
        return b"".join(self._said).decode()

    def heard(self) -> list[tuple[str, str, dict[str, Any]]]:
        """(type, event id, message) of all that the application is done with."""
        path = self.place / "heard"
        lines = path.read_text().splitlines() if path.exists() else []
        return [tuple(json.loads(line)) for line in lines]  # type: ignore[misc]

    def wait_heard(self, count: int) -> list[tuple[str, str, dict[str, Any]]]:
        """Wait for so many at least."""
        return until(
            lambda: found if len(found := self.heard()) >= count else [], f"{count} events", lambda: self.log
        )

    def wait_file(self, name: str) -> None:
        """Wait until the application has made a file."""
        until((self.place / name).exists, f"the file {name}", lambda: self.log)

    def wait_said(self, words: str) -> None:
        """Wait for words in its log."""
        until(lambda: words in self.log, repr(words), lambda: self.log)

    def wait_exit(self) -> int:
        status = self._process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def kill(self) -> None:
        """SIGKILL."""
        self._process.kill()
        self.wait_exit()

    def freeze(self) -> None:
        """SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT."""
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> int:
        """SIGTERM.

        :returns: its exit status.
        """
        self._process.send_signal(signal.SIGTERM)
        return self.wait_exit()

    def tear_down(self) -> None:
        """End it whatever state it is in."""
        if self._process.poll() is None:
            self.kill()
        if self._own is not None:
            self._own.cleanup()

    def _read(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for line in stream:
                self._said.append(line)
