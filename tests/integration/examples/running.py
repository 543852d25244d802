"""An example application as a process of its own, and requests to it."""

import http.client
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile

# Resolved, because trial changes the working directory.
ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "docs" / "examples"
SERVE = Path(__file__).resolve().with_name("serve.py")
# Long enough for a machine that is busy; reached only if something hangs.
PATIENCE = 120.0


def environment(settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of an example: these settings, and where the code is."""
    paths = [str(ROOT / "src"), str(EXAMPLES), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1", **settings}


class RunningExample:
    """Starts the application; `stop()` ends it.

    :param module: file name in `docs/examples`, without `.py`.
    :param settings: environment variables.
    """

    def __init__(self, module: str, settings: Mapping[str, str]) -> None:
        # Appending, so that reading here does not move the place where the example writes.
        self._output = TemporaryFile("a+b")  # noqa: SIM115
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self._port = listener.getsockname()[1]
            self._process = subprocess.Popen(
                [sys.executable, str(SERVE), module, str(listener.fileno())],
                env=environment(settings),
                pass_fds=[listener.fileno()],
                stdout=self._output,
                stderr=subprocess.STDOUT,
            )

    def post(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, bytes]:
        """Send an event as the gateway would.

        :returns: status and body of the answer.
        """
        return self.send(body, headers).answer()

    def send(self, body: bytes, headers: Mapping[str, str]) -> "Sent":
        """Send an event, and do not wait for the answer yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=PATIENCE)
        all_headers = {"Content-Type": "application/json", **headers}
        connection.request("POST", "/internal/ws/events", body, all_headers)
        return Sent(connection, self)

    def output(self) -> str:
        """Everything that it has printed so far."""
        self._output.seek(0)
        return self._output.read().decode(errors="replace")

    def stop(self) -> str:
        """End it.

        :returns: everything that it printed.
        """
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
            raise
        output = self.output()
        self._output.close()
        return output


class Sent:
    """A request on its way."""

    def __init__(self, connection: http.client.HTTPConnection, example: RunningExample) -> None:
        self._connection = connection
        self._example = example

    def answer(self) -> tuple[int, bytes]:
        """Wait for it.

        :returns: status and body.
        """
        try:
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException) as error:
            said = self._example.output()
            raise AssertionError(f"the example does not answer; it said:\n{said}") from error
        finally:
            self._connection.close()
