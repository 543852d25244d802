"""What an operator reads: one JSON object a line, whatever a peer puts into it (contract section 7)."""

import signal
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.integration.harness.canary import leaks
from tests.integration.harness.case import GatewayTestCase, HookedTestCase
from tests.integration.harness.daemon import API_KEY, Daemon
from tests.integration.harness.rawclient import RawClient
from tests.integration.harness.receiver import Reply
from tests.integration.harness.tokens import fresh_user, sign, token_for
from tests.integration.harness.waiting import until

NASTY = 'a"b\\c\u2028d\u2029e{f}%s{0.__class__}\u202e'
"""Quotes, line ends of other worlds, format fields; what a user id may hold."""

NASTIER = NASTY + "\n\r\x1b[31mred\x85\x0b\x0c\x7f\x00"
"""Control characters as well; what a reason may hold."""


class SummaryTests(GatewayTestCase):
    """The line of a connection that closed."""

    settings = {"LOG_LEVEL": "INFO"}

    def line_of(self, user):
        return self.daemon.wait_line("connection closed", user_id=user)

    def test_the_line(self):
        """Exactly one for each connection, with all that one asks for later; at INFO it is the only one."""
        user = fresh_user()
        before = len(self.daemon.lines)
        client = self.open(user)
        for number in range(3):
            client.send_json({"n": number})
        client.ping_pong()
        client.close(4000, "done")
        line = self.line_of(user)
        expected = {
            "level": "info",
            "user_id": user,
            "client_ip": "127.0.0.1",
            "code": 4000,
            "reason": "done",
            "cause": "client",
            "messages": 3,
        }
        self.assertEqual({name: line[name] for name in expected}, expected)
        self.assertRegex(line["connection_id"], r"^[0-9a-f-]{36}$")
        self.assertGreaterEqual(line["seconds"], 0)
        self.assertRegex(line["time"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")
        self.assertEqual(len(self.daemon.lines), before + 1, self.daemon.log())

    def test_the_cause_of_each_end(self):
        """Cut, kicked, violated."""
        user = fresh_user()
        self.open(user).reset()
        self.assertEqual(self.line_of(user)["code"], 1006)
        user = fresh_user()
        client = self.open(user)
        self.daemon.call("POST", f"/internal/users/{user}/disconnect")
        client.read_close()
        self.assertEqual(self.line_of(user)["cause"], "kicked")
        user = fresh_user()
        client = self.open(user)
        client.send(b"\x83\x80mask")
        client.read_close()
        self.assertEqual(self.line_of(user)["cause"], "protocol_error")

    def test_refusals(self):
        """A refused handshake leaves one line with a word and a sentence, and nothing of the token."""
        before = len(self.daemon.found("handshake refused"))
        client = self.raw()
        client.send(client.head(sign({"user_id": fresh_user(), "exp": 1})))
        client.expect_open().read_close()
        lines = self.daemon.found("handshake refused")
        self.assertEqual(len(lines), before + 1)
        self.assertEqual(lines[-1]["reason"], "expired")
        self.assertEqual(lines[-1]["client_ip"], "127.0.0.1")


class NastyTests(HookedTestCase):
    """Text of peers in the log, at DEBUG; every line is judged at the end of each test."""

    settings = {"TRUSTED_PROXIES": "127.0.0.1"}

    def test_user_ids_and_reasons(self):
        """They stand in their fields as they are, and in one line."""
        user = NASTY + fresh_user()
        client = self.open(user)
        client.send_text(NASTIER)
        self.assertEqual(client.close(4000, NASTIER).code, 4000)
        line = self.daemon.wait_line("connection closed", user_id=user)
        self.assertEqual(line["reason"], NASTIER)
        event = self.receiver.wait_end(user)
        self.assertEqual([event[1]["raw"], event[2]["reason"]], [NASTIER, NASTIER])

    def test_requests(self):
        """Paths, queries, headers, methods."""
        for path in ("/%0a%0d%1b[31m", "/a%22%7bx%7d", "/x?y=%0a", "/internal/users/%0a%1b/connections"):
            self.daemon.request("GET", path, None, {"User-Agent": 'x"{y}\x85', "X-Api-Key": API_KEY})
        client = self.raw()
        client.send(b'GET /\xff\x85"{a} HTTP/1.1\r\nHost: a\r\n\r\n')
        client.read_head()
        for target in ("/ws?token=%0a%1b[31m", "/ws?channels=%0a,%1b,{x}", "/ws?traceparent=%0a"):
            client = self.raw()
            client.send(
                client.head(None, target, headers=[("X-Forwarded-For", 'x"{y}\x85\x1f'.replace("\x1f", ""))])
            )
            client.expect_open().read_close()
        self.open(headers=[("X-Forwarded-For", "not an address {0}")]).close()
        self.assert_alive()

    def test_kicks(self):
        """A backend's reason is data, too."""
        user = fresh_user()
        client = self.open(user)
        self.daemon.call("POST", "/internal/disconnect", {"user_id": user, "reason": NASTIER})
        self.assertEqual(client.read_close(), (4403, NASTIER))
        self.assertEqual(self.daemon.wait_line("connection closed", user_id=user)["reason"], NASTIER)

    def test_what_a_target_says(self):
        """Nothing of its answer but the status stands in the log."""
        user = fresh_user()
        self.receiver.answer = lambda hook: Reply(400, (("X-Thing", "t\x85{x}"),), NASTIER.encode())
        self.open(user).close()
        self.daemon.wait_line("dead letter", event_type="disconnected")
        self.receiver.answer = lambda hook: Reply()
        self.assertFalse([line for line in self.daemon.lines if "red" in line["event"].split()])

    def test_secrets_in_every_place(self):
        """Tokens, keys and cookies in places where they do not belong; the search at the end finds none."""
        token = token_for(fresh_user())
        for target in (
            f"/ws/{token}",
            f"/nothing?token={token}",
            f"/health?access_token={token}&k={API_KEY}",
        ):
            client = self.raw()
            client.send(client.head(token, target, headers=[("Cookie", f"session={token}")]))
            client.read_head()
        for method, path in (
            ("GET", f"/internal/connections?api_key={API_KEY}"),
            ("POST", f"/x?key={API_KEY}"),
        ):
            self.daemon.request(method, path, None, {"Authorization": f"Bearer {API_KEY}x"})
        client = self.raw()
        client.send(client.head(token, headers=[("Sec-WebSocket-Protocol", f"bearer, {token}, {token}")]))
        client.expect_open().ping_pong()
        client = self.raw()
        client.send(b"GET /ws HTTP/1.1\r\nAuthorization: Bearer " + token.encode() + b"\x00\r\n\r\n")
        self.assert_problem(client, 400)


class TextTests(GatewayTestCase):
    """`LOG_FORMAT=text`, for people."""

    shared = False

    def test_one_line_each(self):
        """Control characters are escaped, so a line stays a line and a terminal its colour."""
        directory = TemporaryDirectory(prefix="gw")
        self.addCleanup(directory.cleanup)
        path = str(Path(directory.name, "s"))
        daemon = Daemon({"LOG_FORMAT": "text", "WS_LISTEN": f"unix:{path}"}, wait=False)
        self.addCleanup(daemon.kill)
        until(lambda: b"listening on" in daemon.console(), "it listens", daemon.log)
        client = RawClient(path)
        self.addCleanup(client.socket.close)
        client.handshake(token_for(NASTY))
        client.close(4000, NASTIER)
        until(lambda: b"connection closed" in daemon.console(), "the summary", daemon.log)
        daemon.send_signal(signal.SIGTERM)
        self.assertEqual(daemon.wait_exit(), -signal.SIGTERM)
        console = daemon.console()
        self.assertNotIn(b"\x1b", console)
        self.assertEqual(len(console.decode().splitlines()), console.count(b"\n"))
        self.assertEqual(leaks([console]), [])
