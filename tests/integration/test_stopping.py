"""How the daemon starts, refuses to start, and stops (contract section 7)."""

import json
import os
import signal
import socket
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.integration.harness.canary import CANARY, secret
from tests.integration.harness.case import GatewayTestCase, HookedTestCase
from tests.integration.harness.daemon import start_and_fail
from tests.integration.harness.rawclient import CLOSE, TEXT, RawClient, close_payload, frame
from tests.integration.harness.receiver import Reply
from tests.integration.harness.tokens import fresh_user, token_for
from tests.integration.harness.waiting import PATIENCE, until


class StopTests(HookedTestCase):
    """SIGTERM."""

    shared = False
    settings = {"WS_CLOSE_TIMEOUT_SECONDS": "0.5"}

    def setUp(self):
        super().setUp()
        self.receiver.answer = lambda hook: Reply()

    def held(self):
        """Let the target hold every event until the gate opens."""
        gate = threading.Event()
        self.addCleanup(gate.set)

        def answer(hook):
            gate.wait(PATIENCE)
            return Reply()

        self.receiver.answer = answer
        return gate

    def test_in_good_order(self):
        """Clients get 1012, every event is delivered, the log counts, and the status tells the signal."""
        daemon = self.start()
        users = [fresh_user() for _ in range(30)]
        clients = [self.open(user, daemon=daemon) for user in users]
        for client in clients:
            client.send(b"".join(frame(TEXT, b'{"n":%d}' % number) for number in range(10)))
        daemon.send_signal(signal.SIGTERM)
        for client in clients:
            self.assertEqual(client.read_close()[0], 1012)
        self.assertEqual(daemon.wait_exit(), -signal.SIGTERM)
        for user in users:
            events = self.receiver.of(user)
            self.assertEqual([event["seq"] for event in events], list(range(len(events))))
            self.assertEqual((events[-1]["type"], events[-1]["code"]), ("disconnected", 1012))
            self.assertEqual(events[-1]["cause"], "shutdown")
            self.assertEqual(len(events), 12)
        (line,) = daemon.found("were not delivered")
        self.assertEqual(line["undelivered"], 0)
        self.assertEqual(daemon.lines[-1]["event"], "Server Shut Down.")

    def test_ready_and_new_clients_while_it_stops(self):
        """`/ready` is 503 at once and `/health` 200, on connections that are open; handshakes get 503."""
        daemon = self.start()
        gate = self.held()
        user = fresh_user()
        client = self.open(user, daemon=daemon)
        probe, late = self.raw(daemon), self.raw(daemon)
        for one in (probe, late):
            one.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(one.read_head(), 200)
            one.read_body()
        daemon.send_signal(signal.SIGTERM)
        self.assertEqual(client.read_close()[0], 1012)
        probe.send(b"GET /ready HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(probe.read_head(), 503)
        self.assertEqual(json.loads(probe.read_body())["status"], "failed")
        probe.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(probe.read_head(), 200)
        probe.read_body()
        late.send(late.head(token_for(user)))
        self.assert_problem(late, 503)
        self.assertIn("retry-after", late.headers)
        with self.assertRaises(OSError):
            socket.create_connection(("127.0.0.1", daemon.port))
        gate.set()
        self.assertEqual(daemon.wait_exit(), -signal.SIGTERM)
        self.assertEqual([event["type"] for event in self.receiver.of(user)], ["connected", "disconnected"])

    def test_draining(self):
        """`SHUTDOWN_DRAIN_SECONDS`: `/ready` says no, whoever still comes is served, then all are closed."""
        daemon = self.start({"SHUTDOWN_DRAIN_SECONDS": "2"})
        before = self.open(daemon=daemon)
        daemon.send_signal(signal.SIGTERM)
        until(lambda: daemon.request("GET", "/ready").status == 503, "/ready says no", daemon.log)
        user = fresh_user()
        after = self.open(user, daemon=daemon)
        for client in (before, after):
            client.ping_pong()
        self.assertEqual(daemon.publish([f"user:{user}"], 1), 1)
        self.assertEqual(after.read_json()["payload"], 1)
        for client in (before, after):
            self.assertEqual(client.read_close()[0], 1012)
        self.assertEqual(daemon.wait_exit(), -signal.SIGTERM)
        self.assertEqual(self.receiver.of(user)[-1]["cause"], "shutdown")

    def test_the_receiver_is_down(self):
        """After `SHUTDOWN_GRACE_SECONDS` one line says how many events were not delivered."""
        daemon = self.start({"SHUTDOWN_GRACE_SECONDS": "1"})
        self.receiver.stop()
        try:
            client = self.open(daemon=daemon)
            client.send(b"".join(frame(TEXT, b'{"n":%d}' % number) for number in range(5)))
            client.ping_pong()
            daemon.send_signal(signal.SIGTERM)
            self.assertEqual(client.read_close()[0], 1012)
            self.assertEqual(daemon.wait_exit(), -signal.SIGTERM)
        finally:
            self.receiver.start()
        (line,) = daemon.found("not delivered")
        self.assertEqual((line["undelivered"], line["level"]), (7, "warn"))
        self.assertTrue(daemon.found("was not over after", stage="events"))

    def test_more_signals(self):
        """SIGTERM and SIGINT again change nothing: what waits is delivered, the first one's status stays."""
        daemon = self.start()
        gate = self.held()
        user = fresh_user()
        client = self.open(user, daemon=daemon)
        daemon.send_signal(signal.SIGTERM)
        self.assertEqual(client.read_close()[0], 1012)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
            said = len(daemon.found("stopping already"))
            daemon.send_signal(number)
            until(lambda said=said: len(daemon.found("stopping already")) > said, "it says so", daemon.log)
        self.assertTrue(daemon.running)
        gate.set()
        self.assertEqual(daemon.wait_exit(), -signal.SIGTERM)
        self.assertEqual(len(self.receiver.of(user)), 2)

    def test_interrupt(self):
        """Ctrl-C is a stop like any other."""
        daemon = self.start()
        user = fresh_user()
        client = self.open(user, daemon=daemon)
        daemon.send_signal(signal.SIGINT)
        self.assertEqual(client.read_close()[0], 1012)
        self.assertEqual(daemon.wait_exit(), -signal.SIGINT)
        self.assertEqual(self.receiver.of(user)[-1]["cause"], "shutdown")

    def test_clients_that_do_not_answer(self):
        """One that ignores the Close, one that does not read, half a handshake: they hold up nothing."""
        daemon = self.start()
        users = [fresh_user(), fresh_user()]
        deaf = self.open(users[0], daemon=daemon)
        stuck = self.open(users[1], daemon=daemon, receive_buffer=4096)
        for _ in range(30):
            daemon.publish([f"user:{users[1]}"], "x" * 100_000)
        half = self.raw(daemon)
        half.send(b"GET /ws HTTP/1.1\r\n")
        daemon.send_signal(signal.SIGTERM)
        got = deaf.read_frame()
        self.assertEqual((got.opcode, got.code), (CLOSE, 1012))
        self.assertEqual(daemon.wait_exit(), -signal.SIGTERM)
        for user in users:
            self.assertEqual(self.receiver.of(user)[-1]["cause"], "shutdown")
        stuck.socket.close()


class UnixTests(HookedTestCase):
    """Listening on a `unix:` socket."""

    shared = False

    def setUp(self):
        super().setUp()
        directory = TemporaryDirectory(prefix="gw")
        self.addCleanup(directory.cleanup)
        self.path = str(Path(directory.name, "gateway.sock"))

    def connect(self):
        client = RawClient(self.path)
        self.addCleanup(client.socket.close)
        return client

    def test_peers_without_an_address(self):
        """They are served; events and the log carry no address where there is none."""
        daemon = self.start({"WS_LISTEN": f"unix:{self.path}", "EVENTS_CLIENT_IP": "1"})
        user = fresh_user()
        client = self.connect().handshake(token_for(user))
        client.ping_pong()
        api = self.connect()
        api.send(b"GET /health HTTP/1.0\r\n\r\n")
        self.assertEqual(api.read_head(), 200)
        client.close()
        events = self.receiver.wait_end(user)
        self.assertEqual([event.get("client_ip") for event in events], [None, None])
        (line,) = [line for line in daemon.found("connection closed") if line["user_id"] == user]
        self.assertIsNone(line["client_ip"])

    def test_a_socket_of_a_dead_process(self):
        """It is taken over; that of a living one is not."""
        first = self.start({"WS_LISTEN": f"unix:{self.path}"})
        self.connect().handshake(token_for(fresh_user())).ping_pong()
        status, said = start_and_fail({**self.all_settings(), "WS_LISTEN": f"unix:{self.path}"})
        self.assertNotEqual(status, 0)
        self.assertNotIn("Traceback", said)
        self.assertIn(self.path, said)
        client = self.connect().handshake(token_for(fresh_user()))
        client.ping_pong()
        first.kill()
        self.assertTrue(os.path.exists(self.path))
        self.start({"WS_LISTEN": f"unix:{self.path}"})
        self.connect().handshake(token_for(fresh_user())).ping_pong()

    def test_a_path_that_is_no_socket(self):
        """It is never removed."""
        Path(self.path).write_text("precious")
        status, said = start_and_fail({**self.all_settings(), "WS_LISTEN": f"unix:{self.path}"})
        self.assertNotEqual(status, 0)
        self.assertNotIn("Traceback", said)
        self.assertEqual(Path(self.path).read_text(), "precious")


class StartTests(GatewayTestCase):
    """Settings."""

    shared = False

    def test_bad_settings(self):
        """All errors at once, one line each: the variable, its value, what is allowed; secrets are masked."""
        status, said = start_and_fail(
            {
                "WS_PORT": "70000",
                "WS_LISTEN": None,
                "WS_PING_INTERVAL_SECONDS": "soon",
                "WS_OUTBOX_DROP_STRATEGY": "drop_everything",
                "SYMFONY_WEBHOOK_URL": "ftp://example.com/",
                "EVENTS_MODE": "webhook",
                "JWT_ALG": "none",
                "GATEWAY_API_KEY": f"with control \x01 {CANARY}",
                "SYMFONY_WEBHOOK_SECRET": f"whsec_{CANARY}!",
                "TRUSTED_PROXIES": "10.0.0.0/99",
                "LOG_LEVEL": "CHATTY",
            }
        )
        self.assertNotEqual(status, 0)
        self.assertNotIn("Traceback", said)
        for name, value in (
            ("WS_PORT", "70000"),
            ("WS_PING_INTERVAL_SECONDS", "soon"),
            ("WS_OUTBOX_DROP_STRATEGY", "drop_newest"),
            ("SYMFONY_WEBHOOK_URL", "http"),
            ("JWT_ALG", "none"),
            ("GATEWAY_API_KEY", ""),
            ("SYMFONY_WEBHOOK_SECRET", ""),
            ("TRUSTED_PROXIES", "10.0.0.0/99"),
            ("LOG_LEVEL", "CHATTY"),
        ):
            with self.subTest(name=name):
                lines = [line for line in said.splitlines() if line.startswith(f"{name}=")]
                self.assertEqual(len(lines), 1, said)
                self.assertIn(value, lines[0])

    def test_keys_that_do_not_fit(self):
        """A missing file, a private key, a key of another kind, none at all."""
        with TemporaryDirectory() as directory:
            broken = Path(directory, "key.pem")
            broken.write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
            for settings, word in (
                ({"JWT_PUBLIC_KEY_FILE": None}, "JWT_PUBLIC_KEY"),
                ({"JWT_PUBLIC_KEY_FILE": f"{directory}/nothing.pem"}, "JWT_PUBLIC_KEY_FILE"),
                ({"JWT_PUBLIC_KEY_FILE": str(broken)}, "JWT_PUBLIC_KEY_FILE"),
                ({"JWT_ALG": "ES256"}, "JWT_PUBLIC_KEY_FILE"),
                ({"JWT_ALG": "HS256"}, "JWT_"),
            ):
                with self.subTest(settings=settings):
                    status, said = start_and_fail(settings)
                    self.assertNotEqual(status, 0)
                    self.assertNotIn("Traceback", said)
                    self.assertIn(word, said)

    def test_missing_webhook(self):
        """Without a target, the line names the setting and the way out."""
        status, said = start_and_fail({"EVENTS_MODE": None})
        self.assertNotEqual(status, 0)
        self.assertIn("SYMFONY_WEBHOOK_URL", said)
        self.assertNotIn("Traceback", said)

    def test_modes_of_later_versions(self):
        """They are refused by name, not ignored."""
        for settings in ({"EVENTS_MODE": "broker"}, {"EVENTS_MODE": "both"}):
            status, said = start_and_fail(settings)
            self.assertNotEqual(status, 0)
            self.assertIn("EVENTS_MODE", said)
            self.assertNotIn("Traceback", said)

    def test_options_win(self):
        """`--path` over `WS_PATH`; a bad option is an error like a bad variable."""
        daemon = self.start({"WS_PATH": "/from/environment"}, "--path=/sockets/here")
        self.raw(daemon).handshake(token_for(fresh_user()), "/sockets/here").ping_pong()
        client = self.raw(daemon)
        client.send(client.head(token_for(fresh_user()), "/from/environment"))
        self.assertEqual(client.read_head(), 404)
        status, said = start_and_fail({}, "--path=no-slash")
        self.assertNotEqual(status, 0)
        self.assertIn("--path", said)
        self.assertNotIn("Traceback", said)
        status, said = start_and_fail({}, "--nonsense")
        self.assertNotEqual(status, 0)
        self.assertNotIn("Traceback", said)

    def test_a_port_that_is_taken(self):
        """One clear line."""
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            status, said = start_and_fail({"WS_LISTEN": None, "WS_PORT": str(port)})
        self.assertNotEqual(status, 0)
        self.assertNotIn("Traceback", said)
        lines = [line for line in said.splitlines() if str(port) in line]
        self.assertEqual(len(lines), 1, said)
        self.assertIn("in use", lines[0])

    def test_unknown_settings(self):
        """A warning with the nearest name; names of the other side are none of our business."""
        daemon = self.start(
            {
                "WS_MAX_CONECTIONS": "5",
                "WS_URL": "ws://x",
                "WS_GATEWAY_BASE_URL": "http://x",
                "WS_GATEWAY_API_KEY": secret("other"),
                "WS_CONSUMER_LOG_LEVEL": "DEBUG",
            }
        )
        (line,) = [line for line in daemon.lines if line["level"] == "warn"]
        self.assertIn("WS_MAX_CONECTIONS", line["event"])
        self.assertIn("WS_MAX_CONNECTIONS", line["event"])

    def test_ipv6(self):
        """An IPv6 loopback works and is told as an address."""
        if not socket.has_ipv6 or not Path("/proc/net/if_inet6").exists():
            self.skipTest("no IPv6 here")
        daemon = self.start({"WS_LISTEN": "tcp6:0:interface=\\:\\:1"})
        with socket.create_connection(("::1", daemon.port)) as client:
            client.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            self.assertTrue(client.recv(100).startswith(b"HTTP/1.0 200"))

    def test_closing_while_it_stops(self):
        """A client that closes at the moment of the stop gets its answer, and the daemon ends."""
        daemon = self.start()
        clients = [self.open(daemon=daemon) for _ in range(20)]
        daemon.send_signal(signal.SIGTERM)
        for client in clients:
            client.send(frame(CLOSE, close_payload(1000)))
            got = client.read_frame()
            self.assertEqual(got.opcode, CLOSE)
            self.assertIn(got.code, (1000, 1012))
            client.read_rest()
        self.assertEqual(daemon.wait_exit(), -signal.SIGTERM)
