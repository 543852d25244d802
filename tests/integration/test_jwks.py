"""Keys from a URL (contract section 1): sources that rotate, fail, hang and lie; clients that leave."""

import json
import threading

from tests.integration.harness.case import GatewayTestCase, HookedTestCase
from tests.integration.harness.keys import key_pair
from tests.integration.harness.keyserver import Exchange, KeyServer, certificate, jwk
from tests.integration.harness.rawclient import CLOSE, TEXT
from tests.integration.harness.tokens import fresh_user, sign
from tests.integration.harness.waiting import PATIENCE, until


def token(kid, user=None, pair="RS256", **header):
    """A token that names its key."""
    headers = {**header, **({} if kid is None else {"kid": kid})}
    return sign({"user_id": user or fresh_user()}, "RS256", key_pair(pair).private, headers)


class JwksTestCase(GatewayTestCase):
    """A gateway whose keys come from a server of the test's own."""

    shared = False

    def source(self, *keys, secure=False):
        """A key server, gone at the end of the test."""
        server = KeyServer(*keys, secure=secure)
        self.addCleanup(server.stop)
        return server

    def gateway(self, source, **settings):
        """A gateway that asks it."""
        return self.start({"JWT_PUBLIC_KEY_FILE": None, "JWT_JWKS_URL": source.url, **settings})

    def loaded(self, daemon):
        """Wait for the first keys."""
        until(lambda: daemon.metric("jwks_keys"), "the first keys", daemon.log)

    def knock(self, daemon, text):
        """Send a handshake.

        :returns: the client, not answered yet.
        """
        client = self.raw(daemon)
        client.send(client.head(text))
        return client

    def all_heard(self, daemon, descriptors):
        """Wait until so many descriptors are open and what was sent there before now has been read."""
        until(lambda: daemon.descriptors() >= descriptors, "the clients", daemon.log)
        # Another client is served while they wait: the reactor has turned since it accepted them.
        self.assertEqual(self.judge(daemon, "nonsense"), 4401)

    def verdict(self, client):
        """What a client is told: `open`, a close code, or an HTTP status."""
        if client.read_head() != 101:
            return client.status
        client.send_json({"type": "ping"})
        frame = client.read_frame()
        return "open" if frame.opcode == TEXT else frame.code

    def judge(self, daemon, text):
        """Knock, and hear what the answer is."""
        with self.knock(daemon, text) as client:
            return self.verdict(client)


class RotationTests(JwksTestCase):
    """Keys come and go."""

    def test_rotation(self):
        """A new key is known as soon as a token names it; a withdrawn one is refused from then on."""
        source = self.source(jwk("a"), {"kty": "oct", "k": "AA"}, 7, jwk("x", "ES256", use="enc"))
        daemon = self.gateway(source, JWT_JWKS_COOLDOWN_SECONDS="0.05")
        self.assertEqual(self.judge(daemon, token("a")), "open")
        self.assertEqual(self.judge(daemon, token(None)), "open")
        source.keys = [jwk("a"), jwk("b", "another", alg="RS256")]
        until(lambda: self.judge(daemon, token("b", pair="another")) == "open", "the new key", daemon.log)
        self.assertEqual(self.judge(daemon, token("a")), "open")
        self.assertEqual(self.judge(daemon, token("b")), 4401)
        source.keys = [jwk("b", "another")]
        until(lambda: self.judge(daemon, token("c")) == 4401 and daemon.metric("jwks_keys") == 1, "a fetch")
        self.assertEqual(self.judge(daemon, token("a")), 4401)
        self.assertEqual(self.judge(daemon, token("b", pair="another")), "open")
        self.assertEqual(self.judge(daemon, token(None)), 4401)
        self.assertGreaterEqual(daemon.metric("ws_refused_total", reason="unknown_key"), 2)
        self.assertEqual(daemon.metric("jwks_fetches_total", outcome="ok"), source.fetches)

    def test_refreshed_in_the_background(self):
        """Without any token, a withdrawn key is forgotten."""
        source = self.source(jwk("a"))
        source.answer = lambda exchange: exchange.reply(
            json.dumps({"keys": source.keys}).encode(), content_type="text/plain"
        )
        daemon = self.gateway(source, JWT_JWKS_REFRESH_SECONDS="0.1", JWT_JWKS_COOLDOWN_SECONDS="0.05")
        self.loaded(daemon)
        source.keys = [jwk("b", "another"), jwk("c")]
        daemon.wait_metric(2, "jwks_keys")
        self.assertEqual(self.judge(daemon, token("a")), 4401)
        self.assertEqual(self.judge(daemon, token("c")), "open")

    def test_storm_of_kids(self):
        """Hundreds of tokens with keys of their own cause no fetch within the cool-down, and are answered."""
        source = self.source(jwk("a"))
        daemon = self.gateway(source, JWT_JWKS_COOLDOWN_SECONDS="600")
        self.loaded(daemon)
        for number in range(200):
            self.assertEqual(self.judge(daemon, token(f"kid-{number}", pair="another")), 4401)
        self.assertEqual(self.judge(daemon, token("a")), "open")
        self.assertEqual(source.fetches, 1)
        self.assertEqual(daemon.metric("ws_refused_total", reason="unknown_key"), 200)

    def test_a_crowd_waits_for_one_fetch(self):
        """Everybody whose key is not there yet waits for the same fetch; others are not kept waiting."""
        source = self.source(jwk("a"))
        daemon = self.gateway(source, JWT_JWKS_COOLDOWN_SECONDS="0.05")
        self.loaded(daemon)
        released = threading.Event()

        def slowly(exchange: Exchange) -> None:
            released.wait(PATIENCE)
            exchange.reply(json.dumps({"keys": [jwk("a"), jwk("b")]}).encode())

        source.answer = slowly
        fetches = source.fetches
        # The cool-down may not be over for the first ones.
        until(lambda: self.knock(daemon, token("x")) and source.fetches > fetches, "a fetch", daemon.log)
        descriptors = daemon.descriptors()
        crowd = [self.knock(daemon, token("b")) for _ in range(50)]
        strangers = [self.knock(daemon, token(f"kid-{number}")) for number in range(50)]
        self.all_heard(daemon, descriptors + 100)
        released.set()
        self.assertEqual({self.verdict(client) for client in crowd}, {"open"})
        self.assertEqual({self.verdict(client) for client in strangers}, {4401})
        self.assertEqual(source.fetches, fetches + 1)

    def test_a_token_does_not_say_where_keys_are(self):
        """`jku`, `x5u` and `jwk` of a token are never followed, whoever signed it."""
        source, stranger = self.source(jwk("a")), self.source(jwk("b", "another"))
        daemon = self.gateway(source, JWT_JWKS_COOLDOWN_SECONDS="0.05")
        self.loaded(daemon)
        more = {"jku": stranger.url, "x5u": stranger.url, "jwk": jwk("b", "another")}
        for kid in ("a", "b", None):
            self.assertEqual(self.judge(daemon, token(kid, pair="another", **more)), 4401)
        self.assertEqual(self.judge(daemon, token("a", **more)), "open")
        self.assertEqual(stranger.fetches, 0)


class FailingSourceTests(JwksTestCase):
    """Sources that do not answer, or not with keys."""

    def test_down_before_the_first_keys(self):
        """No client can be judged: 503 with Retry-After, and /ready fails, until the source is there."""
        source = self.source(jwk("a"))
        source.stop()
        daemon = self.gateway(source)
        until(lambda: daemon.metric("jwks_fetches_total", outcome="unreachable"), "a failure", daemon.log)
        with self.knock(daemon, token("a")) as client:
            self.assert_problem(client, 503)
            self.assertLessEqual(1, int(client.headers["retry-after"]))
        self.assertEqual(self.judge(daemon, "nonsense"), 4401)
        answer = daemon.request("GET", "/ready")
        self.assertEqual(answer.status, 503)
        self.assertEqual(answer.json()["status"], "failed")
        check = answer.json()["checks"]["keys"]
        self.assertEqual(check["status"], "failed")
        self.assertTrue(check["detail"].startswith("no token key was ever loaded"), check)
        self.assertEqual(daemon.request("GET", "/health").status, 200)
        self.assertEqual(daemon.metric("ws_refused_total", reason="keys_unavailable"), 1)
        source.start()
        until(lambda: daemon.request("GET", "/ready").status == 200, "keys", daemon.log)
        self.assertEqual(self.judge(daemon, token("a")), "open")

    def test_down_afterwards(self):
        """Keys that were loaded stay in use; /ready is degraded, one line tells, metrics count."""
        source = self.source(jwk("a"))
        daemon = self.gateway(source, JWT_JWKS_REFRESH_SECONDS="0.05", JWT_JWKS_COOLDOWN_SECONDS="0.05")
        self.loaded(daemon)
        source.stop()
        until(lambda: daemon.metric("jwks_fetches_total", outcome="unreachable") >= 5, "failures")
        self.assertEqual(self.judge(daemon, token("a")), "open")
        self.assertEqual(self.judge(daemon, token("b")), 4401)
        answer = daemon.request("GET", "/ready")
        self.assertEqual((answer.status, answer.json()["status"]), (200, "degraded"))
        self.assertEqual(answer.json()["checks"]["keys"]["status"], "degraded")
        self.assertGreaterEqual(daemon.metric("jwks_stale_total"), 1)
        self.assertGreater(daemon.metric("jwks_age_seconds"), 0)
        self.assertEqual(len(daemon.found("token keys could not be fetched")), 1)
        source.keys = [jwk("b")]
        source.start()
        until(lambda: daemon.request("GET", "/ready").json()["status"] == "ok", "the source", daemon.log)
        self.assertEqual(self.judge(daemon, token("b")), "open")
        daemon.wait_line("the source of token keys is back")

    def test_answers_of_every_bad_kind(self):
        """Whatever the source does, old keys serve, others are served, and no connection stays behind."""
        source, other = self.source(jwk("a")), self.source(jwk("b"))
        daemon = self.gateway(
            source,
            JWT_JWKS_REFRESH_SECONDS="0.05",
            JWT_JWKS_COOLDOWN_SECONDS="0.05",
            JWT_JWKS_TIMEOUT_SECONDS="0.5",
        )
        self.loaded(daemon)
        descriptors = daemon.descriptors()
        over = threading.Event()
        self.addCleanup(over.set)

        def hang(exchange: Exchange) -> None:
            over.wait(PATIENCE)

        def drip(exchange: Exchange) -> None:
            exchange.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
            exchange.pour(b" ", lambda: not over.wait(0.02))

        def flood(exchange: Exchange) -> None:
            exchange.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
            exchange.pour(b" " * 65536, lambda: not over.is_set())

        def endless_head(exchange: Exchange) -> None:
            exchange.wfile.write(b"HTTP/1.1 200 OK\r\n")
            exchange.pour(b"X-Y: " + b"z" * 8000 + b"\r\n", lambda: not over.is_set())

        for outcome, answer in (
            ("status", lambda exchange: exchange.reply(b'{"keys":[]}', 500)),
            ("status", lambda exchange: exchange.redirect(other.url)),
            ("unusable", lambda exchange: exchange.reply(b"<html>no</html>")),
            ("unusable", lambda exchange: exchange.reply(b'{"keys":[]}')),
            ("unusable", lambda exchange: exchange.reply(b"\x1f\x8b\x08garbage")),
            ("too_large", lambda exchange: exchange.reply(b" " * 10_000_000 + b'{"keys":[]}')),
            ("too_large", flood),
            ("broken", endless_head),
            ("broken", lambda exchange: exchange.wfile.write(b"SSH-2.0-source\r\n\r\n")),
            ("timeout", hang),
            ("timeout", drip),
        ):
            with self.subTest(outcome=outcome):
                before = daemon.metric("jwks_fetches_total", outcome=outcome)
                source.answer = answer
                until(
                    lambda: daemon.metric("jwks_fetches_total", outcome=outcome) > before,  # noqa: B023
                    outcome,
                    daemon.log,
                )
                self.assertEqual(self.judge(daemon, token("a")), "open")
                self.assertEqual(daemon.request("GET", "/ready").json()["status"], "degraded")
        self.assertEqual(other.fetches, 0)
        source.answer = None
        until(lambda: daemon.request("GET", "/ready").json()["status"] == "ok", "the source", daemon.log)
        source.stop()  # no fetch is under way when descriptors are counted, or it is over soon
        until(lambda: daemon.descriptors() <= descriptors, "descriptors", daemon.log)

    def test_https(self):
        """A certificate must be good for the name and come from an authority that the system trusts."""
        source = self.source(jwk("a"), secure=True)
        trusting = self.gateway(source, SSL_CERT_FILE=certificate())
        self.loaded(trusting)
        self.assertEqual(self.judge(trusting, token("a")), "open")
        self.assertEqual(trusting.found("is not https"), [])
        doubting = self.gateway(source)
        line = doubting.wait_line("token keys could not be fetched", outcome="broken")
        self.assertIn("certificate verify failed", line["event"])
        self.assertEqual(self.judge(doubting, token("a")), 503)


class WaitingTests(HookedTestCase, JwksTestCase):
    """Clients whose key is awaited: answered once, and leaving nothing when they leave."""

    settings = {"JWT_JWKS_COOLDOWN_SECONDS": "0.05", "JWT_JWKS_TIMEOUT_SECONDS": "60"}

    def setUp(self):
        super().setUp()
        self.released = threading.Event()
        self.addCleanup(self.released.set)
        self.keys = self.source(jwk("a"))
        self.keys.answer = self.hold

    def hold(self, exchange):
        self.released.wait(PATIENCE)
        exchange.reply(json.dumps({"keys": self.keys.keys}).encode())

    def hanging(self, **settings):
        """A gateway whose first fetch is under way."""
        daemon = self.gateway(self.keys, **settings)
        until(lambda: self.keys.fetches, "the fetch", daemon.log)
        return daemon

    def nothing_left(self, daemon, descriptors):
        """Nobody is connected and no descriptor more is open than before."""
        until(lambda: daemon.descriptors() <= descriptors, "descriptors", daemon.log)
        self.assertEqual(daemon.metric("ws_connections"), 0)
        self.assertEqual(daemon.connections(), [])

    def test_two_requests_while_a_key_is_awaited(self):
        """A second head behind the first, at once or later, gets no answer of its own."""
        for later in (False, True):
            with self.subTest(later=later):
                self.released.clear()
                fetches = self.keys.fetches
                daemon = self.gateway(self.keys)
                until(lambda: self.keys.fetches > fetches, "the fetch", daemon.log)  # noqa: B023
                descriptors = daemon.descriptors()
                user = fresh_user()
                client = self.raw(daemon)
                head, again = client.head(token("a", user)), client.head(token("a", user))
                if later:
                    client.send(head)
                    self.all_heard(daemon, descriptors + 1)
                    client.send(again)
                else:
                    client.send(head + again)
                self.released.set()
                client.expect_open()
                # To the protocol behind it, another head is no frame.
                frame = client.read_frame()
                self.assertEqual((frame.opcode, frame.code), (CLOSE, 1002))
                client.read_rest()
                self.assertEqual(bytes(client.everything).count(b"HTTP/1.1"), 1)
                events = self.receiver.wait_end(user)
                self.assertEqual([event["type"] for event in events], ["connected", "disconnected"])
                daemon.stop()

    def test_frames_behind_the_head(self):
        """What a client sends before its answer is kept, and served after it."""
        daemon = self.hanging()
        client = self.knock(daemon, token("a"))
        client.send_json({"type": "ping"})
        self.released.set()
        client.expect_open()
        self.assertEqual(client.read_json(), {"type": "pong"})

    def test_leaving(self):
        """Clients that leave while their key is awaited leave no connection, no event and no descriptor."""
        daemon = self.hanging()
        descriptors = daemon.descriptors()
        user = fresh_user()
        clients = [self.knock(daemon, token("a", user)) for _ in range(20)]
        self.all_heard(daemon, descriptors + 20)
        for number, client in enumerate(clients):
            client.reset() if number % 2 else client.socket.close()
        self.nothing_left(daemon, descriptors)
        self.released.set()
        self.loaded(daemon)
        stays = fresh_user()
        client = self.knock(daemon, token("a", stays))
        self.assertEqual(self.verdict(client), "open")
        self.assertEqual(len(daemon.connections()), 1)
        client.close()
        self.receiver.wait_end(stays)
        self.assertEqual([hook for hook in self.receiver.hooks if hook.event["user_id"] == user], [])
        self.assertEqual(self.keys.fetches, 1)
        self.assertEqual(daemon.metric("ws_connections_total"), 1)

    def test_the_handshake_takes_too_long(self):
        """At the handshake's deadline the client is told and dropped; the fetch goes on for the others."""
        daemon = self.hanging(WS_HANDSHAKE_TIMEOUT_SECONDS="0.5", WS_CLOSE_TIMEOUT_SECONDS="0.5")
        descriptors = daemon.descriptors()
        user = fresh_user()
        early = [self.knock(daemon, token("a", user)) for _ in range(5)]
        for client in early:
            self.assert_problem(client, 408)
        self.nothing_left(daemon, descriptors)
        self.assertEqual(daemon.metric("ws_refused_total", reason="timeout"), 5)
        self.released.set()
        self.loaded(daemon)
        self.assertEqual(self.judge(daemon, token("a")), "open")
        self.assertEqual([hook for hook in self.receiver.hooks if hook.event["user_id"] == user], [])
        self.assertEqual(self.keys.fetches, 1)

    def test_stop(self):
        """A fetch that hangs does not hold up the stop, and a client that waits for it sees an end."""
        daemon = self.hanging()
        descriptors = daemon.descriptors()
        client = self.knock(daemon, token("a"))
        self.all_heard(daemon, descriptors + 1)
        daemon.stop()
        client.read_rest()
        self.assertNotIn(b" 101 ", bytes(client.everything))
        self.assertEqual(daemon.found("going on without it"), [])
