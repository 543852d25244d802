"""The demo's addresses, as a client sees them."""

import hashlib
import hmac
import json
from typing import Any

import jwt
from treq.testing import StubTreq
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.demo.fakes import GatewayResource, message, web_client
from ws_gateway.backend import Calls, ReplayWindow, sign
from ws_gateway.demo.config import DemoConfig
from ws_gateway.demo.gateway import GatewayClient
from ws_gateway.demo.publisher import Publisher
from ws_gateway.demo.room import Room
from ws_gateway.demo.roster import Roster
from ws_gateway.demo.tap import demo_tree

SECRET = "webhook-secret"
BASE = "http://demo.example:8181"


class DemoTestCase(SynchronousTestCase):
    """The whole tree over a gateway that is a resource, too."""

    settings: dict[str, Any] = {}

    def setUp(self) -> None:
        config = DemoConfig(webhook_secrets=(SECRET,), **self.settings)
        self.gateway = GatewayResource()
        self.gateway_http = web_client(self.gateway)
        self.clock = Clock()
        client = GatewayClient(self.gateway_http, self.clock)
        calls = Calls(config.gateway_url, "key-1")
        self.publisher = Publisher(client.send, self.clock, lambda: 0.0, limit=2)
        self.publisher.startService()
        self.room = Room(Roster(), calls, self.publisher, lambda: 1700000001.5)
        tree = demo_tree(
            config,
            calls,
            client,
            lambda user_id: client.send(calls.connections(user_id=user_id)),
            self.room,
            ReplayWindow(),
            lambda: 1700000000.0,
        )
        self.http = StubTreq(tree)

    def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any, Any]:
        """One exchange: status, decoded body, headers."""
        asked = self.http.request(method, BASE + path, **options)
        self.http.flush()
        response = self.successResultOf(asked)
        body = self.successResultOf(response.content())
        kind = response.headers.getRawHeaders("content-type", [""])[0]
        return response.code, json.loads(body) if "json" in kind and body else body, response.headers

    def event(self, **changes: Any) -> bytes:
        document = {
            "type": "message_received",
            "connection_id": "c-1",
            "user_id": "42",
            "subjects": ["user:42"],
            "connected_at": 1700000000,
            "event_id": "e-1",
            "message": {"type": "chat", "payload": "hello world"},
            "raw": '{"type":"chat","payload":"hello world"}',
            **changes,
        }
        return json.dumps(document).encode()

    def deliver(self, body: bytes, headers: dict[str, str] | None = None) -> tuple[int, Any, Any]:
        signed = sign(body, [SECRET], event_id="e-1", now=1700000000.0) if headers is None else headers
        return self.ask("POST", "/internal/ws/events", data=body, headers=signed)

    def published(self) -> list[Any]:
        return [json.loads(body) for method, _, _, body in self.gateway.requests if method == b"POST"]


class PingTests(DemoTestCase):
    def test_ping(self) -> None:
        """The health check answers."""
        status, body, _ = self.ask("GET", "/api/ping")
        self.assertEqual((status, body), (200, {"ok": True}))
        status, body, _ = self.ask("HEAD", "/api/ping")
        self.assertEqual((status, body), (200, b""))

    def test_wrong_method(self) -> None:
        """Another method is told which ones there are."""
        status, body, headers = self.ask("DELETE", "/api/ping")
        self.assertEqual((status, body["status"]), (405, 405))
        self.assertEqual(headers.getRawHeaders("allow"), ["GET, HEAD"])
        self.assertEqual(headers.getRawHeaders("content-type"), ["application/problem+json"])

    def test_nothing_there(self) -> None:
        """Every other address is a problem document, too."""
        for path in ("/", "/api", "/nothing", "/api/ping/deeper", "/api/push-demo", "/internal/ws"):
            status, body, _ = self.ask("GET", path)
            self.assertEqual((status, body["title"]), (404, "Not Found"), path)


class WebhookTests(DemoTestCase):
    def test_taken(self) -> None:
        """A signed event is acknowledged, and what follows from it is published with the key."""
        status, body, _ = self.deliver(self.event())
        self.assertEqual((status, body), (200, {"ok": True}))
        self.gateway_http.flush()
        ((method, path, key, _),) = self.gateway.requests
        self.assertEqual((method, path, key), (b"POST", b"/internal/publish", b"key-1"))
        self.assertEqual(self.published()[0]["payload"]["text"], "hello world")

    def test_answered_before_it_is_published(self) -> None:
        """A gateway that does not answer holds up no webhook."""
        self.publisher._send_call = lambda call: Deferred()  # type: ignore[method-assign]
        self.assertEqual(self.deliver(self.event())[0], 200)
        self.assertEqual(self.published(), [])

    def test_older_signature(self) -> None:
        """The older form of signature alone is enough."""
        body = self.event()
        digest = hmac.new(SECRET.encode(), body, hashlib.sha256).hexdigest()
        self.assertEqual(self.deliver(body, {"X-Webhook-Signature": f"sha256={digest}"})[0], 200)

    def test_not_believed(self) -> None:
        """Unsigned, wrongly signed and old requests change nothing."""
        body = self.event()
        for headers in (
            {},
            {"X-Webhook-Signature": "sha256=00"},
            sign(body, ["other"], event_id="e-1", now=1700000000.0),
            sign(body, [SECRET], event_id="e-1", now=1700000000.0 - 301),
            sign(body + b" ", [SECRET], event_id="e-1", now=1700000000.0),
        ):
            status, answer, _ = self.deliver(body, headers)
            self.assertEqual((status, answer["status"]), (401, 401))
        self.assertIsNone(self.room.last)

    def test_no_event(self) -> None:
        """What was signed but is no event is refused for good."""
        for body in (b"", b"[]", b"{", b'{"type":"connected"}', self.event(user_id=7)):
            self.assertEqual(self.deliver(body)[0], 400)

    def test_future_type(self) -> None:
        """An event of a type that is not known yet is acknowledged: sending it again would not help."""
        self.assertEqual(self.deliver(self.event(type="renamed"))[0], 200)

    def test_once(self) -> None:
        """An event that comes again is acknowledged and done once."""
        for _ in range(3):
            self.assertEqual(self.deliver(self.event())[0], 200)
        self.gateway_http.flush()
        self.assertEqual(len(self.published()), 1)

    def test_full(self) -> None:
        """With too much waiting the event is sent back, and done when it comes again."""
        never: Deferred[int] = Deferred()
        self.publisher._send_call = lambda call: never  # type: ignore[method-assign]
        for number in range(3):
            self.assertEqual(self.deliver(self.event(event_id=f"e-{number}"))[0], 200)
        status, _, headers = self.deliver(self.event(event_id="late"))
        self.assertEqual((status, headers.getRawHeaders("retry-after")), (503, ["1"]))
        self.publisher._send_call = GatewayClient(self.gateway_http, self.clock).send  # type: ignore[method-assign]
        never.callback(1)
        for _ in range(3):
            self.gateway_http.flush()
        self.assertEqual(self.deliver(self.event(event_id="late"))[0], 200)
        self.gateway_http.flush()
        self.assertEqual(len(self.published()), 3)


class WithoutSecretTests(DemoTestCase):
    def test_nobody_is_believed(self) -> None:
        """Without a secret every event is refused, signed with nothing or with anything."""
        tree = demo_tree(
            DemoConfig(),
            Calls("http://gateway.example", "key-1"),
            GatewayClient(self.gateway_http, self.clock),
            lambda user_id: succeed([]),
            self.room,
            ReplayWindow(),
            lambda: 0.0,
        )
        self.http = StubTreq(tree)
        body = self.event()
        digest = hmac.new(b"", body, hashlib.sha256).hexdigest()
        for headers in ({}, {"X-Webhook-Signature": f"sha256={digest}"}):
            self.assertEqual(self.deliver(body, headers)[0], 401)


class LastMessageTests(DemoTestCase):
    def test_last(self) -> None:
        """Nothing at first, then the newest message with who sent it and when it came."""
        status, body, _ = self.ask("GET", "/api/ws/last-message")
        self.assertEqual((status, body["detail"]), (404, "no message yet"))
        self.deliver(self.event())
        status, body, headers = self.ask("GET", "/api/ws/last-message")
        self.assertEqual(status, 200)
        self.assertEqual(
            body,
            {
                "ok": True,
                "data": {
                    "connection_id": "c-1",
                    "user_id": "42",
                    "subjects": ["user:42"],
                    "connected_at": 1700000000,
                    "message": {"type": "chat", "payload": "hello world"},
                    "raw": '{"type":"chat","payload":"hello world"}',
                    "received_at": 1700000001,
                },
            },
        )
        self.assertEqual(headers.getRawHeaders("cache-control"), ["no-store"])


class PushTests(DemoTestCase):
    def push(self, path: str, **options: Any) -> tuple[int, Any]:
        asked = self.http.post(BASE + path, **options)
        self.gateway_http.flush()
        self.http.flush()
        response = self.successResultOf(asked)
        return response.code, self.successResultOf(response.json())

    def test_push(self) -> None:
        """The greeting goes to the user in the path, percent-encoded or not."""
        self.assertEqual(self.push("/api/push-demo/42"), (200, {"sent": True}))
        self.assertEqual(self.push("/api/push-demo/Zo%C3%AB%20a%2Fb"), (200, {"sent": True}))
        self.assertEqual(
            self.published(),
            [
                {"subjects": ["user:42"], "payload": {"hello": "world"}},
                {"subjects": ["user:Zo\u00eb a/b"], "payload": {"hello": "world"}},
            ],
        )

    def test_no_user(self) -> None:
        """What cannot be a user is not there."""
        for user in ("", "%00", "%ff", "x" * 508, "%C2%85"):
            self.assertEqual(self.push(f"/api/push-demo/{user}")[0], 404, user)
        self.assertEqual(self.published(), [])

    def test_gateway_trouble(self) -> None:
        """A gateway that is away or refuses is told apart, without its words."""
        self.gateway.status, self.gateway.answer = 503, b'{"title":"inner","detail":"inner"}'
        status, body = self.push("/api/push-demo/42")
        self.assertEqual((status, body["detail"]), (503, "the gateway cannot be reached"))
        self.gateway.status = 401
        status, body = self.push("/api/push-demo/42")
        self.assertEqual((status, body["detail"]), (502, "the gateway refused"))


class OnlineTests(DemoTestCase):
    def test_online(self) -> None:
        """Shows the gateway's list, filtered by user, without client addresses."""
        entry = {
            "connection_id": "c",
            "user_id": "42",
            "subjects": ["user:42"],
            "connected_at": 1,
            "last_seen_at": 2,
        }
        self.gateway.answer = json.dumps({"connections": [{**entry, "client_ip": "192.0.2.1"}]}).encode()
        asked = self.http.get(BASE + "/api/online?user_id=4%202")
        self.gateway_http.flush()
        self.http.flush()
        response = self.successResultOf(asked)
        self.assertEqual(self.successResultOf(response.json()), {"connections": [entry]})
        self.assertEqual(self.gateway.requests[0][1], b"/internal/connections?user_id=4+2")


class DemoKeyTests(DemoTestCase):
    settings = {"demo_key": "demo-key"}

    def test_key(self) -> None:
        """With a demo key configured, nobody reads or pushes without it."""
        self.room.hear(message("1", "ada", {"type": "x"}))
        for method, path in (
            ("GET", "/api/ws/last-message"),
            ("POST", "/api/push-demo/42"),
            ("GET", "/api/online"),
        ):
            for headers in ({}, {"X-Demo-Key": "demo-ke"}, {"X-Demo-Key": ""}):
                status, body, _ = self.ask(method, path, headers=headers)
                self.assertEqual((status, body["detail"]), (401, "unauthorized"))
        self.assertEqual(self.gateway.requests, [])
        self.assertEqual(self.ask("GET", "/api/ws/last-message", headers={"X-Demo-Key": "demo-key"})[0], 200)
        self.assertEqual(self.ask("GET", "/api/ping")[0], 200)


class NoDemoModeTests(DemoTestCase):
    def test_no_page(self) -> None:
        """Outside demo mode there is neither page nor token."""
        for path in ("/demo/chat", "/demo/chat.js", "/demo/token?user=ada"):
            self.assertEqual(self.ask("GET", path)[0], 404, path)


class DemoModeTests(DemoTestCase):
    settings = {"demo_mode": True, "jwt_alg": "HS256", "jwt_secret": "s" * 32}

    def test_token(self) -> None:
        """Any name gets a token for the name as the demo uses it; the answer is stored nowhere."""
        status, body, headers = self.ask("GET", "/demo/token?user=%20Zoe%CC%88%20")
        self.assertEqual((status, body["user_id"], body["expires_at"]), (200, "Zo\u00eb", 1700003600))
        claims = jwt.decode(body["token"], "s" * 32, algorithms=["HS256"], options={"verify_exp": False})
        self.assertEqual(claims["user_id"], "Zo\u00eb")
        self.assertEqual(headers.getRawHeaders("cache-control"), ["no-store"])

    def test_no_name(self) -> None:
        """Without a name that can be one there is no token."""
        for query in ("", "?user=", "?user=%00", "?user=%ff", "?user=" + "x" * 33):
            self.assertEqual(self.ask("GET", f"/demo/token{query}")[0], 400, query)

    def test_page(self) -> None:
        """The page may load its own files and connect to the gateway beside it, and do nothing else."""
        status, body, headers = self.ask("GET", "/demo/chat")
        self.assertEqual(status, 200)
        self.assertIn(b'<meta name="ws-url" content="ws://demo.example:8180/ws">', body)
        (policy,) = headers.getRawHeaders("content-security-policy")
        self.assertIn("default-src 'none'; script-src 'self'; style-src 'self'", policy)
        self.assertIn("connect-src 'self' ws://demo.example:8180/ws;", policy)
        self.assertNotIn("unsafe", policy)
        for inline in (b"<script>", b"<style", b" style=", b"onclick", b"http://", b"https://"):
            self.assertNotIn(inline, body.replace(b"xmlns='http://www.w3.org/2000/svg'", b""))

    def test_files(self) -> None:
        """Every file that the page names is there, with its type, and an unchanged one is not sent again."""
        for name, kind in (
            ("chat.css", "css"),
            ("chat.js", "javascript"),
            ("connection.js", "javascript"),
            ("frames.js", "javascript"),
        ):
            status, body, headers = self.ask("GET", f"/demo/{name}")
            self.assertEqual(status, 200)
            self.assertIn(kind, headers.getRawHeaders("content-type")[0])
            self.assertTrue(body)
            tag = headers.getRawHeaders("etag")[0]
            self.assertEqual(self.ask("GET", f"/demo/{name}", headers={"If-None-Match": tag})[0], 304)

    def test_host_of_the_visitor(self) -> None:
        """The page connects to the host that the visitor sees; a strange Host gets nowhere."""
        for host, found in (
            ("192.0.2.7:8181", "ws://192.0.2.7:8180/ws"),
            ("[2001:db8::1]:8181", "ws://[2001:db8::1]:8180/ws"),
            ("a; script-src *", None),
            ('"><b>', None),
        ):
            _, body, headers = self.ask("GET", "/demo/chat", headers={"Host": host})
            (policy,) = headers.getRawHeaders("content-security-policy")
            if found is None:
                self.assertNotIn("script-src *", policy)
                self.assertNotIn(b'"><b>', body)
            else:
                self.assertIn(f"connect-src 'self' {found};", policy)


class ChosenAddressTests(DemoTestCase):
    settings = {
        "demo_mode": True,
        "jwt_alg": "HS256",
        "jwt_secret": "s" * 32,
        "ws_urls": ("wss://gw.example/ws?a=1&b=2", "wss://other.example/ws"),
    }

    def test_page(self) -> None:
        """DEMO_WS_URL is where the page connects, whatever the host."""
        _, body, headers = self.ask("GET", "/demo/chat")
        self.assertIn(b'content="wss://gw.example/ws?a=1&amp;b=2"', body)
        self.assertIn(
            "connect-src 'self' wss://gw.example/ws?a=1&b=2;",
            headers.getRawHeaders("content-security-policy")[0],
        )

    def test_other_node(self) -> None:
        """The query chooses one of the addresses of DEMO_WS_URL by its number, and no other address."""
        for query, host in (
            ("node=1", b"gw.example"),
            ("node=2", b"other.example"),
            ("node=3", b"gw.example"),
            ("node=0", b"gw.example"),
            ("node=-1", b"gw.example"),
            ("node=wss://evil.example/", b"gw.example"),
            ("node=" + "9" * 5000, b"gw.example"),
        ):
            _, body, headers = self.ask("GET", f"/demo/chat?{query}")
            self.assertIn(b'content="wss://' + host, body, query)
            self.assertIn(f"wss://{host.decode()}", headers.getRawHeaders("content-security-policy")[0])
