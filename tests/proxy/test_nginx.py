"""What nginx does to connections, and what becomes of them: idle cuts, reloads, crashes, reuse."""

import json
import socket
import ssl
import time

from websockets.sync.client import connect

from tests.integration.harness.case import HookedTestCase
from tests.integration.harness.daemon import API_KEY
from tests.integration.harness.rawclient import PING, PONG, TEXT, RawClient, frame
from tests.integration.harness.tokens import fresh_user, token_for
from tests.integration.harness.waiting import until
from tests.proxy.nginx import Nginx


class ProxiedTestCase(HookedTestCase):
    """One daemon for the class; each test starts its own nginx."""

    settings = {"TRUSTED_PROXIES": "127.0.0.1", "EVENTS_CLIENT_IP": "1", "WS_PING_INTERVAL_SECONDS": "0"}

    def nginx(self, daemon=None, **more) -> Nginx:
        """An nginx in front of the daemon, for this test."""
        return self.enterContext(Nginx((daemon or self.daemon).port, **more))

    def through(self, nginx: Nginx, user: str, **more) -> RawClient:
        """A client that is let in by way of nginx."""
        return self.knock(nginx, **more).handshake(token_for(user))

    def knock(self, nginx: Nginx, **more) -> RawClient:
        """A socket that is connected to nginx."""
        client = RawClient(("127.0.0.1", nginx.port), **more)
        self._clients.append(client)
        self.addCleanup(client.socket.close)
        return client

    def assert_cut(self, client: RawClient, user: str) -> None:
        """The client sees the end without a Close, and the backend hears of it."""
        self.assertEqual(client.read_rest(), b"")
        last = self.receiver.wait_end(user)[-1]
        self.assertEqual((last["code"], last["cause"]), (1006, "client"))
        self.assertEqual(self.daemon.connections(user_id=user), [])

    def both_ways(self, client: RawClient, user: str, text: str) -> None:
        """A message reaches the backend, and a publication the client."""
        client.send_json({"say": text})
        until(
            lambda: any(
                event["message"] == {"say": text} for event in self.receiver.of(user, "message_received")
            ),
            f"the message {text!r}",
        )
        self.assertEqual(self.daemon.publish([f"user:{user}"], text), 1)
        self.assertEqual(client.read_json(), {"type": "event", "payload": text})


class UpstreamTests(ProxiedTestCase):
    """Connections between nginx and the gateway."""

    def test_a_handshake_on_a_kept_connection(self):
        """nginx sends HTTP requests and then a handshake on one connection; a refusal ends it, no more."""
        nginx, user = self.nginx(), fresh_user()
        for _ in range(3):
            client = self.knock(nginx)
            client.send(b"GET /health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            self.assertEqual(client.read_head(), 200)
            self.assertEqual(json.loads(client.read_body()), {"ok": True})
        (kept,) = nginx.upstream_ports()
        client = self.through(nginx, user)
        self.assertEqual(nginx.upstream_ports(), {kept})
        self.both_ways(client, user, "on a kept connection")
        self.knock(nginx).handshake("nonsense").read_close()
        self.both_ways(client, user, "beside a refused one")
        client.close()
        self.receiver.wait_end(user)
        until(lambda: kept not in nginx.upstream_ports(), "the end of the WebSocket's connection")

    def test_many_at_once_on_kept_connections(self):
        """More handshakes than kept connections, each with a message behind its head."""
        nginx = self.nginx()
        probes = [self.knock(nginx) for _ in range(8)]
        for probe in probes:
            probe.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n" * 2)
        for probe in probes * 2:
            self.assertEqual(probe.read_head(), 200)
            probe.read_body()
        users = [fresh_user() for _ in range(24)]
        clients = [self.knock(nginx) for _ in users]
        for client, user in zip(clients, users, strict=True):
            client.send(client.head(token_for(user)) + frame(TEXT, user.encode()))
        for client, user in zip(clients, users, strict=True):
            client.expect_open()
            (event,) = self.receiver.wait(user, 1, "message_received")
            self.assertEqual(event["raw"], user)

    def test_the_gateway_restarts(self):
        """Clients read 1012, meanwhile nginx answers 502, and then the same nginx serves them again."""
        daemon = self.start()
        nginx = self.nginx(daemon)
        client = self.through(nginx, fresh_user())
        self.knock(nginx).send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        until(lambda: len(nginx.upstream_ports()) == 2, "a kept connection")
        daemon.send_signal(15)
        self.assertEqual(client.read_close()[0], 1012)
        daemon.stop()
        away = self.knock(nginx)
        # The token stands where the error log of nginx would quote it, did it log this.
        away.send(away.head(target=f"/ws?token={token_for(fresh_user())}"))
        self.assertEqual(away.read_head(), 502)
        self.start({"WS_LISTEN": f"tcp:{daemon.port}:interface=127.0.0.1"})
        self.through(nginx, fresh_user()).ping_pong()


class IdleTests(ProxiedTestCase):
    """`proxy_read_timeout`, one second here."""

    def test_pings_keep_a_quiet_client(self):
        """Pings at shorter intervals than the time-out keep a client that says nothing else."""
        daemon = self.start({"WS_PING_INTERVAL_SECONDS": "0.3"})
        nginx, user = self.nginx(daemon, idle="1s"), fresh_user()
        client = self.through(nginx, user)
        end = time.monotonic() + 3
        while time.monotonic() < end:
            got = client.read_frame()
            self.assertEqual(got.opcode, PING)
            client.send(frame(PONG, got.payload))
        (view,) = daemon.connections(user_id=user)
        self.assertEqual(view["user_id"], user)
        self.assertEqual(client.close().code, 1000)

    def test_without_pings_the_client_is_cut(self):
        """nginx cuts who is silent; the backend hears `disconnected`; who talks stays."""
        nginx, silent, talker = self.nginx(idle="1s"), fresh_user("silent"), fresh_user("talker")
        cut, stays = self.through(nginx, silent), self.through(nginx, talker)
        cut.socket.settimeout(0.2)
        while True:
            stays.ping_pong()
            try:
                self.assertEqual(cut.receive(), b"")
                break
            except TimeoutError:
                continue
        self.assert_cut(cut, silent)
        stays.ping_pong()

    def test_a_client_that_answers_no_ping(self):
        """The gateway drops it, and nginx lets go of it, too."""
        daemon = self.start({"WS_PING_INTERVAL_SECONDS": "0.2", "WS_PING_TIMEOUT_SECONDS": "0.5"})
        nginx, user = self.nginx(daemon), fresh_user()
        client = self.through(nginx, user)
        self.assertEqual(client.read_frame().opcode, PING)
        client.read_rest()
        self.assertEqual(self.receiver.wait_end(user)[-1]["cause"], "ping_timeout")


class WorkerTests(ProxiedTestCase):
    """`nginx -s reload`, and workers that end."""

    def test_reload(self):
        """Old workers keep their WebSockets, in both directions, until the last one leaves."""
        nginx = self.nginx()
        users = [fresh_user() for _ in range(5)]
        clients = [self.through(nginx, user) for user in users]
        half = frame(TEXT, b'{"say":"half of it before"}')
        clients[0].send(half[:9])
        old, _ = nginx.reload()
        clients[0].send(half[9:])
        for client, user in zip(clients, users, strict=True):
            self.both_ways(client, user, "after the reload")
        self.assertEqual(nginx.leaving(), old)
        said = [event["message"]["say"] for event in self.receiver.of(users[0], "message_received")]
        self.assertEqual(said, ["half of it before", "after the reload"])
        user = fresh_user()
        fresh = self.through(nginx, user)
        self.both_ways(fresh, user, "by the new worker")
        for client, user in zip(clients, users, strict=True):
            self.assertEqual(client.close().code, 1000)
            events = self.receiver.wait_end(user)
            self.assertEqual([event["seq"] for event in events], list(range(len(events))))
            self.assertEqual(events[-1]["code"], 1000)
        until(lambda: not nginx.leaving(), "the end of the old worker", nginx.log)
        fresh.ping_pong()

    def test_messages_during_reloads(self):
        """Five reloads under a stream of messages and publications: none lost, none twice, all in order."""
        daemon = self.start({"WS_RATE_LIMIT_PER_SEC": "0"})
        nginx, user = self.nginx(daemon), fresh_user()
        client = self.through(nginx, user)
        for step in range(5):
            numbers = range(step * 100, step * 100 + 100)
            client.send(b"".join(frame(TEXT, b'{"n":%d}' % number) for number in numbers[:50]))
            nginx.reload()
            client.send(b"".join(frame(TEXT, b'{"n":%d}' % number) for number in numbers[50:]))
            for number in numbers:
                daemon.publish([f"user:{user}"], number)
            self.assertEqual([client.read_json()["payload"] for _ in numbers], list(numbers))
        events = self.receiver.wait(user, 500, "message_received")
        self.assertEqual([event["message"]["n"] for event in events], list(range(500)))
        client.close()

    def test_worker_shutdown_timeout(self):
        """An old worker whose time is over cuts its clients; they come back by the new one."""
        nginx, user = self.nginx(shutdown="1s"), fresh_user()
        client = self.through(nginx, user)
        nginx.reload()
        self.both_ways(client, user, "still there")
        self.assert_cut(client, user)
        self.through(nginx, fresh_user()).ping_pong()

    def test_a_crash_of_nginx(self):
        """Killed workers take their clients with them, and the gateway notices at once."""
        nginx, user = self.nginx(), fresh_user()
        client = self.through(nginx, user)
        client.ping_pong()
        nginx.kill_workers()
        self.assert_cut(client, user)
        until(nginx.workers, "new workers", nginx.log)
        self.through(nginx, fresh_user()).ping_pong()


class ClientTests(ProxiedTestCase):
    """Clients of nginx."""

    def test_the_clients_own_address(self):
        """The list, events and log lines have the client's address; what it claims itself is not believed."""
        nginx, user = self.nginx(), fresh_user()
        client = self.knock(nginx, source="127.0.0.77")
        claims = [("X-Forwarded-For", "203.0.113.9"), ("X-Forwarded-For", "127.0.0.1")]
        client.handshake(token_for(user), headers=claims)
        (view,) = self.daemon.connections(user_id=user)
        self.assertEqual(view["client_ip"], "127.0.0.77")
        client.close()
        events = self.receiver.wait_end(user)
        self.assertEqual({event["client_ip"] for event in events}, {"127.0.0.77"})
        self.daemon.wait_line("connection closed", user_id=user, client_ip="127.0.0.77")
        refused = self.knock(nginx, source="127.0.0.78")
        refused.handshake("nonsense", headers=claims).read_close()
        self.daemon.wait_line("handshake refused", client_ip="127.0.0.78")

    def test_a_guesser_and_its_neighbour(self):
        """Who brings bad tokens is refused by its own address; others behind the same proxy are not."""
        daemon = self.start({"AUTH_FAILURES_PER_MINUTE": "3"})
        nginx = self.nginx(daemon)
        for _ in range(3):
            self.knock(nginx, source="127.0.0.80").handshake("nonsense").read_close()
        guesser = self.knock(nginx, source="127.0.0.80")
        guesser.send(guesser.head(token_for(fresh_user())))
        self.assertEqual(guesser.read_head(), 429)
        self.through(nginx, fresh_user(), source="127.0.0.81").ping_pong()

    def test_a_client_that_vanishes_with_bytes_under_way(self):
        """Reset while nginx still holds bytes for it: both sides let go of it."""
        nginx, user = self.nginx(), fresh_user()
        client = self.knock(nginx, receive_buffer=4096)
        client.handshake(token_for(user))
        for _ in range(8):
            self.daemon.publish([f"user:{user}"], "x" * 900_000)
        client.reset()
        last = self.receiver.wait_end(user)[-1]
        self.assertEqual((last["code"], last["cause"]), (1006, "client"))
        until(lambda: not nginx.upstream_ports(), "nginx to close its connection to the gateway")

    def test_a_handshake_that_never_ends(self):
        """Half a head waits in nginx and costs the gateway nothing."""
        nginx = self.nginx()
        half = self.knock(nginx)
        half.send(half.head(token_for(fresh_user()))[:-2])
        self.through(nginx, fresh_user()).ping_pong()
        self.assertEqual(len(nginx.upstream_ports()), 1)

    def test_what_is_not_for_the_world(self):
        """No spelling of a path reaches the calls of the backend, right key or not."""
        nginx = self.nginx()
        for target in (
            "/internal/connections",
            "//internal/connections",
            "/ws/../internal/connections",
            "/ws/%2e%2e/internal/connections",
            "/ws%2f..%2finternal/connections",
            "/ws?/../internal/connections",
            "/health/../internal/connections",
            "/health/internal/connections",
            "/%69nternal/connections",
            "/internal%2fconnections",
            "http://gateway.test/internal/connections",
            "/ws/internal/connections",
            "/metrics",
            "/ready",
        ):
            with self.subTest(target=target):
                client = self.knock(nginx)
                client.send(f"GET {target} HTTP/1.1\r\nHost: a\r\nX-Api-Key: {API_KEY}\r\n\r\n".encode())
                self.assertIn(client.read_head(), (400, 404, 426))

    def test_tls(self):
        """A client library behind TLS, as the example has it."""
        nginx, user = self.nginx(), fresh_user()
        trust = ssl.create_default_context(cafile=nginx.certificate)
        raw = socket.create_connection(("127.0.0.1", nginx.tls_port))
        url = f"wss://localhost:{nginx.tls_port}/ws?token={token_for(user)}"
        with connect(url, sock=raw, ssl=trust, origin=f"https://localhost:{nginx.tls_port}") as client:
            client.send('{"type":"ping"}')
            self.assertEqual(client.recv(timeout=60), '{"type":"pong"}')
            self.assertTrue(client.ping(b"there?").wait(60))
            self.daemon.publish([f"user:{user}"], "x" * 100_000)
            self.assertEqual(len(json.loads(client.recv(timeout=60))["payload"]), 100_000)
        self.assertEqual(self.receiver.wait_end(user)[-1]["code"], 1000)
