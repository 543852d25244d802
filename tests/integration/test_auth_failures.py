"""`AUTH_FAILURES_PER_MINUTE`, and what a flood of bad tokens does to the log (contract section 1).

That a block ends by itself takes a minute, so a unit test with a clock of its own is the witness.
"""

import threading
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.integration.harness.case import GatewayTestCase
from tests.integration.harness.daemon import start_and_fail
from tests.integration.harness.rawclient import RawClient
from tests.integration.harness.tokens import fresh_user, sign, token_for


class AuthFailuresTestCase(GatewayTestCase):
    """Clients from many addresses: the test itself is the trusted proxy."""

    settings = {"AUTH_FAILURES_PER_MINUTE": "3", "TRUSTED_PROXIES": "127.0.0.1"}

    def knock(self, address, token="nonsense", target="/ws", daemon=None, reused=False):
        """A handshake of a client at this address.

        :param reused: on a connection that has served another request.
        :returns: 101 for being let in, 4401, or the status of the refusal.
        """
        client = self.raw(daemon)
        if reused:
            client.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            client.read_head()
            client.read_body()
        client.send(client.head(token, target, [("X-Forwarded-For", address)]))
        if client.read_head() == 101:
            first = client.read_exactly(2)
            self.assertEqual(first[0], 0x88)  # nothing but a Close frame comes unasked
            self.assertEqual(client.read_rest()[:2], (4401).to_bytes(2))
            return 4401
        self.retry_after = int(client.headers["retry-after"])
        self.document = client.read_body()
        self.assertEqual(client.read_rest(), b"")
        return client.status

    def enters(self, address, daemon=None):
        """A good token is let in."""
        headers = [("X-Forwarded-For", address)]
        with self.open(daemon=daemon, headers=headers) as client:
            client.ping_pong()
        return True


class BlockTests(AuthFailuresTestCase):
    """Addresses."""

    def test_blocked(self):
        """Three bad tokens in a minute, then 429 with Retry-After: for good tokens as well, and counted."""
        before = self.daemon.metric("ws_refused_total", reason="auth_failures")
        address = "203.0.113.1"
        self.assertTrue(self.enters(address))
        self.assertEqual([self.knock(address) for _ in range(3)], [4401] * 3)
        malformed = self.daemon.metric("ws_refused_total", reason="malformed")
        for token in ("nonsense", token_for(fresh_user()), None):
            self.assertEqual(self.knock(address, token), 429)
            self.assertLessEqual(1, self.retry_after)
            self.assertLessEqual(self.retry_after, 60)
            self.assertIn(b'"title":"Too Many Requests","status":429', self.document)
        self.assertEqual(self.daemon.metric("ws_refused_total", reason="auth_failures"), before + 3)
        self.assertEqual(self.daemon.metric("ws_refused_total", reason="malformed"), malformed)
        self.assertTrue(self.enters("203.0.113.2"), "others are let in")
        (line, *_) = self.daemon.found("handshake refused", reason="auth_failures", client_ip=address)
        self.assertEqual(line["level"], "info")

    def test_every_refused_token_counts(self):
        """Whatever is wrong with it, wherever it stands, on a new connection or a reused one."""
        address = "203.0.113.3"
        self.assertEqual(self.knock(address, token_for(1, exp=1)), 4401)
        self.assertEqual(self.knock(address, None, "/ws?token=nonsense"), 4401)
        self.assertEqual(self.knock(address, sign({"user_id": ""}), reused=True), 4401)
        self.assertEqual(self.knock(address, reused=True), 429)
        self.assertEqual(self.knock(address, None, f"/ws?token={token_for(1)}"), 429)

    def test_ipv6_by_64(self):
        """The addresses of a /64 count as one."""
        for last in ("1", "2:3:4:5", "ffff:0:0:1"):
            self.assertEqual(self.knock(f"2001:db8:0:1:{'' if ':' in last else ':'}{last}"), 4401)
        self.assertEqual(self.knock("2001:db8:0:1::9", token_for(1)), 429)
        self.assertTrue(self.enters("2001:db8:0:2::9"))

    def test_header_of_a_client(self):
        """Only the right-most address, which the proxy wrote, is believed."""
        for number in range(3):
            self.assertEqual(self.knock(f"198.51.100.{number}, 203.0.113.4"), 4401)
        self.assertEqual(self.knock("198.51.100.9, 203.0.113.4"), 429)
        self.assertTrue(self.enters("198.51.100.1"))

    def test_open_connections_stay(self):
        """Who is in already notices nothing."""
        address = "203.0.113.5"
        client = self.open(headers=[("X-Forwarded-For", address)])
        while self.knock(address) != 429:
            pass
        client.ping_pong()

    def test_http_is_not_concerned(self):
        """Other requests of a blocked address are answered as ever."""
        client = self.raw()
        while self.knock("203.0.113.6") != 429:
            pass
        client.send(b"GET /health HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 203.0.113.6\r\n\r\n")
        self.assertEqual(client.read_head(), 200)


class OtherSettingsTests(AuthFailuresTestCase):
    """What the setting may be, and peers without an address."""

    shared = False
    settings = {}

    def test_off(self):
        """Without the setting, any number of bad tokens is answered with 4401."""
        daemon = self.start()
        self.assertEqual({self.knock("", daemon=daemon) for _ in range(30)}, {4401})

    def test_bad_value(self):
        """The start says what is allowed."""
        status, said = start_and_fail({"AUTH_FAILURES_PER_MINUTE": "-1"})
        self.assertEqual(status, 1)
        self.assertIn("AUTH_FAILURES_PER_MINUTE='-1': must be an integer from 1 to 10000, or 0 (off)", said)

    def test_without_trusted_proxies(self):
        """The header of a stranger frees nobody."""
        daemon = self.start({"AUTH_FAILURES_PER_MINUTE": "2"})
        found = [self.knock(f"203.0.113.{number}", daemon=daemon) for number in range(3)]
        self.assertEqual(found, [4401, 4401, 429])

    def test_peers_without_an_address(self):
        """Over a unix socket there is nobody to count."""
        directory = TemporaryDirectory(prefix="gateway")
        self.addCleanup(directory.cleanup)
        path = str(Path(directory.name) / "s")
        self.start({"AUTH_FAILURES_PER_MINUTE": "1", "WS_LISTEN": f"unix:{path}"})
        for _ in range(5):
            with RawClient(path) as client:
                client.send(client.head("nonsense"))
                client.expect_open()
                self.assertEqual(client.read_close()[0], 4401)
        with RawClient(path) as client:
            client.handshake(token_for(fresh_user())).ping_pong()


class FloodTests(AuthFailuresTestCase):
    """Bad tokens by the hundred."""

    shared = False
    settings = {"TRUSTED_PROXIES": "127.0.0.1"}
    count = 1000

    def flood(self, daemon):
        """So many handshakes with bad tokens, from many addresses."""

        def some(begin):
            for number in range(begin, begin + self.count // 4):
                with RawClient(("127.0.0.1", daemon.port)) as client:
                    address = f"10.{number >> 8}.{number & 255}.1"
                    client.send(client.head("nonsense", headers=[("X-Forwarded-For", address)]))
                    client.read_rest()

        threads = [
            threading.Thread(target=some, args=(begin,)) for begin in range(0, self.count, self.count // 4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def test_log(self):
        """The log gets a few lines; each of the others is counted, in the metric and in the lines."""
        daemon = self.start()
        self.flood(daemon)
        self.assertEqual(daemon.metric("ws_refused_total", reason="malformed"), self.count)
        lines = daemon.found("handshake refused", reason="malformed")
        self.assertLess(len(lines), self.count // 4)
        self.assertGreaterEqual(len(lines), 20)
        self.assertEqual(self.knock("203.0.113.1", None, daemon=daemon), 4401)
        daemon.wait_line("handshake refused", reason="missing")
        daemon.stop()
        told = daemon.found("handshake refused", reason="malformed")
        untold = sum(line["suppressed"] for line in daemon.lines if line.get("reason") == "malformed")
        self.assertEqual(len(told) + untold, self.count, "none is silent")
