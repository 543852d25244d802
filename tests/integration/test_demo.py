"""The demo backend behind a real gateway, and the scripts that a newcomer meets first."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import unittest
import urllib.request
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import jwt
from websockets.sync.client import ClientConnection, connect

from tests.browser.stack import DEMO_KEY, Demo, Stack, free_port
from tests.integration.harness.tokens import fresh_user, token_for
from tests.integration.harness.waiting import PATIENCE, until

_ROOT = Path(__file__).resolve().parents[2]
_SCRIPTS = _ROOT / "scripts"


class StackTestCase(unittest.TestCase):
    """One gateway and one demo backend for all tests of a class."""

    stack: ClassVar[Stack]

    @classmethod
    def setUpClass(cls) -> None:
        cls.stack = Stack()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.stack.stop()

    def client(self, user_id: str) -> ClientConnection:
        headers = {"Authorization": f"Bearer {token_for(user_id)}"}
        return connect(self.stack.ws_url, additional_headers=headers, proxy=None)

    def heard(self, connection: ClientConnection, kind: str) -> dict[str, Any]:
        """The payload of the next event of a kind."""
        while True:
            frame = json.loads(connection.recv(timeout=PATIENCE))
            if frame["type"] == "event" and frame["payload"].get("type") == kind:
                payload: dict[str, Any] = frame["payload"]
                return payload


class ChatTests(StackTestCase):
    def test_chat(self) -> None:
        """What one says, all hear, the speaker too; and it is the last message afterwards."""
        ada, bob = fresh_user("ada"), fresh_user("bob")
        with self.client(ada) as one, self.client(bob) as other:
            self.heard(one, "presence")
            self.heard(other, "presence")
            one.send('{"type":"chat","payload":"  hello world "}')
            for connection in (one, other):
                said = self.heard(connection, "chat")
                self.assertEqual((said["user"], said["text"]), (f"user:{ada}", "hello world"))
                self.assertIsInstance(said["ts"], int)
            status, body = self.stack.demo.ask("GET", "/api/ws/last-message", X_Demo_Key=DEMO_KEY)
        self.assertEqual((status, body["ok"], body["data"]["user_id"]), (200, True, ada))
        self.assertEqual(body["data"]["raw"], '{"type":"chat","payload":"  hello world "}')
        self.assertEqual(
            set(body["data"]),
            {"connection_id", "user_id", "subjects", "connected_at", "message", "raw", "received_at"},
        )

    def test_presence(self) -> None:
        """Who comes and goes is told to everybody, and the gateway's list says the same."""
        ada, bob = fresh_user("ada"), fresh_user("bob")
        with self.client(ada) as one:
            with self.client(bob):
                while f"user:{bob}" not in self.heard(one, "presence")["users"]:
                    pass
                status, body = self.stack.demo.ask("GET", f"/api/online?user_id={bob}", X_Demo_Key=DEMO_KEY)
                self.assertEqual((status, len(body["connections"])), (200, 1))
            while True:
                users = self.heard(one, "presence")["users"]
                self.assertEqual(users, sorted(users))
                if f"user:{bob}" not in users:
                    break

    def test_order(self) -> None:
        """What one says quickly arrives in the order in which it was said."""
        with self.client(fresh_user()) as one:
            for number in range(15):
                one.send(json.dumps({"type": "chat", "text": str(number)}))
            self.assertEqual(
                [self.heard(one, "chat")["text"] for _ in range(15)], [str(n) for n in range(15)]
            )

    def test_push(self) -> None:
        """A push reaches the user's connection as it is."""
        user = fresh_user()
        with self.client(user) as one:
            self.heard(one, "presence")
            pushed = self.stack.demo.ask("POST", f"/api/push-demo/{user}", X_Demo_Key=DEMO_KEY)
            self.assertEqual(pushed, (200, {"sent": True}))
            while (frame := json.loads(one.recv(timeout=PATIENCE)))["payload"].get("type") == "presence":
                pass
            self.assertEqual(frame, {"type": "event", "payload": {"hello": "world"}})

    def test_token(self) -> None:
        """A token of the demo opens a connection under that name."""
        status, body = self.stack.demo.ask("GET", "/demo/token?user=Zo%C3%AB%20K")
        self.assertEqual((status, body["user_id"]), (200, "Zo\u00eb K"))
        headers = {"Authorization": f"Bearer {body['token']}"}
        with connect(self.stack.ws_url, additional_headers=headers, proxy=None) as connection:
            while "user:Zo\u00eb K" not in self.heard(connection, "presence")["users"]:
                pass


class BadDaysTests(unittest.TestCase):
    def setUp(self) -> None:
        self.stack = Stack()
        self.addCleanup(self.stack.stop)

    def connect(self, user_id: str) -> ClientConnection:
        headers = {"Authorization": f"Bearer {token_for(user_id)}"}
        return self.enterContext(connect(self.stack.ws_url, additional_headers=headers, proxy=None))

    def test_killed_gateway_leaves_no_ghosts(self) -> None:
        """Who was connected to a gateway that was killed is not online any more when it is back."""
        self.connect("ghost")
        until(lambda: "connected from ghost" in self.stack.demo.log(), "the event", self.stack.demo.log)
        self.stack.gateway.kill()
        self.stack.start_gateway()
        living = self.connect("living")
        until(
            lambda: json.loads(living.recv(timeout=PATIENCE))["payload"].get("users") == ["user:living"],
            "a presence without ghosts",
        )

    def test_demo_starts_late(self) -> None:
        """A demo that was away learns who came meanwhile."""
        self.stack.demo.stop()
        early = self.connect("early")
        self.stack.start_demo()
        presence = json.loads(early.recv(timeout=PATIENCE))
        self.assertEqual(presence["payload"]["users"], ["user:early"])

    def test_wrong_settings(self) -> None:
        """A demo that cannot start says so in lines that name the settings, and its status is not 0."""
        demo = Demo({"DEMO_PORT": "70000", "DEMO_MODE": "1"}, wait=False)
        self.assertEqual(demo.process.wait(PATIENCE), 1)
        lines = demo.log().splitlines()
        self.assertEqual(
            [line.partition("=")[0].split(" is ")[0] for line in lines],
            ["ws-demo: DEMO_PORT", "ws-demo: DEMO_JWT_PRIVATE_KEY_FILE"],
        )

    def test_taken_port(self) -> None:
        """A demo whose port is taken says so in one line without a traceback."""
        demo = Demo({"DEMO_PORT": str(self.stack.demo.port)}, wait=False)
        self.assertEqual(demo.process.wait(PATIENCE), 1)
        self.assertIn("DEMO_PORT", demo.log())
        self.assertNotIn("Traceback", demo.log())


class ClientTests(StackTestCase):
    """`scripts/ws_client.py`."""

    def run_client(self, **settings: str) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "WS_URL": self.stack.ws_url,
            "JWT_PRIVATE_KEY_FILE": self.stack.private_key_file,
            **settings,
        }
        return subprocess.run(
            [sys.executable, str(_SCRIPTS / "ws_client.py")],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )

    def assert_line(self, done: subprocess.CompletedProcess[str], words: str) -> None:
        """It failed, and said why in one line."""
        self.assertEqual(done.returncode, 1, done.stderr)
        self.assertEqual(len(done.stderr.splitlines()), 1, done.stderr)
        self.assertIn(words, done.stderr)

    def test_pong(self) -> None:
        """Without further settings it prints the pong and ends well."""
        done = self.run_client(WS_LISTEN_SECONDS="0.5")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        # The demo may have told who is online before.
        self.assertIn('{"type":"pong"}', done.stdout.splitlines())

    def test_message(self) -> None:
        """It sends the message that it is given, as user 42, and prints what comes of it."""
        message = '{"type":"chat","payload":"hello world"}'
        done = self.run_client(WS_SEND_MESSAGE="1", WS_MESSAGE_JSON=message)
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        events = [json.loads(line)["payload"] for line in done.stdout.splitlines() if "event" in line]
        said = [(event["user"], event["text"]) for event in events if event["type"] == "chat"]
        self.assertEqual(said, [("user:42", "hello world")])
        _, last = self.stack.demo.ask("GET", "/api/ws/last-message", X_Demo_Key=DEMO_KEY)
        self.assertEqual((last["data"]["user_id"], last["data"]["raw"]), ("42", message))

    def test_user(self) -> None:
        """WS_USER_ID says who it is."""
        user = fresh_user()
        done = self.run_client(WS_USER_ID=user)
        self.assertIn(f"user:{user}", done.stdout)

    def test_refused(self) -> None:
        """A token that the gateway does not accept is told with its code."""
        with TemporaryDirectory() as directory:
            subprocess.run(["sh", _copy_of_key_script(directory)], check=True, capture_output=True)
            done = self.run_client(JWT_PRIVATE_KEY_FILE=f"{directory}/keys/dev_private.pem")
        self.assert_line(done, "4401")

    def test_nobody_there(self) -> None:
        """No gateway, another server and a wrong address are told without a traceback."""
        self.assert_line(self.run_client(WS_URL=f"ws://127.0.0.1:{free_port()}/ws"), "refused")
        self.assert_line(self.run_client(WS_URL=f"ws://127.0.0.1:{self.stack.demo.port}/ws"), "404")
        self.assert_line(self.run_client(WS_URL="localhost:8180"), "WS_URL='localhost:8180'")
        self.assert_line(
            self.run_client(WS_URL="ws://localhost:99999/ws"), "WS_URL='ws://localhost:99999/ws'"
        )

    def test_wrong_settings(self) -> None:
        """A key that is not there or does not fit, and a time that is none, are told in one line."""
        self.assert_line(self.run_client(JWT_PRIVATE_KEY_FILE="/nonexistent.pem"), "/nonexistent.pem")
        self.assert_line(self.run_client(JWT_ALG="ES256"), "ES256")
        self.assert_line(self.run_client(WS_LISTEN_SECONDS="soon"), "WS_LISTEN_SECONDS='soon'")

    def test_interrupted(self) -> None:
        """WS_LISTEN_SECONDS=0 listens until Ctrl-C, and that is a good end once the pong came."""
        process = subprocess.Popen(
            [sys.executable, str(_SCRIPTS / "ws_client.py")],
            env={
                "PATH": os.environ["PATH"],
                "WS_URL": self.stack.ws_url,
                "JWT_PRIVATE_KEY_FILE": self.stack.private_key_file,
                "WS_LISTEN_SECONDS": "0",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        self.assertEqual(process.stdout.readline(), '{"type":"pong"}\n')
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, errors), (0, ""))


def _copy_of_key_script(directory: str) -> str:
    """The script writes beside itself, so it is copied to where it may write."""
    return shutil.copy(_SCRIPTS / "gen_dev_keys.sh", directory)


class KeyScriptTests(unittest.TestCase):
    """`scripts/gen_dev_keys.sh`."""

    def setUp(self) -> None:
        directory = TemporaryDirectory(prefix="keys")
        self.addCleanup(directory.cleanup)
        self.script = _copy_of_key_script(directory.name)
        self.private = Path(directory.name, "keys", "dev_private.pem")
        self.public = Path(directory.name, "keys", "dev_public.pem")

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", self.script, *arguments],
            env={"PATH": os.environ["PATH"], **environment},
            capture_output=True,
            text=True,
            check=False,
        )

    def assert_pair(self) -> None:
        token = jwt.encode({"user_id": "42"}, self.private.read_bytes(), "RS256")
        self.assertEqual(jwt.decode(token, self.public.read_bytes(), ["RS256"]), {"user_id": "42"})
        self.assertEqual(stat.S_IMODE(self.private.stat().st_mode), 0o600)

    def test_makes_a_pair(self) -> None:
        """The keys fit each other, and only their owner reads the private one."""
        self.assertEqual(self.make().returncode, 0)
        self.assert_pair()

    def test_keeps_what_is_there(self) -> None:
        """Keys that are there stay, unless new ones are asked for."""
        self.make()
        before = self.private.read_bytes()
        self.assertEqual(self.make().returncode, 0)
        self.assertEqual(self.private.read_bytes(), before)
        self.make("--force")
        self.assertNotEqual(self.private.read_bytes(), before)
        self.assert_pair()

    def test_half_a_pair(self) -> None:
        """A private key without its public half gets it."""
        self.make()
        before = self.private.read_bytes()
        self.public.unlink()
        self.make()
        self.assertEqual(self.private.read_bytes(), before)
        self.assert_pair()

    def test_without_openssl(self) -> None:
        """Without openssl, Python's cryptography does it; without either, one line says so."""
        with TemporaryDirectory() as tools:
            for tool in ("dirname", "mkdir", "cp", "rm", "mv", "chmod", "cat"):
                found = shutil.which(tool)
                assert found is not None
                Path(tools, tool).symlink_to(found)
            nothing = self.make(PATH=tools)
            self.assertEqual((nothing.returncode, len(nothing.stderr.splitlines())), (1, 1), nothing.stderr)
            self.assertFalse(self.private.exists())
            python = Path(tools, "python3")
            python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
            python.chmod(0o755)
            done = self.make(PATH=tools)
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assert_pair()

    def test_unknown_argument(self) -> None:
        """An argument that it does not know is told."""
        self.assertEqual(self.make("--what").returncode, 1)


class RunScriptTests(unittest.TestCase):
    """`scripts/run`, in a copy of the checkout, as after a fresh clone."""

    checkout: ClassVar[Path]
    _directory: ClassVar[TemporaryDirectory[str]]

    @classmethod
    def setUpClass(cls) -> None:
        cls._directory = TemporaryDirectory(prefix="checkout")
        cls.checkout = Path(cls._directory.name, "a checkout")
        skipped = shutil.ignore_patterns("*.egg-info", "__pycache__", "keys")
        for name in ("src", "twisted", "scripts"):
            shutil.copytree(_ROOT / name, cls.checkout / name, ignore=skipped)
        for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
            shutil.copy(_ROOT / name, cls.checkout)

    @classmethod
    def tearDownClass(cls) -> None:
        cls._directory.cleanup()

    def start(self, *words: str, **settings: str) -> subprocess.Popen[str]:
        kept = {
            name: text for name, text in os.environ.items() if not name.startswith(("WS_", "DEMO_", "JWT_"))
        }
        return subprocess.Popen(
            ["bash", str(self.checkout / "scripts" / "run"), *words],
            env={**kept, **settings},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def fails(self, *words: str, **settings: str) -> list[str]:
        """The lines that it says before it ends in vain."""
        process = self.start(*words, **settings)
        said, _ = process.communicate(timeout=10 * PATIENCE)
        self.assertNotEqual(process.returncode, 0, said)
        return [line for line in said.splitlines() if line.startswith("scripts/run:")]

    def test_1_no_python(self) -> None:
        """Without a fitting Python it says so in one line and makes nothing."""
        (line,) = self.fails(PYTHON="/bin/false")
        self.assertIn("PYTHON=/bin/false", line)
        self.assertIn("3.11 to 3.13", line)
        self.assertFalse((self.checkout / ".venv").exists())

    def test_2_no_venv_module(self) -> None:
        """With a Python without the venv module it names the package to install."""
        crippled = self.checkout / "python"
        crippled.write_text(
            f'#!/bin/sh\ncase "$*" in *ensurepip*) exit 1;; esac\nexec {sys.executable} "$@"\n'
        )
        crippled.chmod(0o755)
        (line,) = self.fails(PYTHON=str(crippled))
        self.assertIn("python3-venv", line)

    def test_3_runs(self) -> None:
        """From nothing to a running pair, which the test client can talk to; Ctrl-C stops both."""
        ports = {"WS_PORT": str(free_port()), "DEMO_PORT": str(free_port())}
        process = self.start(PYTHON=sys.executable, **ports)
        self.addCleanup(self._end, process)
        said = self._until_started(process)
        self.assertIn(f"http://localhost:{ports['DEMO_PORT']}/demo/chat", said)
        self.assertIn("Ctrl-C", said)

        page = f"http://127.0.0.1:{ports['DEMO_PORT']}/demo/chat"
        self.assertIn(f"ws://127.0.0.1:{ports['WS_PORT']}/ws".encode(), urllib.request.urlopen(page).read())
        client = subprocess.run(
            [sys.executable, "scripts/ws_client.py"],
            cwd=self.checkout,
            env={
                "PATH": os.environ["PATH"],
                "JWT_PRIVATE_KEY_FILE": "./scripts/keys/dev_private.pem",
                "WS_URL": f"ws://localhost:{ports['WS_PORT']}/ws",
                "WS_SEND_MESSAGE": "1",
                "WS_MESSAGE_JSON": '{"type":"chat","payload":"hello world"}',
            },
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((client.returncode, client.stderr), (0, ""))
        self.assertIn('{"type":"pong"}\n', client.stdout)
        self.assertIn('"text":"hello world"', client.stdout)

        # What it made is for its owner alone, and it puts nothing into the checkout but .venv and the keys.
        made = self.checkout / ".venv" / "ws-gateway" / "dev.env"
        self.assertEqual(stat.S_IMODE(made.stat().st_mode), 0o600)
        self.assertFalse((self.checkout / "build").exists())
        self.assertEqual(list((self.checkout / "src").glob("*.egg-info")), [])

        # A second one finds the ports taken, and installs nothing again.
        (line,) = self.fails(**ports)
        self.assertIn(ports["WS_PORT"], line)
        self.assertIn("WS_PORT", line)
        (line,) = self.fails(**{**ports, "WS_PORT": str(free_port())})
        self.assertIn("DEMO_PORT", line)

        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, rest.strip()), (0, "Stopping ..."))
        self._assert_free(*ports.values())

    def test_4_one_dies(self) -> None:
        """When one of the two dies, the other is stopped, and the status is not 0."""
        (self.checkout / ".env").write_text('GATEWAY_API_KEY="from-the-file"  # a remark\nWS_PORT=1\n')
        self.addCleanup((self.checkout / ".env").unlink)
        ports = {"WS_PORT": str(free_port()), "DEMO_PORT": str(free_port())}
        process = self.start(**ports)
        self.addCleanup(self._end, process)
        said = self._until_started(process)
        self.assertNotIn("Installing", said)

        asked = urllib.request.Request(
            f"http://127.0.0.1:{ports['WS_PORT']}/internal/connections",
            headers={"X-Api-Key": "from-the-file"},
        )
        self.assertEqual(urllib.request.urlopen(asked).status, 200)

        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        (demo,) = [child for child in children if b"ws-demo" in self._words_of(child)]
        os.kill(int(demo), signal.SIGKILL)
        rest, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 1)
        self.assertIn("the demo ended by itself", rest)
        self._assert_free(*ports.values())

    @staticmethod
    def _words_of(pid: str) -> bytes:
        """The command line of a process; empty if it has just ended, as the tools of a script do."""
        try:
            return Path(f"/proc/{pid}/cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            return b""

    def test_0_wrong_words(self) -> None:
        """A mode or an option that does not exist, and core mode without any broker, are one line each."""
        self.assertIn("there is no mode 'cluster'; usage", self.fails("--mode", "cluster")[0])
        self.assertIn("there is no mode ''", self.fails("--mode")[0])
        self.assertIn("there is no --what", self.fails("--what")[0])
        with TemporaryDirectory() as tools:
            for tool in ("bash", "dirname"):
                found = shutil.which(tool)
                assert found is not None
                Path(tools, tool).symlink_to(found)
            (line,) = self.fails("--mode", "core", PATH=tools)
        for name in ("WS_REDIS_DSN", "WS_RABBITMQ_DSN", "redis-server"):
            self.assertIn(name, line)

    @unittest.skipUnless(shutil.which("redis-server"), "redis-server is not installed")
    def test_5_core(self) -> None:
        """Core mode with a Redis of its own: the consumer updates the last message, and Ctrl-C ends all."""
        ports = {"WS_PORT": str(free_port()), "DEMO_PORT": str(free_port())}
        process = self.start("--mode", "core", PYTHON=sys.executable, **ports)
        self.addCleanup(self._end, process)
        said = self._until_started(process)
        redis = said.partition("a Redis of its own on port ")[2].partition(",")[0]
        self.assertTrue(redis.isdecimal(), said)
        client = subprocess.run(
            [sys.executable, "scripts/ws_client.py"],
            cwd=self.checkout,
            env={
                "PATH": os.environ["PATH"],
                "JWT_PRIVATE_KEY_FILE": "./scripts/keys/dev_private.pem",
                "WS_URL": f"ws://localhost:{ports['WS_PORT']}/ws",
                "WS_SEND_MESSAGE": "1",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual((client.returncode, client.stderr), (0, ""))
        last = f"http://127.0.0.1:{ports['DEMO_PORT']}/api/ws/last-message"
        self.assertIn(b'"payload":"hello world"', urllib.request.urlopen(last).read())

        state = self.checkout / ".venv" / "ws-gateway"
        secret = state / f"redis-{ports['WS_PORT']}" / "redis.conf"
        self.assertEqual(stat.S_IMODE(secret.stat().st_mode), 0o600)
        password = secret.read_text().partition("requirepass ")[2].partition("\n")[0]
        logs = said + "".join((state / f"{name}.log").read_text() for name in ("gateway", "demo", "redis"))
        self.assertNotIn(password, logs)
        self.assertNotIn("webhook", (state / "gateway.log").read_text())
        self.assertNotIn('"level":"warn"', logs)

        os.killpg(process.pid, signal.SIGINT)
        rest, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual((process.returncode, rest.strip()), (0, "Stopping ..."))
        self._assert_free(*ports.values(), redis)
        # The broker was there to the end: both said what they had to say.
        for name in ("gateway", "demo"):
            self.assertNotIn("Redis was lost", (state / f"{name}.log").read_text())

    def _until_started(self, process: "subprocess.Popen[str]") -> str:
        assert process.stdout is not None
        said = ""
        while "Ctrl-C" not in said:
            line = process.stdout.readline()
            self.assertTrue(line, said)
            said += line
        return said

    def _assert_free(self, *ports: str) -> None:
        for port in ports:
            with self.assertRaises(ConnectionRefusedError):
                socket.create_connection(("127.0.0.1", int(port)))

    def _end(self, process: "subprocess.Popen[str]") -> None:
        """Whatever happened, nothing stays."""
        if process.poll() is None:
            process.terminate()
            try:
                process.communicate(timeout=PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.communicate()
