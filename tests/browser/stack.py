"""A gateway and a demo backend that know each other, as two processes."""

import http.client
import json
import os
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

import ws_gateway
from tests.integration.harness.canary import leaks, secret
from tests.integration.harness.daemon import API_KEY, Daemon
from tests.integration.harness.keys import key_pair
from tests.integration.harness.waiting import PATIENCE, until

__all__ = ["DEMO_KEY", "Demo", "Stack", "free_port"]

DEMO_KEY = secret("demo")
_WEBHOOK_SECRET = secret("webhook")
_ROOT = Path(__file__).resolve().parents[2]
_TWISTD = str(_ROOT / "tests" / "integration" / "harness" / "run_twistd.py")
_PASSED_ON = ("PATH", "COVERAGE_PROCESS_START", "COVERAGE_PROCESS_CONFIG", "COVERAGE_FILE")


def free_port() -> int:
    """A port that nobody has at this moment: two processes must know each other's before they start."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Demo:
    """`twistd ws-demo`, running.

    :ivar port: where it listens.
    """

    def __init__(self, settings: Mapping[str, str], wait: bool = True) -> None:
        self._directory = TemporaryDirectory(prefix="demo")
        self._log = Path(self._directory.name, "log")
        self.port = int(settings["DEMO_PORT"])
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        source = Path(ws_gateway.__file__).resolve().parents[1]
        if source == _ROOT / "src":
            environment["PYTHONPATH"] = os.pathsep.join([str(source), str(_ROOT)])
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, _TWISTD, "--nodaemon", "--pidfile=", "ws-demo"],
                env={**environment, **settings},
                cwd=self._directory.name,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        if wait:
            try:
                until(self._answers, "the demo's answer", self.log)
            except BaseException:
                self.stop()
                raise

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log()
        try:
            return self.ask("GET", "/api/ping") == (200, {"ok": True})
        except OSError:
            return False

    def log(self) -> str:
        """Everything that it said."""
        return self._log.read_text(errors="replace")

    def ask(self, method: str, path: str, **headers: str) -> tuple[int, Any]:
        """One request.

        :param headers: `_` in a name is `-`.
        :returns: status and decoded body.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request(
                method, path, headers={name.replace("_", "-"): text for name, text in headers.items()}
            )
            response = connection.getresponse()
            body = response.read()
            return response.status, json.loads(body) if "json" in response.headers["content-type"] else body
        finally:
            connection.close()

    def stop(self) -> int:
        """End it as a supervisor does.

        :returns: its exit status.
        """
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the demo does not end\n{self.log()}") from None

    def check(self) -> None:
        """Judge what it said: no failure, no secret."""
        log = self.log()
        assert "Traceback" not in log, log
        assert not leaks([log.encode()]), log


class Stack:
    """Both, on ports that stay the same when one of them is started again.

    :ivar url: of the chat page.
    """

    def __init__(self, **settings: str) -> None:
        self._keys = TemporaryDirectory(prefix="keys")
        private = Path(self._keys.name, "private.pem")
        private.write_bytes(
            key_pair("RS256").private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        gateway_port, demo_port = free_port(), free_port()
        self._gateway_settings = {
            "WS_LISTEN": None,
            "WS_HOST": "127.0.0.1",
            "WS_PORT": str(gateway_port),
            "JWT_ALG": "RS256",
            "EVENTS_MODE": None,
            "SYMFONY_WEBHOOK_URL": f"http://127.0.0.1:{demo_port}/internal/ws/events",
            "SYMFONY_WEBHOOK_SECRET": _WEBHOOK_SECRET,
        }
        self._demo_settings = {
            "DEMO_PORT": str(demo_port),
            "DEMO_MODE": "1",
            "DEMO_API_KEY": DEMO_KEY,
            "DEMO_JWT_PRIVATE_KEY_FILE": str(private),
            "SYMFONY_WEBHOOK_SECRET": _WEBHOOK_SECRET,
            "WS_GATEWAY_BASE_URL": f"http://127.0.0.1:{gateway_port}",
            "WS_GATEWAY_API_KEY": API_KEY,
            **settings,
        }
        self.url = f"http://127.0.0.1:{demo_port}/demo/chat"
        self.ws_url = f"ws://127.0.0.1:{gateway_port}/ws"
        self.private_key_file = str(private)
        self.start_demo()
        try:
            self.start_gateway()
        except BaseException:
            self.demo.stop()
            raise

    def start_demo(self) -> None:
        """The demo backend, again."""
        self.demo = Demo(self._demo_settings)

    def start_gateway(self) -> None:
        """The gateway, again."""
        self.gateway = Daemon(self._gateway_settings)

    def stop(self) -> None:
        """The gateway first, so that the demo still takes its last events; then both logs are judged."""
        try:
            if self.gateway.running:
                self.gateway.stop()
        finally:
            self.demo.stop()
        self.demo.check()
