"""The Symfony application as it runs: `php -S` with workers, `ws:consume`, and a gateway that knows them."""

import glob
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.integration.harness.canary import leaks, secret
from tests.integration.harness.daemon import API_KEY, Daemon
from tests.integration.harness.keys import key_pair
from tests.integration.harness.waiting import PATIENCE, until
from tests.servers.process import free_port

__all__ = ["DEMO_KEY", "HOOK_SECRET", "SYMFONY", "Consumer", "Stack", "WebServer", "missing"]

SYMFONY = Path(__file__).resolve().parents[2] / "symfony"
DEMO_KEY = secret("demo")
HOOK_SECRET = secret("webhook")
_PACKAGES = (
    "php8.2-cli php-curl php-intl php-mbstring php-xml php-symfony-framework-bundle php-symfony-http-client"
    " php-symfony-yaml php-redis php-amqplib"
)
# As production has it: $_ENV stays empty.
_PHP = [
    *("php", "-d", "variables_order=GPCS", "-d", "error_reporting=-1"),
    *("-d", "display_errors=0", "-d", "log_errors=1"),
]
_FAULTS = re.compile(r"PHP (?:Warning|Notice|Deprecated|Fatal|Parse)|Uncaught|\[critical\]|Segmentation")


def missing() -> str | None:
    """The line that says what is not installed, if anything is."""
    what = None
    if shutil.which("php") is None:
        what = "php"
    else:
        needed = ("curl", "intl", "mbstring", "openssl", "pcntl", "redis")
        have = subprocess.run(["php", "-m"], capture_output=True, text=True, check=True).stdout.split()
        what = next((f"the PHP extension {name}" for name in needed if name not in have), None)
        if what is None:
            code = f"require '{SYMFONY}/autoload.php'; foreach (['PhpAmqpLib\\Package',"
            code += " 'Symfony\\Component\\Yaml\\Yaml'] as $name) { if (!class_exists($name)"
            code += " && !interface_exists($name)) { echo $name; exit(1); } }"
            done = subprocess.run(["php", "-r", code], capture_output=True, text=True, check=False)
            what = (done.stdout + done.stderr).strip() or None
    return (
        f"THE SYMFONY APPLICATION IS NOT TESTED: {what} is missing; apt-get install {_PACKAGES}"
        if what
        else None
    )


class _Php:
    """A process of PHP, the leader of a session of its own."""

    def __init__(self, words: list[str], settings: Mapping[str, str], directory: Path, name: str) -> None:
        self._path = directory / f"{name}.log"
        ini = sorted(glob.glob("/usr/lib/php/*/php.ini-production"))
        environment = {
            "PATH": os.environ["PATH"],
            "APP_ENV": "dev",
            "APP_DEBUG": "0",
            "APP_CACHE_DIR": str(directory / "cache"),
            "APP_LOG_DIR": str(directory / "log"),
            **settings,
        }
        with self._path.open("ab") as log:
            self.process = subprocess.Popen(
                [_PHP[0], *(["-c", ini[-1]] if ini else []), *_PHP[1:], *words],
                env={key: value for key, value in environment.items() if value != "-"},
                cwd=SYMFONY,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def log(self) -> str:
        """Everything that it said, and those before it with the same name."""
        return self._path.read_text(errors="replace")

    def check(self) -> None:
        """Judge what it said: no fault, no secret."""
        log = self.log()
        assert not _FAULTS.search(log), log
        assert not leaks([log.encode()]), log

    def signal(self, number: int) -> None:
        """To it and to its workers."""
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def end(self, number: int) -> int:
        """Send a signal and wait for the end.

        :returns: the exit status, negative for a signal.
        """
        self.signal(number)
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.signal(signal.SIGKILL)  # workers outlive their parent
            self.process.wait()


class WebServer(_Php):
    """`php -S` with the application, listening.

    :param settings: its environment; "-" takes a variable away.
    """

    def __init__(self, settings: Mapping[str, str], directory: Path, port: int = 0) -> None:
        self.port = port or free_port()
        words = ["-S", f"127.0.0.1:{self.port}", "public/index.php"]
        super().__init__(words, {"PHP_CLI_SERVER_WORKERS": "4", **settings}, directory, f"web-{self.port}")
        try:
            until(self._answers, "the application to answer", self.log)
        except BaseException:
            self.end(signal.SIGKILL)
            raise

    def _answers(self) -> bool:
        assert self.process.poll() is None, self.log()
        try:
            status, document, _ = self.ask("GET", "/api/ping")
        except OSError:
            return False
        assert (status, document) == (200, {"ok": True}), self.log()
        return True

    def ask(
        self, method: str, path: str, body: bytes = b"", **headers: str
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        """One request.

        :param headers: `_` in a name is `-`.
        :returns: status, body (decoded where it is JSON), headers.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            names = {name.replace("_", "-"): text for name, text in headers.items()}
            connection.request(method, path, body or None, names)
            response = connection.getresponse()
            text = response.read()
            decoded = json.loads(text) if text and "json" in response.headers["Content-Type"] else text
            return response.status, decoded, response.headers
        finally:
            connection.close()


class Consumer(_Php):
    """`php bin/console ws:consume`, reading."""

    def __init__(self, settings: Mapping[str, str], directory: Path) -> None:
        super().__init__(["bin/console", "ws:consume"], settings, directory, "consumer")
        before = self.log().count("Reading ")
        try:
            until(lambda: self._reads(before), "the consumer to read", self.log)
        except BaseException:
            self.end(signal.SIGKILL)
            raise

    def _reads(self, before: int) -> bool:
        assert self.process.poll() is None, self.log()
        return self.log().count("Reading ") > before


class Stack:
    """A gateway and the application, which know each other by environment variables alone.

    :param both: settings of both sides.
    :param consume: whether a consumer runs as well.
    :ivar consumer: None while there is none.
    """

    def __init__(self, both: Mapping[str, str], consume: bool = False) -> None:
        self.consumer: Consumer | None = None
        with ExitStack() as closing:
            self.directory = Path(closing.enter_context(TemporaryDirectory(prefix="symfony")))
            self.private_key = self.directory / "private.pem"
            private = key_pair("RS256").private
            self.private_key.write_bytes(
                private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
            )
            port = free_port()
            self.gateway = Daemon(
                {
                    "EVENTS_MODE": None,
                    "WS_RATE_LIMIT_PER_SEC": "0",
                    "WS_PING_INTERVAL_SECONDS": "0",
                    "WEBHOOK_RETRY_BASE_SECONDS": "0.05",
                    "SYMFONY_WEBHOOK_URL": f"http://127.0.0.1:{port}/internal/ws/events",
                    "SYMFONY_WEBHOOK_SECRET": HOOK_SECRET,
                    **both,
                }
            )
            closing.callback(lambda: self.gateway.kill() if self.gateway.running else None)
            self.settings = {
                "WS_GATEWAY_BASE_URL": f"http://127.0.0.1:{self.gateway.port}",
                "WS_GATEWAY_API_KEY": API_KEY,
                "SYMFONY_WEBHOOK_SECRET": HOOK_SECRET,
                "DEMO_API_KEY": DEMO_KEY,
                "DEMO_JWT_PRIVATE_KEY_FILE": str(self.private_key),
                "DEMO_WS_URL": f"ws://127.0.0.1:{self.gateway.port}/ws",
                # One that comes back goes on at once with what it had.
                "WS_CONSUMER_NAME": "one",
                **both,
            }
            self.web = WebServer(self.settings, self.directory, port)
            closing.callback(self.web.end, signal.SIGTERM)
            if consume:
                self.start_consumer()
                closing.callback(lambda: self.stop_consumer() if self.consumer else None)
            until(
                lambda: self.gateway.call("GET", "/ready").json()["status"] == "ok",
                "the gateway to be ready",
                self.gateway.log,
            )
            self._closing = closing.pop_all()

    def start_consumer(self) -> None:
        self.consumer = Consumer(self.settings, self.directory)

    def stop_consumer(self, number: int = signal.SIGTERM) -> int:
        """End it.

        :returns: its exit status.
        """
        consumer, self.consumer = self.consumer, None
        assert consumer is not None
        status = consumer.end(number)
        consumer.check()
        return status

    def log(self) -> str:
        """The end of all logs."""
        said = self.consumer.log() if self.consumer else ""
        return (
            f"{self.gateway.log()}\n--- web ---\n{self.web.log()[-6000:]}\n--- consumer ---\n{said[-6000:]}"
        )

    def last_message(self) -> Any:
        """What `/api/ws/last-message` shows; None before the first one."""
        status, document, _ = self.web.ask("GET", "/api/ws/last-message", X_Demo_Key=DEMO_KEY)
        if status == 404:
            assert document["detail"] == "no message yet"
            return None
        assert (status, document["ok"]) == (200, True), document
        return document["data"]

    def wait_last(self, fits: Callable[[Any], bool]) -> Any:
        """Wait until `/api/ws/last-message` shows what fits."""
        shown: list[Any] = [None]

        def look() -> bool:
            shown[0] = self.last_message()
            return shown[0] is not None and fits(shown[0])

        until(look, "the last message", lambda: f"{shown[0]}\n{self.log()}")
        return shown[0]

    def close(self) -> None:
        """The gateway first, so that its last events find the application; then all logs are judged."""
        with self._closing:
            status = self.gateway.stop()
            assert status == -signal.SIGTERM, status
            if self.consumer is not None:
                status = self.stop_consumer()
                assert status == 0, status
            self.web.check()
