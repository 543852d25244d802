"""The unit files, and what a daemon says to a service manager (docs/ops.md, "Under systemd")."""

import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

from tests.integration.harness.canary import secret
from tests.integration.harness.case import GatewayTestCase
from tests.integration.harness.daemon import Daemon
from tests.integration.harness.keys import key_pair
from tests.integration.harness.tokens import fresh_user
from tests.integration.harness.waiting import PATIENCE, until
from tests.unit.test_env_file import AS_WRITTEN
from ws_gateway.config import Settings

UNITS = Path(__file__).resolve().parents[2] / "scripts" / "systemd"
GENERATOR = Path("/usr/lib/systemd/user-environment-generators/30-systemd-environment-d-generator")
FILE_KEY = secret("file-key")


def lines_of(unit):
    """The assignments of a unit file, in order."""
    written = (UNITS / unit).read_text()
    return re.findall(r"^([A-Za-z]+)=(.*)$", written, re.MULTILINE)


def value(unit, name):
    (found,) = [value for key, value in lines_of(unit) if key == name]
    return found


def environment_of_the_unit():
    assignments = [value for key, value in lines_of("ws-gateway.service") if key == "Environment"]
    return dict(assignment.split("=", 1) for assignment in assignments)


class Case(GatewayTestCase):
    shared = False

    def setUp(self):
        super().setUp()
        self.directory = Path(tempfile.mkdtemp(prefix="systemd"))
        self.addCleanup(shutil.rmtree, self.directory)


class UnitTests(unittest.TestCase):
    """What ships."""

    def analyze(self, *words):
        return subprocess.run(
            ["systemd-analyze", "--no-pager", *words], capture_output=True, text=True, timeout=PATIENCE
        )

    def test_verify(self):
        """systemd finds nothing to say about the units."""
        with tempfile.TemporaryDirectory() as directory:
            for unit in ("ws-gateway.service", "ws-gateway.socket"):
                # The program that an installation has is not here; systemd would miss it.
                text = (UNITS / unit).read_text().replace("/opt/ws-gateway/bin/twistd", sys.executable)
                Path(directory, unit).write_text(text)
            done = self.analyze("verify", *(str(path) for path in Path(directory).iterdir()))
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_security(self):
        """The service can do little to the machine: an exposure under 2.0."""
        unit = str(UNITS / "ws-gateway.service")
        done = self.analyze("security", "--offline=true", "--threshold=20", unit)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_user(self):
        """The user that the service runs as is one that systemd-sysusers makes."""
        user = value("ws-gateway.service", "User")
        done = subprocess.run(
            ["systemd-sysusers", "--dry-run", str(UNITS / "ws-gateway.sysusers")],
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn(user, (UNITS / "ws-gateway.sysusers").read_text().split())

    def test_command(self):
        """The service starts what these tests start."""
        command = value("ws-gateway.service", "ExecStart").split()
        self.assertEqual(command[1:], ["--nodaemon", "--pidfile=", "ws-gateway"])

    def test_times(self):
        """A stop gets the grace and five seconds; the watchdog leaves room for a slow moment."""
        grace = Settings().node.shutdown_grace_seconds
        self.assertEqual(float(value("ws-gateway.service", "TimeoutStopSec")), grace + 5)
        self.assertGreaterEqual(float(value("ws-gateway.service", "WatchdogSec")), 10)


class EnvFileTests(unittest.TestCase):
    """`WS_ENV_FILE` and `EnvironmentFile=` are one format."""

    def test_same_as_systemd(self):
        """Every form of a line means what systemd takes it for."""
        for number, (text, value) in enumerate(AS_WRITTEN.items()):
            if "$" not in text and value:  # files of this directory know variables, and no empty values
                with self.subTest(text=text), tempfile.TemporaryDirectory() as directory:
                    Path(directory, "environment.d").mkdir()
                    Path(directory, "environment.d", "a.conf").write_text(text)
                    self.assertEqual(self.read_by_systemd(directory), value, number)

    def read_by_systemd(self, directory):
        done = subprocess.run(
            [str(GENERATOR)],
            env={"XDG_CONFIG_HOME": directory, "SYSTEMD_LOG_LEVEL": "err"},
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        (written,) = re.findall(r"^A=(.*)$", done.stdout, re.MULTILINE)
        if not written.startswith('"'):
            return written
        return re.sub(r"\\(.)", lambda match: {"n": "\n", "t": "\t"}.get(match[1], match[1]), written[1:-1])


class SocketTests(Case):
    """systemd holds the address and starts the gateway when somebody comes."""

    def test_started_by_the_first_client(self):
        """A client who comes while it is not there yet is served, with the settings of unit and file."""
        path = self.directory / "env"
        path.write_text(
            f"JWT_PUBLIC_KEY_FILE='{key_pair('RS256').path}'\nEVENTS_MODE=none\nLOG_LEVEL=debug\n"
            f'GATEWAY_API_KEY="{FILE_KEY}"\n'
        )
        settings = {
            **dict.fromkeys(("JWT_PUBLIC_KEY_FILE", "EVENTS_MODE", "LOG_LEVEL", "GATEWAY_API_KEY")),
            **environment_of_the_unit(),
            "WS_ENV_FILE": str(path),
            "SYSTEMD_LOG_LEVEL": "err",
        }
        daemon = self.activated(settings)
        user = fresh_user()
        client = self.open(user, daemon=daemon)
        client.ping_pong()
        self.assertEqual(daemon.wait_line("listening on")["port"], daemon.port)
        sent = daemon.call(
            "POST", "/internal/publish", {"subjects": [f"user:{user}"], "payload": 1}, FILE_KEY
        )
        self.assertEqual(sent.json(), {"sent": 1})
        self.assertEqual(client.read_json()["payload"], 1)
        self.assertEqual(daemon.stop(), -signal.SIGTERM)
        self.assertEqual(client.read_close()[0], 1012)

    def activated(self, settings):
        """A daemon behind the socket of the unit, started because somebody looked."""
        name, port = value("ws-gateway.socket", "FileDescriptorName"), free_port()

        def under(environment):
            passed = (f"--setenv={name}={value}" for name, value in environment.items())
            return ["systemd-socket-activate", f"--listen=127.0.0.1:{port}", f"--fdname={name}", *passed]

        daemon = Daemon(settings, wait=False, under=under)
        self._daemons.append(daemon)
        self.addCleanup(lambda: daemon.kill() if daemon.running else None)
        until(lambda: reachable(port), "a socket that listens", daemon.log)
        daemon.port = port
        return daemon


def free_port():
    """A port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def reachable(port):
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


class NotifyTests(Case):
    """What the service manager hears."""

    def manager(self, abstract=False):
        """A socket of a manager's, and its address."""
        path = str(self.directory / "notify")
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(listener.close)
        listener.settimeout(PATIENCE)
        listener.bind("\0" + path if abstract else path)
        return listener, ("@" + path if abstract else path)

    def wait_for(self, listener, line):
        """Read until a message has this line; its lines by name."""
        while True:
            message = dict(each.split("=", 1) for each in listener.recv(4096).decode().split("\n"))
            name, _, value = line.partition("=")
            if message.get(name) == value:
                return message

    def test_one_life(self):
        """Ready when clients can connect, fed while it runs, stopping with the time that it needs."""
        listener, address = self.manager()
        daemon = self.start(
            {"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "100000", "SHUTDOWN_GRACE_SECONDS": "40"}
        )
        self.wait_for(listener, "READY=1")
        client = self.open(daemon=daemon)
        for _ in range(3):
            self.wait_for(listener, "WATCHDOG=1")
        self.wait_for(listener, "STATUS=ready: 1 clients, 0 events wait")
        daemon.send_signal(signal.SIGTERM)
        message = self.wait_for(listener, "STOPPING=1")
        self.assertEqual(message["EXTEND_TIMEOUT_USEC"], "45000000")
        # It is fed until the last client has left.
        self.wait_for(listener, "WATCHDOG=1")
        client.close()
        self.assertEqual(daemon.wait_exit(), -signal.SIGTERM)

    def test_reload(self):
        """A reload begins with the time at which it began, and ends with readiness."""
        listener, address = self.manager(abstract=True)
        daemon = self.start({"NOTIFY_SOCKET": address})
        self.wait_for(listener, "READY=1")
        before = time.monotonic_ns() // 1000
        daemon.send_signal(signal.SIGHUP)
        message = self.wait_for(listener, "RELOADING=1")
        self.assertLessEqual(before, int(message["MONOTONIC_USEC"]))
        self.assertLessEqual(int(message["MONOTONIC_USEC"]), time.monotonic_ns() // 1000)
        self.wait_for(listener, "READY=1")

    def test_keys_are_no_condition(self):
        """It is ready although no key can be had: to start it again would help nobody."""
        listener, address = self.manager()
        self.start(
            {
                "NOTIFY_SOCKET": address,
                "JWT_PUBLIC_KEY_FILE": None,
                "JWT_JWKS_URL": "http://127.0.0.1:9/keys",
            }
        )
        self.wait_for(listener, "READY=1")

    def test_manager_that_is_gone(self):
        """A manager that hears nothing any more stops nobody."""
        daemon = self.start({"NOTIFY_SOCKET": str(self.directory / "gone"), "WATCHDOG_USEC": "100000"})
        daemon.wait_line("the service manager cannot be told", level="warn")
        self.assert_alive(daemon)
