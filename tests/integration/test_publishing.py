"""What a backend can do: publish, look, disconnect (contract section 6); what slow readers do to others."""

import http.client
import json
import socket
from base64 import b64encode
from urllib.parse import quote

from tests.integration.harness.canary import secret
from tests.integration.harness.case import GatewayTestCase, HookedTestCase
from tests.integration.harness.daemon import API_KEY
from tests.integration.harness.rawclient import CLOSE, TEXT
from tests.integration.harness.tokens import fresh_user, token_for
from tests.integration.harness.waiting import until

SMALL_QUEUE = {"WS_OUTBOX_QUEUE_SIZE": "10", "WS_OUTBOX_MAX_BYTES": "2MiB"}


class ApiTestCase(GatewayTestCase):
    def problem(self, answer, status, *words):
        """The answer is a problem document that says these words."""
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.headers["Content-Type"], "application/problem+json")
        document = answer.json()
        self.assertEqual(document["status"], status)
        self.assertLessEqual({"type", "title", "status", "detail"}, set(document))
        for word in words:
            self.assertIn(word, json.dumps(document))
        return document

    def post(self, path, body, **headers):
        """A call with a body that need not be JSON."""
        lines = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.daemon.request(
            "POST", path, body, {"X-Api-Key": API_KEY, "Content-Type": "application/json", **lines}
        )


class PublishTests(ApiTestCase):
    """Publications reach whom they name, once, as they were sent."""

    def test_whom_it_reaches(self):
        """The users and channels it names; each connection once; nobody else."""
        one, two = fresh_user(), fresh_user()
        room = fresh_user("room")
        first = self.open(one, f"/ws?channel={room}", claims={"channels": [room]})
        second = self.open(one)
        third = self.open(two, claims={"subjects": [f"team:{room}"]})
        publish = self.daemon.publish
        self.assertEqual(publish([f"user:{one}"], 1), 2)
        self.assertEqual(publish([f"channel:{room}"], 2), 1)
        self.assertEqual(publish([f"user:{one}", f"channel:{room}", f"team:{room}", f"user:{one}"], 3), 3)
        self.assertEqual(publish([f"user:{one}x", room, "user:", f"team:{room}".upper()], 4), 0)
        self.assertEqual(publish([f"user:{two}"], 5), 1)
        self.assertEqual(publish([f"user:{one}"], 6), 2)
        for client, payloads in ((first, [1, 2, 3, 6]), (second, [1, 3, 6]), (third, [3, 5])):
            got = [client.read_json() for _ in payloads]
            self.assertEqual(got, [{"type": "event", "payload": payload} for payload in payloads])
            client.ping_pong()  # and nothing more

    def test_everybody_and_exceptions(self):
        """`*` reaches every connection; `except` leaves out the connections that it names."""
        users = [fresh_user() for _ in range(3)]
        clients = [self.open(user) for user in users]
        ids = [self.daemon.connections(user_id=user)[0]["connection_id"] for user in users]
        connected = len(self.daemon.connections())
        self.assertEqual(self.daemon.publish(["*"], "all"), connected)
        self.assertEqual(self.daemon.publish(["*", f"user:{users[0]}"], "once"), connected)
        self.assertEqual(self.daemon.publish(["*"], "but", **{"except": [ids[1], "nobody"]}), connected - 1)
        self.assertEqual(self.daemon.publish([f"user:{users[1]}"], "no", **{"except": [ids[1]]}), 0)
        for client, words in zip(
            clients, (["all", "once", "but"], ["all", "once"], ["all", "once", "but"]), strict=True
        ):
            self.assertEqual([client.read_json()["payload"] for _ in words], words)
            client.ping_pong()

    def test_the_payload_is_what_was_sent(self):
        """Any JSON, digit for digit, of any size that the body may have; no other key."""
        user = fresh_user()
        client = self.open(user)
        for text in (
            "1.10",
            "12345678901234567890123456789012345",
            "-0.0",
            "1E40",
            "null",
            '""',
            '"\\u0000 \\ud83d\\ude00 日本 \u2028"',
            '{"a":1.10,"a":2.0,"b":[],"c":{}}',
            "[[[[]]]]",
            '"' + "x" * 300_000 + '"',
        ):
            with self.subTest(text=text[:40]):
                body = f'{{"payload" : {text} , "subjects":["user:{user}"],"unknown":{{"a":1}}}}'.encode()
                answer = self.post("/internal/publish", body)
                self.assertEqual((answer.status, answer.json()), (200, {"sent": 1}))
                got = client.read_frame()
                self.assertEqual(got.opcode, TEXT)
                self.assertEqual(got.payload, b'{"type":"event","payload":' + text.encode() + b"}")

    def test_order(self):
        """Publications arrive in the order in which they were taken, single or in batches."""
        user = fresh_user()
        client = self.open(user)
        connection = http.client.HTTPConnection("127.0.0.1", self.daemon.port, timeout=60)
        self.addCleanup(connection.close)
        for number in range(50):
            body = json.dumps({"subjects": [f"user:{user}"], "payload": number})
            connection.request(
                "POST", "/internal/publish", body, {"X-Api-Key": API_KEY, "Content-Type": "application/json"}
            )
            self.assertEqual(json.loads(connection.getresponse().read()), {"sent": 1})
        batch = [{"subjects": [f"user:{user}"], "payload": number} for number in range(50, 1050)]
        answer = self.daemon.call("POST", "/internal/publish/batch", {"publications": batch})
        self.assertEqual(answer.json(), {"sent": [1] * 1000})
        self.assertEqual([client.read_json()["payload"] for _ in range(1050)], list(range(1050)))

    def test_batch(self):
        """Counts in order; all or none, and the answer names the index."""
        one, two = fresh_user(), fresh_user()
        client = self.open(one)
        other = self.open(two)
        counted = self.daemon.metric("publish_total")
        good = [
            {"subjects": [f"user:{one}"], "payload": 1},
            {"subjects": [f"user:{one}x"], "payload": 2},
            {"subjects": [f"user:{one}", f"user:{two}"], "payload": 3},
        ]
        answer = self.daemon.call("POST", "/internal/publish/batch", {"publications": good})
        self.assertEqual(answer.json(), {"sent": [1, 0, 2]})
        self.assertEqual(self.daemon.metric("publish_total"), counted + 3)
        bad = [good[0], {"subjects": [], "payload": 1}]
        answer = self.daemon.call("POST", "/internal/publish/batch", {"publications": bad})
        self.problem(answer, 422, "publications[1]")
        for document in ({"publications": []}, {"publications": [good[0]] * 1001}, {"publications": {}}, {}):
            self.problem(self.daemon.call("POST", "/internal/publish/batch", document), 422, "publications")
        self.assertEqual([client.read_json()["payload"] for _ in range(2)], [1, 3])
        client.ping_pong()
        self.assertEqual(other.read_json()["payload"], 3)

    def test_bad_publications(self):
        """A problem document that names the field, and nothing is sent."""
        user = fresh_user()
        client = self.open(user)
        subject = f'"user:{user}"'
        for body, status, word in (
            (b"", 400, "JSON"),
            (b"{", 400, "JSON"),
            (b"\xff", 400, "JSON"),
            (b'{"subjects":[%s],"payload":NaN}', 400, "JSON"),
            (b'{"subjects":[%s],"payload":1e400}', 400, "JSON"),
            (b'{"subjects":[%s],"payload":"\\ud800"}', 400, "JSON"),
            (b"[]", 422, "object"),
            (b'{"payload":1}', 422, "subjects"),
            (b'{"subjects":[%s]}', 422, "payload"),
            (b'{"subjects":%s,"payload":1}', 422, "subjects"),
            (b'{"subjects":[],"payload":1}', 422, "subjects"),
            (b'{"subjects":[%s,5],"payload":1}', 422, "subjects"),
            (b'{"subjects":[%s,""],"payload":1}', 422, "subjects[1]"),
            (b'{"subjects":[%s,"a\\n"],"payload":1}', 422, "subjects[1]"),
            (b'{"subjects":[%s],"payload":1,"except":"x"}', 422, "except"),
            (b'{"subjects":[%s],"payload":1,"traceparent":5}', 422, "traceparent"),
        ):
            with self.subTest(body=body):
                text = body.replace(b"%s", subject.encode())
                self.problem(self.post("/internal/publish", text), status, word)
        many = {"subjects": [f"a{number}" for number in range(1001)], "payload": 1}
        self.problem(self.daemon.call("POST", "/internal/publish", many), 422, "subjects")
        client.ping_pong()

    def test_the_form_of_requests(self):
        """Content types, sizes, methods, paths, `Expect`."""
        body = json.dumps({"subjects": ["nobody"], "payload": 1}).encode()
        for kind in ("application/json", "Application/JSON; charset=utf-8"):
            self.assertEqual(self.post("/internal/publish", body, Content_Type=kind).status, 200)
        for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx"):
            self.problem(self.post("/internal/publish", body, Content_Type=kind), 415)
        big = b'{"subjects":["nobody"],"payload":"' + b"x" * (1 << 20) + b'"}'
        self.problem(self.post("/internal/publish", big), 413)
        for method, path, allowed in (
            ("GET", "/internal/publish", "POST"),
            ("PUT", "/internal/publish/batch", "POST"),
            ("POST", "/internal/connections", "GET"),
            ("DELETE", "/health", "GET"),
            ("POST", "/metrics", "GET"),
            ("BREW", "/health", "GET"),
        ):
            with self.subTest(method=method, path=path):
                answer = self.daemon.call(method, path)
                self.problem(answer, 405)
                self.assertIn(allowed, answer.headers["Allow"])
        for path in ("/internal/nothing", "/internal/publish/x", "/nothing", "/internal/users/a", "/%ff"):
            with self.subTest(path=path):
                self.problem(self.daemon.call("GET", path), 404)
        client = self.raw()
        head = f"POST /internal/publish HTTP/1.1\r\nHost: a\r\nX-Api-Key: {API_KEY}\r\n"
        head += (
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nExpect: 100-continue\r\n\r\n"
        )
        client.send(head.encode())
        self.assertEqual(client.read_head(), 100)
        client.send(body)
        self.assertEqual(client.read_head(), 200)

    def test_probes(self):
        """HEAD answers like GET; HTTP/1.0 without Host works; `/ready` and `/metrics` are what they are."""
        for path in ("/health", "/ready", "/metrics"):
            got, head = self.daemon.request("GET", path), self.daemon.request("HEAD", path)
            self.assertEqual((got.status, head.status, head.body), (200, 200, b""))
            self.assertEqual(got.headers["Content-Type"], head.headers["Content-Type"])
            client = self.raw()
            client.send(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            self.assertEqual(client.read_head(), 200)
            self.assertEqual(client.read_rest()[:10], got.body[:10])
        self.assertEqual(self.daemon.request("GET", "/health").body, b'{"ok":true}')
        ready = self.daemon.request("GET", "/ready").json()
        self.assertEqual((ready["ok"], ready["status"]), (True, "ok"))
        plain = self.daemon.request("GET", "/metrics")
        self.assertTrue(plain.headers["Content-Type"].startswith("text/plain; version=0.0.4"))
        self.assertNotIn(b"# EOF", plain.body)
        asked = self.daemon.request("GET", "/metrics", None, {"Accept": "application/openmetrics-text"})
        self.assertTrue(asked.headers["Content-Type"].startswith("application/openmetrics-text"))
        self.assertTrue(asked.body.endswith(b"# EOF\n"))


class KeyTests(ApiTestCase):
    """Who may call."""

    settings = {"GATEWAY_API_KEY": f"{secret('old')}, {secret('new')}", "METRICS_TOKEN": secret("metrics")}

    def publish(self, headers=None, extra=None):
        document = {"subjects": ["nobody"], "payload": 1, **(extra or {})}
        return self.daemon.request(
            "POST",
            "/internal/publish",
            json.dumps(document).encode(),
            {"Content-Type": "application/json", **(headers or {})},
        )

    def test_four_ways_and_two_keys(self):
        """Header, bearer, basic password, body: each with each of the keys that are in force."""
        for key in (secret("old"), secret("new")):
            basic = b64encode(f"any:{key}".encode()).decode()
            for headers, extra in (
                ({"X-Api-Key": key}, None),
                ({"Authorization": f"Bearer {key}"}, None),
                ({"authorization": f"bearer {key}"}, None),
                ({"Authorization": f"Basic {basic}"}, None),
                ({}, {"api_key": key}),
                ({"X-Api-Key": "wrong", "Authorization": "Basic eDp5"}, {"api_key": key}),
            ):
                with self.subTest(headers=list(headers), extra=extra):
                    answer = self.publish(headers, extra)
                    self.assertEqual((answer.status, answer.json()), (200, {"sent": 0}))

    def test_no_key_and_wrong_ones(self):
        """401 with what to use; no hint of what is right."""
        key = secret("old")
        for headers, extra in (
            ({}, None),
            ({"X-Api-Key": key[:-1]}, None),
            ({"X-Api-Key": key + "x"}, None),
            ({"X-Api-Key": ""}, None),
            ({"X-Api-Key": f"{key}, {secret('new')}"}, None),
            ({"Authorization": f"Basic {b64encode(key.encode()).decode()}"}, None),
            ({"Authorization": "Basic !!!"}, None),
            ({"Authorization": key}, None),
            ({}, {"api_key": "x"}),
            ({}, {"api_key": [key]}),
            ({"Cookie": f"api_key={key}"}, None),
        ):
            with self.subTest(headers=headers, extra=extra):
                answer = self.publish(headers, extra)
                self.problem(answer, 401)
                self.assertIn("WWW-Authenticate", answer.headers)
        for path in ("/internal/connections", "/internal/users/a/connections", "/internal", "/internal/x"):
            self.problem(self.daemon.request("GET", path), 401)
        self.problem(self.daemon.request("GET", f"/internal/connections?api_key={key}"), 401)
        body = json.dumps({"user_id": "x", "api_key": key}).encode()
        answer = self.daemon.request(
            "POST", "/internal/disconnect", body, {"Content-Type": "application/json"}
        )
        self.problem(answer, 401)

    def test_a_large_body_without_a_key(self):
        """It is refused when the headers end: the answer comes before the body."""
        client = self.raw()
        client.send(
            b"POST /internal/disconnect HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100000\r\n\r\n"
        )
        self.assertEqual(client.read_head(), 401)
        client = self.raw()
        client.send(
            b"POST /internal/publish HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
            b"Content-Length: 99999999999\r\n\r\n"
        )
        self.assertEqual(client.read_head(), 413)

    def test_metrics_token(self):
        """`/metrics` asks for its bearer token; an API key is none."""
        self.assertEqual(self.daemon.request("GET", "/metrics").status, 401)
        for token, status in (("x", 401), (secret("old"), 401), (secret("metrics"), 200)):
            answer = self.daemon.request("GET", "/metrics", None, {"Authorization": f"Bearer {token}"})
            self.assertEqual(answer.status, status)


class NoKeyTests(ApiTestCase):
    """Without `GATEWAY_API_KEY`."""

    settings = {"GATEWAY_API_KEY": None}

    def test_it_says_which_setting_is_missing(self):
        """403 that names it, whatever is presented; probes work."""
        for path in ("/internal/connections", "/internal", "/internal/publish"):
            self.problem(self.daemon.call("GET", path), 403, "GATEWAY_API_KEY")
        self.problem(self.post("/internal/publish", b"{}"), 403, "GATEWAY_API_KEY")
        self.assertEqual(self.daemon.request("GET", "/health").status, 200)


class IdleTests(ApiTestCase):
    """With a short `HTTP_KEEPALIVE_SECONDS`."""

    settings = {"HTTP_KEEPALIVE_SECONDS": "0.5"}

    def test_idle_connections(self):
        """A kept connection serves request after request, and ends when none comes; clients stay."""
        client = self.open()
        idle = self.raw()
        for _ in range(3):
            idle.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(idle.read_head(), 200)
            idle.read_body()
        self.assertEqual(idle.read_rest(), b"")
        client.ping_pong()
        reused = self.raw()
        reused.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        reused.read_head()
        reused.read_body()
        reused.handshake(token_for(fresh_user()))
        another = self.raw()
        another.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        another.read_head()
        another.read_body()
        self.assertEqual(another.read_rest(), b"")  # later than the other's last HTTP request
        reused.ping_pong()


class DirectoryTests(ApiTestCase):
    """Who is connected, and disconnecting."""

    def test_the_form(self):
        """Fixed fields; integers as integers; `last_seen_at` and `client_ip` too."""
        user = fresh_user()
        self.open(user, claims={"subjects": ["room:1"]})
        (view,) = self.daemon.call("GET", f"/internal/users/{user}/connections").json()["connections"]
        self.assertEqual([view], self.daemon.connections(user_id=user))
        self.assertEqual(view["user_id"], user)
        self.assertEqual(view["subjects"], [f"user:{user}", "room:1"])
        self.assertIs(type(view["connected_at"]), int)
        self.assertIs(type(view["last_seen_at"]), int)
        self.assertEqual(view["client_ip"], "127.0.0.1")
        self.assertRegex(view["connection_id"], r"^[0-9a-f-]{36}$")

    def test_filters(self):
        """By subject, by user, by both; nobody is an empty list."""
        one, two = fresh_user(), fresh_user()
        room = fresh_user("room")
        self.open(one, claims={"subjects": [room]})
        self.open(one)
        self.open(two, claims={"subjects": [room]})

        def count(**query):
            return len(self.daemon.connections(**query))

        self.assertEqual(count(subject=room), 2)
        self.assertEqual(count(user_id=one), 2)
        self.assertEqual(count(subject=room, user_id=one), 1)
        self.assertEqual(count(subject=f"user:{two}"), 1)
        self.assertEqual(count(subject="nothing"), 0)
        self.assertEqual(
            self.daemon.call("GET", "/internal/users/nobody/connections").json(), {"connections": []}
        )

    def test_user_ids_that_need_quoting(self):
        """Slashes, percent signs, characters beyond ASCII."""
        for user in ("a/b", "a%2Fb", "日本 x", "a?b#c", "a+b"):
            with self.subTest(user=user):
                client = self.open(user)
                quoted = quote(user, safe="")
                (view,) = self.daemon.call("GET", f"/internal/users/{quoted}/connections").json()[
                    "connections"
                ]
                self.assertEqual(view["user_id"], user)
                self.assertEqual(len(self.daemon.connections(user_id=quoted)), 1)
                answer = self.daemon.call("POST", f"/internal/users/{quoted}/disconnect")
                self.assertEqual(answer.json(), {"disconnected": 1})
                self.assertEqual(client.read_close()[0], 4403)

    def test_paging(self):
        """Every connection once, in pages; a cursor of nobody's is refused."""
        user = fresh_user()
        for _ in range(7):
            self.open(user)
        everybody = [view["connection_id"] for view in self.daemon.connections(user_id=user)]
        self.assertEqual(len(everybody), 7)
        paged, cursor = [], ""
        sizes = []
        while cursor is not None:
            more = f"&cursor={quote(cursor)}" if cursor else ""
            page = self.daemon.call("GET", f"/internal/connections?user_id={user}&limit=3{more}").json()
            sizes.append(len(page["connections"]))
            paged += [view["connection_id"] for view in page["connections"]]
            cursor = page["next_cursor"]
        self.assertEqual((paged, sizes[:2]), (everybody, [3, 3]))
        for query in ("limit=0", "limit=x", "limit=-1", "cursor=nonsense"):
            self.problem(self.daemon.call("GET", f"/internal/connections?{query}"), 422)

    def test_disconnecting(self):
        """By connection, by user, by a body; with a code and a reason; 404 for nobody."""
        user = fresh_user()
        clients = [self.open(user) for _ in range(3)]
        ids = [view["connection_id"] for view in self.daemon.connections(user_id=user)]
        by_id = dict(zip(ids, clients, strict=True))  # in the order in which they came

        answer = self.daemon.call("DELETE", f"/internal/connections/{ids[0]}?code=4100&reason=bye%20now")
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(by_id[ids[0]].read_close(), (4100, "bye now"))
        self.daemon.wait_line("connection closed", connection_id=ids[0])
        self.problem(self.daemon.call("DELETE", f"/internal/connections/{ids[0]}"), 404)
        self.problem(self.daemon.call("DELETE", "/internal/connections/nonsense"), 404)

        answer = self.daemon.call(
            "POST", "/internal/disconnect", {"connection_id": ids[1], "user_id": "other"}
        )
        self.assertEqual(answer.json(), {"disconnected": 0})
        answer = self.daemon.call("POST", "/internal/disconnect", {"connection_id": ids[1]})
        self.assertEqual(answer.json(), {"disconnected": 1})
        self.assertEqual(by_id[ids[1]].read_close()[0], 4403)

        answer = self.daemon.call(
            "POST", "/internal/disconnect", {"user_id": user, "code": 4999, "reason": "é" * 100}
        )
        self.assertEqual(answer.json(), {"disconnected": 1})
        self.assertEqual(by_id[ids[2]].read_close(), (4999, "é" * 61))
        until(lambda: not self.daemon.connections(user_id=user), "nobody left", self.daemon.log)
        answer = self.daemon.call("POST", f"/internal/users/{user}/disconnect")
        self.assertEqual(answer.json(), {"disconnected": 0})

    def test_bad_kicks(self):
        """Codes of others' ranges and nobody at all are refused, and nobody is disconnected."""
        user = fresh_user()
        client = self.open(user)
        (view,) = self.daemon.connections(user_id=user)
        for code in ("1000", "3999", "5000", "x", "4403.0"):
            answer = self.daemon.call("DELETE", f"/internal/connections/{view['connection_id']}?code={code}")
            self.problem(answer, 422, "code")
        for document in (
            {},
            {"user_id": user, "code": 1000},
            {"user_id": user, "code": "4403"},
            {"user_id": user, "code": True},
            {"user_id": user, "reason": 5},
            {"user_id": [user]},
            {"user_id": None},
        ):
            with self.subTest(document=document):
                self.problem(self.daemon.call("POST", "/internal/disconnect", document), 422)
        client.ping_pong()


class SlowReaderTests(ApiTestCase):
    """A client that does not read disturbs nobody; `WS_OUTBOX_DROP_STRATEGY=drop_oldest`."""

    settings = SMALL_QUEUE

    def test_drop_oldest(self):
        """The slow one loses the oldest waiting ones, counted; the fast one gets all, in order."""
        room = fresh_user("room")
        slow = self.open(claims={"subjects": [room]}, receive_buffer=8192)
        fast = self.open(claims={"subjects": [room]})
        dropped = self.daemon.metric("ws_outbox_dropped_total")
        for number in range(60):
            self.daemon.publish([room], {"n": number, "text": "x" * 100_000})
            self.assertEqual(fast.read_json()["payload"]["n"], number)
        lost = self.daemon.metric("ws_outbox_dropped_total") - dropped
        self.assertGreater(lost, 0)
        fast.ping_pong()
        got = [slow.read_json()["payload"]["n"]]
        while got[-1] != 59:
            got.append(slow.read_json()["payload"]["n"])
        self.assertEqual(len(got) + lost, 60)
        self.assertEqual(got, sorted(got))
        self.assertEqual(got[-10:], list(range(50, 60)))
        slow.ping_pong()


class DropNewestTests(ApiTestCase):
    """`WS_OUTBOX_DROP_STRATEGY=drop_newest`."""

    settings = {**SMALL_QUEUE, "WS_OUTBOX_DROP_STRATEGY": "drop_newest"}

    def test_drop_newest(self):
        """The first ones arrive without a gap, later ones are dropped and not counted as sent."""
        room = fresh_user("room")
        slow = self.open(claims={"subjects": [room]}, receive_buffer=8192)
        dropped = self.daemon.metric("ws_outbox_dropped_total")
        sent = sum(self.daemon.publish([room], {"n": n, "text": "x" * 100_000}) for n in range(60))
        self.assertEqual(sent + self.daemon.metric("ws_outbox_dropped_total") - dropped, 60)
        self.assertLess(sent, 60)
        self.assertEqual([slow.read_json()["payload"]["n"] for _ in range(sent)], list(range(sent)))
        slow.ping_pong()


class CloseSlowTests(HookedTestCase):
    """`WS_OUTBOX_DROP_STRATEGY=close`."""

    settings = {
        **SMALL_QUEUE,
        "WS_OUTBOX_DROP_STRATEGY": "close",
        "WS_CLOSE_TIMEOUT_SECONDS": "0.5",
    }

    def test_close(self):
        """4408, told as `slow_consumer`, even if it never reads; others go on."""
        user, other = fresh_user(), fresh_user()
        room = fresh_user("room")
        slow = self.open(user, claims={"subjects": [room]}, receive_buffer=8192)
        fast = self.open(other)
        for number in range(60):
            self.daemon.publish([room], {"n": number, "text": "x" * 100_000})
        event = self.receiver.wait_end(user)[-1]
        self.assertEqual((event["code"], event["cause"]), (4408, "slow_consumer"))
        fast.ping_pong()
        slow.socket.close()

    def test_a_slow_one_that_begins_to_read(self):
        """It reads the code."""
        user = fresh_user()
        slow = self.open(user, receive_buffer=8192)
        for _ in range(60):
            if not self.daemon.publish([f"user:{user}"], "x" * 100_000):
                break
        got = slow.read_frame()
        while got.opcode != CLOSE:
            got = slow.read_frame()
        self.assertEqual(got.code, 4408)
        slow.socket.shutdown(socket.SHUT_RDWR)
        self.receiver.wait_end(user)
