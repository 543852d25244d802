"""Symfony's image on a clean Debian 12, and the whole stack with it; `PRODUCTION_FULL=1` asks for that."""

import http.client
import json
import os
import signal
import subprocess
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.browser.stack import free_port
from tests.integration.harness.canary import secret
from tests.integration.harness.daemon import API_KEY, Daemon
from tests.integration.harness.keys import key_pair
from tests.integration.harness.waiting import PATIENCE, until
from tests.production.cleanroot import build, can_make_roots, debian, end, inside
from tests.production.compose import environment_of, merged
from tests.production.dockerfile import Ignored, command_of, stages
from tests.production.stacks import PRODUCTION, ROOT, STACKS
from tests.production.standin import StandIn, write_private_key
from tests.production.test_standin import smoke
from tests.production.traefik import Table

NO_ROOT = can_make_roots()
STAGES = stages(ROOT / "symfony" / "Dockerfile")
LAST = STAGES[-1]
USER = int(LAST.last("USER").split(":")[0])
SECRET = secret("webhook")

pytestmark = [
    pytest.mark.skipif(os.environ.get("PRODUCTION_FULL") != "1", reason="PRODUCTION_FULL=1 asks for it"),
    pytest.mark.skipif(bool(NO_ROOT), reason=NO_ROOT),
]

STUB = """<?php
header('Content-Type: application/json');
echo json_encode([
    'ok' => true,
    'path' => parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH),
    'mode' => $_ENV['WS_MODE'] ?? null,
    'authorization' => $_SERVER['HTTP_AUTHORIZATION'] ?? null,
    'user' => posix_getuid(),
    'tmp' => false !== file_put_contents('/tmp/written', 'x'),
    'app' => false !== @file_put_contents('/app/written', 'x'),
    'loaded' => array_map('extension_loaded', ['redis', 'openssl', 'Zend OPcache']),
]);
"""


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """The image, built."""
    below = tmp_path_factory.mktemp("symfony")
    for path in (below, *below.parents):
        if path != Path("/") and path.owner() == "root":
            path.chmod(path.stat().st_mode | 0o011)
    (below / "work").mkdir()
    bases = {LAST.image: debian("bookworm", ["ca-certificates"], below, {})}
    return build(STAGES, bases, ROOT, Ignored(ROOT / ".dockerignore"), below / "work")


class Apache:
    """The image's program, running.

    :ivar port: where it listens.
    """

    def __init__(self, image, settings, mounts):
        self.port = free_port()
        self._image, self._mounts = image, mounts
        self._settings = {**settings, "APP_PORT": str(self.port)}
        reading, writing = os.pipe()
        os.fchown(writing, USER, USER)  # as container runtimes do
        self.process = subprocess.Popen(
            self._words(command_of(LAST.last("CMD"))),
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=writing,
        )
        os.close(writing)
        self.log = os.fdopen(reading)

    def _words(self, command):
        return self._image.command(command, self._settings, read_only=True, mounts=self._mounts)

    def run(self, *command):
        """Another program of the image, to its end."""
        return subprocess.run(
            self._words(command), capture_output=True, text=True, check=False, timeout=PATIENCE
        )

    def health(self):
        """The exit status of the health check."""
        words = LAST.last("HEALTHCHECK")
        return self.run(*command_of(words[words.index("[") :])).returncode

    def ask(self, path, headers=None):
        """Status, headers and document of an answer, or None where nobody listens yet."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers=headers or {})
            answer = connection.getresponse()
            return answer.status, answer.headers, json.loads(answer.read())
        except ConnectionError:
            assert self.process.poll() is None
            return None
        finally:
            connection.close()

    def stop(self):
        """End it as the image says."""
        os.kill(inside(self.process), getattr(signal, LAST.last("STOPSIGNAL")))
        return self.process.wait(PATIENCE)


@contextmanager
def apache(image, settings, mounts=None):
    """It runs, and is gone afterwards."""
    running = Apache(image, settings, mounts or {})
    try:
        yield running
    finally:
        end(running.process)
        running.log.close()


def test_an_application(image, tmp_path):
    """No root, nothing to write to; settings and tokens arrive, no query is logged, the end is clean."""
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "index.php").write_text(STUB)
    for path in (tmp_path, tmp_path.parent):
        path.chmod(path.stat().st_mode | 0o011)
    with apache(image, {"WS_MODE": "core"}, {"/app": str(tmp_path)}) as running:
        headers = {"Authorization": "Bearer x"}
        status, headers, said = until(lambda: running.ask("/api/ping?token=hidden", headers), "an answer")
        assert status == 200
        assert said == {
            "ok": True,
            "path": "/api/ping",
            "mode": "core",
            "authorization": "Bearer x",
            "user": USER,
            "tmp": True,
            "app": False,
            "loaded": [True] * 3,
        }
        assert "x-powered-by" not in headers
        assert headers["server"] == "Apache"
        assert running.health() == 0
        # With this one ws:consume ends at SIGTERM.
        assert running.run("php", "-r", "exit((int) !function_exists('pcntl_signal'));").returncode == 0
        assert running.stop() == 0
        lines = running.log.read()
    assert '"GET /api/ping" 200' in lines
    assert "hidden" not in lines


@pytest.mark.parametrize("name", ["terminator", "terminator in production"])
def test_the_whole_stack(image, name, tmp_path):
    """The demo in its image, with the variables of the compose files, behind Traefik's routes."""
    services = merged(STACKS[name], PRODUCTION if "production" in name else {})["services"]
    inner = free_port()
    settings = {
        **environment_of(services["symfony"]),
        "WS_GATEWAY_BASE_URL": f"http://127.0.0.1:{inner}",
        "WS_GATEWAY_API_KEY": API_KEY,
        "SYMFONY_WEBHOOK_SECRET": SECRET,
        "DEMO_JWT_PRIVATE_KEY_FILE": "",
    }
    traefik = environment_of(services["traefik"])
    table = Table(ROOT / "traefik" / "dynamic", {**traefik, "ROUTED_HOSTS": "HostRegexp(`.+`)"})
    with apache(image, settings) as application:
        gateway = Daemon(
            {
                "INTERNAL_LISTEN": f"tcp:{inner}:interface=127.0.0.1",
                "TRUSTED_PROXIES": "127.0.0.1",
                "EVENTS_MODE": None,
                "SYMFONY_WEBHOOK_URL": f"http://127.0.0.1:{application.port}/internal/ws/events",
                "SYMFONY_WEBHOOK_SECRET": SECRET,
            }
        )
        try:
            public = gateway.wait_line("listening on", serves="public")["port"]
            until(lambda: application.ask("/api/ping"), "the application")
            servers = {"http://gateway:8000": public, "http://symfony:8080": application.port}
            with StandIn(table, servers) as front:
                key = write_private_key(tmp_path / "private.pem", key_pair("RS256").private)
                demo = {"DEMO_API_KEY": settings["DEMO_API_KEY"], "JWT_PRIVATE_KEY_FILE": key}
                done = smoke(f"http://127.0.0.1:{front.port}", **demo)
                assert (done.returncode, done.stderr) == (0, ""), done.stdout
            assert application.health() == 0
            told = application.run("php", "bin/console", "ws:consume", "--help")
            assert told.returncode == 0, told.stderr
            assert "--time-limit" in told.stdout
        finally:
            gateway.stop()
        assert application.stop() == 0
