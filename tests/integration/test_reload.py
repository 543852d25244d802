"""SIGHUP: new keys, secrets and levels for a gateway that goes on (docs/ops.md, "Reload")."""

import shutil
import signal
import tempfile
import threading
from pathlib import Path

from tests.integration.harness.canary import secret
from tests.integration.harness.case import HookedTestCase
from tests.integration.harness.keys import key_pair
from tests.integration.harness.keyserver import KeyServer, jwk
from tests.integration.harness.rawclient import TEXT, frame
from tests.integration.harness.receiver import WEBHOOK_SECRET, Reply
from tests.integration.harness.tokens import fresh_user, sign, token_for
from tests.integration.harness.waiting import PATIENCE, until

OLD_KEY, NEW_KEY = secret("old-api-key"), secret("new-api-key")
NEW_SECRET = secret("new-webhook-secret")
OLD_TOKEN, NEW_TOKEN = secret("old-metrics-token"), secret("new-metrics-token")


class Case(HookedTestCase):
    """A gateway whose settings lie in a file."""

    shared = False

    def setUp(self):
        super().setUp()
        self.directory = Path(tempfile.mkdtemp(prefix="reload"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.file = self.directory / "env"
        self.key_file = self.directory / "key.pem"
        self.key_file.write_text(key_pair("RS256").pem)
        self.values = {
            "JWT_PUBLIC_KEY_FILE": str(self.key_file),
            "SYMFONY_WEBHOOK_URL": self.receiver.url,
            "SYMFONY_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "GATEWAY_API_KEY": OLD_KEY,
            "METRICS_TOKEN": OLD_TOKEN,
            "LOG_LEVEL": "info",
        }
        self.reloads = 0
        self.receiver.answer = lambda hook: Reply()

    def write(self, **values):
        """The file says this from now on; None takes a line away."""
        self.values.update(values)
        lines = [f"{name}='{value}'\n" for name, value in self.values.items() if value is not None]
        self.file.write_text("".join(lines))

    def begin(self, **environment):
        """A daemon with the file; nothing of it stands in the environment."""
        self.write()
        absent = dict.fromkeys((*self.values, "EVENTS_MODE"))
        self.daemon = self.start({**absent, "WS_ENV_FILE": str(self.file), **environment})
        return self.daemon

    def reload(self):
        """Send the signal.

        :returns: the line that tells what was reloaded.
        """
        self.reloads += 1
        self.daemon.send_signal(signal.SIGHUP)
        until(lambda: len(self.daemon.found("reloaded: ")) == self.reloads, "word of it", self.daemon.log)
        line = self.daemon.found("reloaded: ")[-1]
        self.assertFalse(line["event"].startswith("nothing was"), line)
        return line

    def opens(self, key):
        """Does this key open the API?"""
        status = self.daemon.call("GET", "/internal/connections", key=key).status
        self.assertIn(status, (200, 401, 403))
        return status == 200

    def admitted(self, token):
        """Does this token let somebody in?"""
        client = self.raw(self.daemon)
        client.send(client.head(token))
        self.assertEqual(client.read_head(), 101)
        client.send(frame(TEXT, b'{"type":"ping"}'))
        answer = client.read_frame()
        if answer.opcode == TEXT:
            return True
        self.assertEqual(int.from_bytes(answer.payload[:2], "big"), 4401)
        return False


class ReloadTests(Case):
    """What is taken over."""

    def test_connections_stay(self):
        """Clients, idle ones and one in the middle of a message, notice nothing, however often it reloads."""
        daemon = self.begin()
        users = [fresh_user() for _ in range(5)]
        clients = [self.open(user, daemon=daemon) for user in users]
        message = frame(TEXT, b'{"n":1}')
        clients[0].send(message[:4])
        for number in range(20):
            self.write(GATEWAY_API_KEY=f"{NEW_KEY}{number}")
            self.assertEqual(self.reload()["event"], "reloaded: GATEWAY_API_KEY")
        clients[0].send(message[4:])
        for client in clients:
            client.ping_pong()
        self.receiver.wait(users[0], 1, "message_received")
        self.assertEqual(len(daemon.found("connection closed")), 0)

    def test_api_keys(self):
        """A new key opens the API, an old one only as long as the file names it."""
        self.begin()
        self.assertEqual((self.opens(OLD_KEY), self.opens(NEW_KEY)), (True, False))
        self.write(GATEWAY_API_KEY=f"{NEW_KEY},{OLD_KEY}")
        self.reload()
        self.assertEqual((self.opens(OLD_KEY), self.opens(NEW_KEY)), (True, True))
        self.write(GATEWAY_API_KEY=NEW_KEY)
        self.reload()
        self.assertEqual((self.opens(OLD_KEY), self.opens(NEW_KEY)), (False, True))
        self.write(GATEWAY_API_KEY=None)
        self.reload()
        self.assertEqual((self.opens(OLD_KEY), self.opens(NEW_KEY)), (False, False))

    def test_api_keys_of_the_internal_port(self):
        """With a port of its own, too."""
        self.begin(INTERNAL_LISTEN="tcp:0:interface=127.0.0.1")
        self.daemon.port = self.daemon.wait_line("listening on", serves="internal")["port"]
        self.write(GATEWAY_API_KEY=NEW_KEY)
        self.reload()
        self.assertEqual((self.opens(OLD_KEY), self.opens(NEW_KEY)), (False, True))

    def test_metrics_token(self):
        """So with the token of the metrics."""
        self.begin()
        self.write(METRICS_TOKEN=NEW_TOKEN)
        self.assertEqual(self.reload()["event"], "reloaded: METRICS_TOKEN")
        statuses = [
            self.daemon.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"}).status
            for token in (OLD_TOKEN, NEW_TOKEN)
        ]
        self.assertEqual(statuses, [401, 200])

    def test_webhook_secret(self):
        """Events are signed with the new secret, also those of clients who were there before."""
        daemon = self.begin()
        user = fresh_user()
        client = self.open(user, daemon=daemon)
        self.receiver.wait(user, 1, "connected")
        self.write(SYMFONY_WEBHOOK_SECRET=NEW_SECRET)
        self.assertEqual(self.reload()["event"], "reloaded: SYMFONY_WEBHOOK_SECRET")
        # From here on the receiver knows no other secret, and every request is judged (harness).
        self.receiver.secrets = [NEW_SECRET]
        self.addCleanup(setattr, self.receiver, "secrets", [WEBHOOK_SECRET])
        client.send(frame(TEXT, b'{"n":1}'))
        self.receiver.wait(user, 1, "message_received")
        client.close()
        self.receiver.wait_end(user)
        self.assertEqual({hook.signature for hook in self.receiver.attempts(user)}, {"good"})

    def test_event_that_waits(self):
        """An event that a receiver with a new secret refused is signed afresh when it is tried again."""
        daemon = self.begin()
        self.receiver.secrets = [NEW_SECRET]
        self.addCleanup(setattr, self.receiver, "secrets", [WEBHOOK_SECRET])
        self.receiver.answer = lambda hook: Reply(204 if hook.signature == "good" else 401)
        user = fresh_user()
        self.open(user, daemon=daemon)
        self.receiver.wait_attempts(user, 2)
        self.write(SYMFONY_WEBHOOK_SECRET=NEW_SECRET)
        self.reload()
        self.receiver.wait(user, 1, "connected")
        # What was refused is no fault of the gateway's; the harness would complain.
        with self.receiver._lock:
            self.receiver.hooks[:] = [hook for hook in self.receiver.hooks if hook.signature == "good"]

    def test_public_key(self):
        """A new key in its file lets its tokens in and the old ones out; who is in stays."""
        daemon = self.begin()
        client = self.open(daemon=daemon)
        old = token_for(fresh_user())
        new = sign({"user_id": fresh_user()}, key=key_pair("another").private)
        self.assertEqual((self.admitted(old), self.admitted(new)), (True, False))
        self.key_file.write_text(key_pair("another").pem)
        self.assertEqual(self.reload()["event"], "reloaded: JWT_PUBLIC_KEY_FILE")
        self.assertEqual((self.admitted(old), self.admitted(new)), (False, True))
        client.ping_pong()
        self.key_file.write_text(key_pair("another").pem + key_pair("RS256").pem)
        self.reload()
        self.assertEqual((self.admitted(old), self.admitted(new)), (True, True))

    def test_keys_at_a_url(self):
        """They are asked for at once, however long the cool-down and their age."""
        server = KeyServer(jwk("old"))
        self.addCleanup(server.stop)
        self.values["JWT_PUBLIC_KEY_FILE"] = None
        daemon = self.begin(
            JWT_JWKS_URL=server.url, JWT_JWKS_COOLDOWN_SECONDS="3600", JWT_JWKS_REFRESH_SECONDS="86400"
        )
        daemon.wait_line("token keys loaded")
        client = self.raw(daemon)
        client.handshake(sign({"user_id": fresh_user()}, headers={"kid": "old"}))
        server.keys = [jwk("new", "another")]
        self.assertIn("the keys of JWT_JWKS_URL", self.reload()["event"])
        until(lambda: len(daemon.found("token keys loaded")) == 2, "new keys", daemon.log)
        self.assertEqual(server.fetches, 2)
        new = sign({"user_id": fresh_user()}, key=key_pair("another").private, headers={"kid": "new"})
        self.assertTrue(self.admitted(new))
        client.ping_pong()

    def test_log_level(self):
        """Lines of a lower level appear, and are gone again."""
        daemon = self.begin()
        for level, heard in (("info", False), ("DEBUG", True), ("info", False)):
            if level != self.values["LOG_LEVEL"]:
                self.write(LOG_LEVEL=level)
                self.assertEqual(self.reload()["event"], "reloaded: LOG_LEVEL")
            probes, closed = len(daemon.found("GET /health")), len(daemon.found("connection closed"))
            self.assertEqual(daemon.request("GET", "/health").status, 200)
            # A line that comes after the one of the probe.
            self.open(daemon=daemon).close()
            until(lambda closed=closed: len(daemon.found("connection closed")) > closed, "it", daemon.log)
            self.assertEqual(len(daemon.found("GET /health")) > probes, heard)

    def test_what_needs_a_restart(self):
        """A setting that only a restart takes over is named, and the others are taken over."""
        self.begin()
        self.write(GATEWAY_API_KEY=NEW_KEY, WS_PATH="/other", WS_MAX_MESSAGE_BYTES="1000")
        line = self.reload()
        self.assertEqual(
            line["event"],
            "reloaded: GATEWAY_API_KEY; only a restart takes over WS_PATH, WS_MAX_MESSAGE_BYTES",
        )
        self.assertEqual(line["level"], "warn")
        self.assertTrue(self.opens(NEW_KEY))
        self.assert_alive(self.daemon)


class RefusedTests(Case):
    """All or nothing."""

    def test_broken_files(self):
        """A file that cannot be used changes nothing; each thing that is wrong is one line."""
        daemon = self.begin()
        client = self.open(daemon=daemon)
        good = {**self.values, "GATEWAY_API_KEY": NEW_KEY, "LOG_LEVEL": "debug"}
        text = "".join(f"{name}='{value}'\n" for name, value in good.items())
        ruined = self.directory / "ruined.pem"
        ruined.write_text("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")
        cases = {
            text + "LOG_LEVEL": ["line 7: there is no = in it"],
            text + f"WEBHOOK_SECRET_PREVIOUS='{NEW_SECRET}": ["line 7: a quote is opened and never closed"],
            text + "LOG_LEVEL=loud\nWS_PORT=0\n": ["WS_PORT='0' (in WS_ENV_FILE)", "LOG_LEVEL='loud' (in"],
            text + "SYMFONY_WEBHOOK_SECRET=whsec_!\n": ["SYMFONY_WEBHOOK_SECRET='***' (in WS_ENV_FILE)"],
            text + "JWT_PUBLIC_KEY_FILE=/nowhere.pem\n": [
                "JWT_PUBLIC_KEY_FILE='/nowhere.pem': cannot be read"
            ],
            text + f"JWT_PUBLIC_KEY_FILE={ruined}\n": [
                "JWT_PUBLIC_KEY_FILE cannot be used with JWT_ALG=RS256"
            ],
            text + f"JWT_PUBLIC_KEY_FILE={key_pair('ES256').path}\nJWT_ALG=ES256\n": [
                "only a restart changes"
            ],
            text + "JWT_PUBLIC_KEY_FILE=\nJWT_JWKS_URL=http://127.0.0.1:9/\n": [
                "JWT_JWKS_URL: only a restart"
            ],
        }
        told = 0
        for written, problems in cases.items():
            with self.subTest(problems=problems):
                self.file.write_text(written)
                daemon.send_signal(signal.SIGHUP)
                told += len(problems)
                until(lambda told=told: len(self.refusals()) >= told, "word of it", daemon.log)
                lines = self.refusals()
                self.assertEqual(len(lines), told)
                for line, problem in zip(lines[-len(problems) :], problems, strict=True):
                    self.assertIn(problem, line["event"])
                    self.assertEqual(line["level"], "error")
                self.assertEqual((self.opens(OLD_KEY), self.opens(NEW_KEY)), (True, False))
        self.file.write_bytes(b"GATEWAY_API_KEY=\xff")
        daemon.send_signal(signal.SIGHUP)
        daemon.wait_line("must hold text in UTF-8")
        self.file.unlink()
        daemon.send_signal(signal.SIGHUP)
        daemon.wait_line("cannot be read (No such file or directory)")
        self.assertTrue(self.admitted(token_for(fresh_user())))
        client.ping_pong()
        self.assertEqual(daemon.found("GET /internal/connections", level="debug"), [])
        metrics = {"Authorization": f"Bearer {OLD_TOKEN}"}
        body = daemon.request("GET", "/metrics", headers=metrics).body.decode()
        self.assertIn(f'reloads_total{{outcome="refused"}} {len(cases) + 2}.0\n', body)
        self.write(GATEWAY_API_KEY=NEW_KEY)
        self.reloads = len(daemon.found("reloaded: "))
        self.assertEqual(self.reload()["event"], "reloaded: GATEWAY_API_KEY")
        self.assertEqual((self.opens(OLD_KEY), self.opens(NEW_KEY)), (False, True))

    def refusals(self):
        return self.daemon.found("nothing was reloaded: ")

    def test_environment_wins(self):
        """What the environment says stays, and the line says who has won."""
        self.begin(GATEWAY_API_KEY=OLD_KEY)
        self.write(GATEWAY_API_KEY=NEW_KEY)
        self.reload()
        self.daemon.wait_line(
            "GATEWAY_API_KEY (in WS_ENV_FILE): has no effect, because GATEWAY_API_KEY says something else"
        )
        self.assertEqual((self.opens(OLD_KEY), self.opens(NEW_KEY)), (True, False))

    def test_without_a_file(self):
        """Without a file, key files alone can change; SIGHUP ends nobody."""
        self.daemon = self.start({"LOG_LEVEL": "info", "JWT_PUBLIC_KEY_FILE": str(self.key_file)})
        self.assertIn("WS_ENV_FILE is not set", self.reload()["event"])
        self.key_file.write_text(key_pair("another").pem)
        self.assertEqual(self.reload()["event"], "reloaded: JWT_PUBLIC_KEY_FILE")
        self.assertFalse(self.admitted(token_for(fresh_user())))

    def test_while_it_stops(self):
        """A gateway that stops reloads nothing any more, and stops."""
        gate = threading.Event()
        self.addCleanup(gate.set)

        def hold(hook):
            gate.wait(PATIENCE)
            return Reply()

        self.receiver.answer = hold
        daemon = self.begin(WS_CLOSE_TIMEOUT_SECONDS="0.5")
        user = fresh_user()
        self.open(user, daemon=daemon)
        self.receiver.wait_attempts(user, 1)
        daemon.send_signal(signal.SIGTERM)
        daemon.wait_line("Received SIGTERM")
        daemon.send_signal(signal.SIGHUP)
        daemon.wait_line("SIGHUP: stopping already")
        gate.set()
        self.assertEqual(daemon.wait_exit(), -signal.SIGTERM)
        self.assertEqual(daemon.found("reloaded"), [])


class StartTests(Case):
    """The file at the start."""

    def test_options_and_environment(self):
        """The file holds what nobody else says."""
        self.values["WS_PATH"] = "/sockets"
        daemon = self.begin(LOG_LEVEL="debug")
        with self.open(target="/sockets", daemon=daemon) as client:
            client.ping_pong()
        self.assertTrue(daemon.found("LOG_LEVEL (in WS_ENV_FILE): has no effect"))
