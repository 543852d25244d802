"""`twistd ws-gateway` as a process of its own."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import ws_gateway
from tests.integration.harness.canary import leaks, secret
from tests.integration.harness.keys import key_pair
from tests.integration.harness.waiting import PATIENCE, until

__all__ = ["API_KEY", "Answer", "Daemon", "start_and_fail"]

API_KEY = secret("key")

_ROOT = Path(__file__).resolve().parents[3]
_RUN = str(Path(__file__).with_name("run_twistd.py"))
_PASSED_ON = ("PATH", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "COVERAGE_FILE")
_COMMAND = [sys.executable, _RUN, "--nodaemon", "--pidfile=", "ws-gateway"]


def _mode(settings: Mapping[str, str | None]) -> list[str]:
    """The mode as people write it: on the command line."""
    return ["--mode", settings.get("WS_MODE") or "terminator"]


def _environment(settings: Mapping[str, str]) -> dict[str, str]:
    """A clean environment; from a checkout, the code and the plugin of that checkout."""
    environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
    source = Path(ws_gateway.__file__).resolve().parents[1]
    if source == _ROOT / "src":
        environment["PYTHONPATH"] = os.pathsep.join([str(source), str(_ROOT)])
    return {**environment, **settings}


def defaults() -> dict[str, str]:
    """Settings with which a daemon starts."""
    return {
        "WS_LISTEN": "tcp:0:interface=127.0.0.1",
        "JWT_PUBLIC_KEY_FILE": key_pair("RS256").path,
        "GATEWAY_API_KEY": API_KEY,
        "EVENTS_MODE": "none",
        "LOG_LEVEL": "DEBUG",
    }


class Answer:
    """An HTTP answer, complete."""

    def __init__(self, status: int, headers: http.client.HTTPMessage, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)


class Daemon:
    """A gateway that runs.

    :param settings: environment variables over `defaults()`; None takes one away.
    :param options: of `ws-gateway`, on the command line.
    :param wait: until it listens.
    :param under: from its environment to the words of a command that starts it.
    :ivar port: where it listens, 0 for `unix:`.
    :ivar lines: its log so far, each line a document; grows while you look.
    """

    def __init__(
        self,
        settings: Mapping[str, str | None],
        options: Sequence[str] = (),
        wait: bool = True,
        under: Callable[[Mapping[str, str]], Sequence[str]] = lambda environment: (),
    ) -> None:
        merged = {**defaults(), **settings}
        self._directory = TemporaryDirectory(prefix="gateway")
        self.lines: list[dict[str, Any]] = []
        self._raw: list[bytes] = []
        self._errors: list[bytes] = []
        self._searched = 0
        self._expected: list[Callable[[dict[str, Any]], bool]] = []
        self.port = 0
        environment = _environment({name: value for name, value in merged.items() if value is not None})
        self._process = subprocess.Popen(
            [*under(environment), *_COMMAND, *_mode(merged), *options],
            env=environment,
            cwd=self._directory.name,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._readers = [
            threading.Thread(target=self._read_log, daemon=True),
            threading.Thread(target=self._read_errors, daemon=True),
        ]
        for reader in self._readers:
            reader.start()
        if wait:
            try:
                self.port = self.wait_line("listening on")["port"] or 0
            except BaseException:
                self.kill()
                raise

    # Its process.

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def send_signal(self, number: int) -> None:
        self._process.send_signal(number)

    def stop(self) -> int:
        """End it as a supervisor does, and judge everything that it said.

        :returns: its exit status.
        """
        if self.running:
            self.send_signal(signal.SIGTERM)
        status = self.wait_exit()
        self.check()
        self._directory.cleanup()
        return status

    def wait_exit(self) -> int:
        """Wait for its end.

        :returns: its exit status, negative for a signal.
        """
        try:
            status = self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"the daemon does not end\n{self.log()}") from None
        for reader in self._readers:
            reader.join(PATIENCE)
        return status

    def kill(self) -> None:
        """End it at once, without judgement."""
        self._process.kill()
        self._process.wait()
        for reader in self._readers:
            reader.join(PATIENCE)

    def resident_bytes(self) -> int:
        """Its memory."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(r"VmRSS:\s+(\d+) kB", status)
        assert found is not None
        return int(found[1]) * 1024

    def descriptors(self) -> int:
        """How many files and sockets it has open."""
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    # What it says.

    def log(self, last: int = 60) -> str:
        """The end of its log, for messages."""
        tail = b"".join(self._raw[-last:]).decode(errors="replace")
        errors = b"".join(self._errors).decode(errors="replace")
        return f"--- log of the daemon ---\n{tail}--- standard error ---\n{errors}"

    def console(self) -> bytes:
        """Everything that it wrote to standard output so far."""
        return b"".join(self._raw)

    def found(self, event: str, **fields: Any) -> list[dict[str, Any]]:
        """The lines whose text holds `event` and that have these fields."""
        return [
            line
            for line in list(self.lines)
            if event in line["event"] and all(line.get(name) == value for name, value in fields.items())
        ]

    def wait_line(self, event: str, **fields: Any) -> dict[str, Any]:
        """Wait for such a line; the end of the process ends the waiting, too."""

        def look() -> list[dict[str, Any]]:
            alive = self.running
            lines = self.found(event, **fields)
            if not lines and not alive:
                for reader in self._readers:
                    reader.join(PATIENCE)
                lines = self.found(event, **fields)
                if not lines:
                    raise AssertionError(f"ended without saying {event!r} {fields}\n{self.log()}")
            return lines

        return until(look, f"a line {event!r} {fields}", self.log)[0]

    def expect(self, event: str) -> None:
        """A line with this text may tell of a failure: the test asks for it."""
        self._expected.append(lambda line: event in line["event"])

    def check(self) -> None:
        """Judge everything that was said since the last time."""
        raw = self._raw[self._searched :]
        self._searched += len(raw)
        for piece in raw:
            try:
                line = json.loads(piece)
                orderly = isinstance(line, dict) and isinstance(line.get("event"), str)
                orderly = orderly and len(piece.decode().splitlines()) == 1
            except ValueError:
                orderly = False
            assert orderly, f"no JSON line: {piece!r}"
            failure = "traceback" in line or "Traceback" in line["event"] or line["level"] == "critical"
            if failure and not any(expected(line) for expected in self._expected):
                raise AssertionError(f"a failure in the log: {piece.decode()}")
        found = leaks([*raw, *self._errors])
        assert not found, f"secrets in the log: {found}"
        assert not self._errors, f"standard error: {b''.join(self._errors)!r}"

    def _read_log(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as stream:
            for raw in stream:
                self._raw.append(raw)
                try:
                    line = json.loads(raw)
                except ValueError:
                    continue  # check() finds it
                if isinstance(line, dict) and isinstance(line.get("event"), str):
                    self.lines.append(line)

    def _read_errors(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as stream:
            self._errors.extend(stream)

    # Its HTTP side.

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(method, path, body, dict(headers or {}))
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def call(
        self,
        method: str,
        path: str,
        document: Any = None,
        key: str = API_KEY,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """A call of the backend with a key and a JSON document."""
        body = None if document is None else json.dumps(document).encode()
        headers = {"X-Api-Key": key, **(headers or {})}
        if body is not None:
            headers["Content-Type"] = "application/json"
        return self.request(method, path, body, headers)

    def publish(self, subjects: list[str], payload: Any, **more: Any) -> int:
        """Publish.

        :returns: to how many connections it was queued.
        """
        answer = self.call("POST", "/internal/publish", {"subjects": subjects, "payload": payload, **more})
        assert answer.status == 200, (answer.status, answer.body)
        return int(answer.json()["sent"])

    def connections(self, **query: str) -> list[dict[str, Any]]:
        """Who is connected."""
        text = "&".join(f"{name}={value}" for name, value in query.items())
        found: list[dict[str, Any]] = self.call("GET", f"/internal/connections?{text}").json()["connections"]
        return found

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric; it must exist."""
        text = self.request("GET", "/metrics").body.decode()
        for line in text.splitlines():
            found = re.fullmatch(r"([a-zA-Z_:]+)(?:\{(.*)\})? (\S+)", line)
            if found is None or found[1] != name:
                continue
            if dict(re.findall(r'(\w+)="([^"]*)"', found[2] or "")) == labels:
                return float(found[3])
        raise AssertionError(f"no metric {name}{labels} in\n{text}")

    def wait_metric(self, value: float, name: str, **labels: str) -> None:
        """Wait until a metric has a value."""
        until(lambda: self.metric(name, **labels) == value, f"{name}{labels} = {value}", self.log)


def start_and_fail(settings: Mapping[str, str | None], *options: str) -> tuple[int, str]:
    """Start a daemon that cannot start.

    :param options: of `ws-gateway`, on the command line.
    :returns: exit status and everything that it said.
    """
    merged = {**defaults(), **settings}
    with TemporaryDirectory(prefix="gateway") as directory:
        done = subprocess.run(
            [*_COMMAND, *_mode(merged), *options],
            env=_environment({name: value for name, value in merged.items() if value is not None}),
            cwd=directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=PATIENCE,
            check=False,
        )
    found = leaks([done.stdout, done.stderr])
    assert not found, f"secrets on the console: {found}"
    return done.returncode, (done.stdout + done.stderr).decode()
