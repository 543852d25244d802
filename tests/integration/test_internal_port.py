"""`INTERNAL_LISTEN`: what backends and operators use, on a port of its own (contract section 6)."""

import json
import signal
import socket
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import frozen

from tests.integration.harness.case import GatewayTestCase, HookedTestCase
from tests.integration.harness.daemon import API_KEY, start_and_fail
from tests.integration.harness.rawclient import RawClient
from tests.integration.harness.receiver import Hook, Reply
from tests.integration.harness.tokens import fresh_user, token_for
from tests.integration.harness.waiting import until

LOOPBACK = "tcp:0:interface=127.0.0.1"
PUBLISH = {"subjects": ["*"], "payload": 1}


@frozen
class Answer:
    """What came to a request."""

    status: int
    body: bytes

    def json(self):
        return json.loads(self.body)


def ask(address, method, path, document=None, key=API_KEY):
    """One request.

    :param address: (host, port), or the path of a socket.
    """
    body = b"" if document is None else json.dumps(document).encode()
    lines = [f"{method} {path} HTTP/1.1", "Host: gateway.test", "Connection: close", f"X-Api-Key: {key}"]
    if document is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    with RawClient(address) as client:
        client.send("\r\n".join([*lines, "", ""]).encode() + body)
        status = client.read_head()
        return Answer(status, client.read_rest())


def internal(daemon):
    """Where the internal port is."""
    return ("127.0.0.1", daemon.wait_line("listening on", serves="internal")["port"])


def public(daemon):
    return ("127.0.0.1", daemon.port)


def reachable(address):
    """Does anybody listen there?"""
    family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as client:
        return client.connect_ex(address) == 0


class TwoPortsTests(GatewayTestCase):
    """Who finds what where."""

    settings = {"INTERNAL_LISTEN": LOOPBACK}

    def test_calls_of_the_backend(self):
        """Everything under /internal works on the internal port, with the key as ever."""
        there = internal(self.daemon)
        user = fresh_user()
        client = self.open(user)
        found = ask(there, "GET", f"/internal/connections?user_id={user}").json()["connections"]
        self.assertEqual([view["user_id"] for view in found], [user])
        sent = ask(there, "POST", "/internal/publish", {"subjects": [f"user:{user}"], "payload": [1.50]})
        self.assertEqual((sent.status, sent.json()), (200, {"sent": 1}))
        self.assertEqual(client.read_json(), {"type": "event", "payload": [1.5]})
        self.assertEqual(ask(there, "GET", "/internal/connections", key="wrong").status, 401)
        ended = ask(there, "DELETE", f"/internal/connections/{found[0]['connection_id']}")
        self.assertEqual(ended.status, 204)
        self.assertEqual(client.read_close()[0], 4403)

    def test_public_port_knows_nothing_of_them(self):
        """On the public port they are 404 like any other path, with a key and without one."""
        paths = ("/internal", "/internal/publish", "/internal/connections", "/internal/users/1/connections")
        nothing = ask(public(self.daemon), "GET", "/nothing")
        self.assertEqual(nothing.status, 404)
        for key in (API_KEY, "wrong"):
            for path in (*paths, "/metrics"):
                with self.subTest(path=path, key=key):
                    self.assertEqual(ask(public(self.daemon), "GET", path, key=key), nothing)
            answer = ask(public(self.daemon), "POST", "/internal/publish", PUBLISH, key)
            self.assertEqual(answer, nothing)

    def test_metrics(self):
        """Prometheus looks at the internal port, and sees what happens on both."""
        text = ask(internal(self.daemon), "GET", "/metrics").body.decode()
        self.assertRegex(text, r"(?m)^ws_connections \d")

    def test_ready(self):
        """The load balancer learns on the public port whether to send clients; why, only operators learn."""
        shown = ask(public(self.daemon), "GET", "/ready")
        self.assertEqual((shown.status, shown.json()), (200, {"ok": True, "status": "ok", "checks": {}}))
        checks = ask(internal(self.daemon), "GET", "/ready").json()["checks"]
        self.assertEqual({name: check["status"] for name, check in checks.items()}["websocket"], "ok")

    def test_health_on_both(self):
        """Each port tells that the process turns."""
        for address in (public(self.daemon), internal(self.daemon)):
            self.assertEqual(ask(address, "GET", "/health").json(), {"ok": True})

    def test_no_client_comes_in_by_the_internal_port(self):
        """A handshake is 404 there, as a first request and as a later one, with the best of tokens."""
        for path in ("/ws", "/ws/"):
            client = RawClient(internal(self.daemon))
            self.addCleanup(client.socket.close)
            for _ in range(2):
                client.send(client.head(token_for(fresh_user()), path))
                self.assertEqual(client.read_head(), 404)
                client.read_body()
        self.assertEqual(ask(internal(self.daemon), "GET", "/ws?token=x").status, 404)

    def test_strangers_at_the_internal_port(self):
        """Garbage, TLS and connections that end at once leave no traceback there, either."""
        for data in (b"", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"\x00\x01\r\n\r\n", b"GET / HTT"):
            with RawClient(internal(self.daemon)) as client:
                client.send(data)
                client.socket.shutdown(socket.SHUT_WR)
                client.read_rest()
        with RawClient(internal(self.daemon)) as client:
            client.send(b"GET /health")
            client.reset()
        self.assertEqual(ask(internal(self.daemon), "GET", "/health").status, 200)


class OnePortTests(GatewayTestCase):
    """Without the setting."""

    def test_one_port_serves_all(self):
        """Nothing is taken away from the one port."""
        self.assertEqual(ask(public(self.daemon), "GET", "/internal/connections").status, 200)
        self.assertEqual(ask(public(self.daemon), "GET", "/metrics").status, 200)
        self.assertIn("websocket", ask(public(self.daemon), "GET", "/ready").json()["checks"])
        self.assertEqual(len(self.daemon.found("listening on")), 1)


class StartTests(GatewayTestCase):
    """Both ports or none."""

    shared = False

    def setUp(self):
        super().setUp()
        directory = TemporaryDirectory(prefix="gateway")
        self.addCleanup(directory.cleanup)
        self.socket = f"{directory.name}/internal.sock"

    def taken(self):
        """An endpoint that somebody else has."""
        other = socket.socket()
        self.addCleanup(other.close)
        other.bind(("127.0.0.1", 0))
        other.listen()
        return f"tcp:{other.getsockname()[1]}:interface=127.0.0.1"

    def test_unix_socket(self):
        """A socket serves as well: with its mode, gone after the end, taken over from a dead process."""
        settings = {"INTERNAL_LISTEN": f"unix:{self.socket}:mode=600"}
        daemon = self.start(settings)
        daemon.wait_line("listening on", serves="internal")
        self.assertEqual(Path(self.socket).stat().st_mode & 0o777, 0o600)
        with self.open(daemon=daemon) as client:
            self.assertEqual(ask(self.socket, "POST", "/internal/publish", PUBLISH).json(), {"sent": 1})
            self.assertEqual(client.read_json()["payload"], 1)
        daemon.kill()
        self.assertTrue(Path(self.socket).exists())
        again = self.start(settings)
        again.wait_line("listening on", serves="internal")
        self.assertEqual(ask(self.socket, "GET", "/ready").status, 200)
        again.stop()
        self.assertFalse(Path(self.socket).exists())

    def test_taken_ports(self):
        """A port that is taken, whichever it is, ends the start with one sentence."""
        taken, path = self.taken(), f"unix:{self.socket}"
        for public_port, internal_port, fault in (
            (LOOPBACK, taken, f"{taken} (INTERNAL_LISTEN)"),
            (taken, path, f"{taken} (WS_LISTEN)"),
            (path, taken, f"{taken} (INTERNAL_LISTEN)"),
            (path, path, f"{path} (INTERNAL_LISTEN)"),
        ):
            with self.subTest(fault=fault):
                status, said = start_and_fail({"WS_LISTEN": public_port, "INTERNAL_LISTEN": internal_port})
                self.assertEqual(status, 1)
                lines = [json.loads(line) for line in said.splitlines()]
                errors = [line["event"] for line in lines if line["level"] in ("error", "critical")]
                self.assertEqual(errors, [f"cannot listen on {fault}: Address already in use"])
                self.assertNotIn("Traceback", said)
                self.assertNotIn("listening on", said)
                self.assertFalse(reachable(self.socket))

    def test_no_endpoint(self):
        """What is no endpoint is told before anything opens; what looks like one, when it is opened."""
        status, said = start_and_fail({"INTERNAL_LISTEN": "9000"})
        self.assertEqual(status, 1)
        self.assertIn("INTERNAL_LISTEN='9000': must be a Twisted endpoint string", said)
        status, said = start_and_fail({"INTERNAL_LISTEN": "tpc:9000"})
        self.assertEqual(status, 1)
        self.assertIn("cannot listen on tpc:9000 (INTERNAL_LISTEN): ", said)
        self.assertNotIn("Traceback", said)


class StopTests(HookedTestCase):
    """The internal port outlives clients and events."""

    shared = False

    def test_last_to_close(self):
        """While clients are seen out and events delivered, backends publish and operators look."""
        released = []

        def slow(hook: Hook) -> Reply:
            if hook.event["type"] == "disconnected":
                until(lambda: released, "the end of the test's look")
            return Reply()

        self.receiver.answer = slow
        self.addCleanup(lambda: released.append(True))
        daemon = self.start({"INTERNAL_LISTEN": LOOPBACK, "WS_CLOSE_TIMEOUT_SECONDS": "30"})
        there = internal(daemon)
        client = self.open(daemon=daemon)
        client.ping_pong()
        daemon.send_signal(signal.SIGTERM)
        until(lambda: not reachable(public(daemon)), "the public port to close")
        # The client has not answered the Close frame yet, so the sessions' stage is not over.
        self.assertEqual(ask(there, "GET", "/ready").status, 503)
        self.assertEqual(len(ask(there, "GET", "/internal/connections").json()["connections"]), 1)
        self.assertEqual(ask(there, "POST", "/internal/publish", PUBLISH).json(), {"sent": 0})
        self.assertEqual(client.read_close()[0], 1012)
        until(lambda: b"\nevent_queue_events 1" in ask(there, "GET", "/metrics").body, "the event to wait")
        self.assertTrue(daemon.running)
        self.assertEqual(ask(there, "POST", "/internal/publish", PUBLISH).json(), {"sent": 0})
        for _ in range(200):  # long enough for the stages of the clients to end
            checks = ask(there, "GET", "/ready").json()["checks"]
            self.assertEqual(checks["websocket"]["detail"], "the node stops")
        released.append(True)
        self.assertEqual(daemon.wait_exit(), -signal.SIGTERM)
        self.assertFalse(reachable(there))
        self.assertEqual(daemon.found("stopped;")[0]["undelivered"], 0)

    def test_connections_of_proxies(self):
        """A handshake on a connection that was open before gets 503; on the internal port, requests go on."""
        daemon = self.start({"INTERNAL_LISTEN": LOOPBACK, "WS_CLOSE_TIMEOUT_SECONDS": "30"})
        holder = self.open(daemon=daemon)
        reused = self.raw(daemon)
        reused.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        reused.read_head()
        reused.read_body()
        kept = RawClient(internal(daemon))
        self.addCleanup(kept.socket.close)
        daemon.send_signal(signal.SIGTERM)
        until(lambda: not reachable(public(daemon)), "the public port to close")
        reused.send(reused.head(token_for(fresh_user())))
        self.assert_problem(reused, 503)
        for _ in range(2):
            kept.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(kept.read_head(), 200)
            kept.read_body()
        holder.read_close()
        self.assertEqual(daemon.wait_exit(), -signal.SIGTERM)
