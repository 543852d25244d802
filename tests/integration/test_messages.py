"""What a client says and what the backend hears of it (contract sections 1, 2 and 5)."""

import json
import re
import time
from base64 import b64encode

from tests.integration.harness.case import GatewayTestCase, HookedTestCase
from tests.integration.harness.rawclient import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    close_payload,
    frame,
)
from tests.integration.harness.tokens import fresh_user
from tests.integration.harness.waiting import until

TRACE = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACE_2 = "00-aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa-bbbbbbbbbbbbbbbb-00"
TRACE_3 = "00-cccccccccccccccccccccccccccccccc-dddddddddddddddd-01"


class TalkTests(HookedTestCase):
    """Each row of the table client -> gateway, and the fields of the events."""

    settings = {"NODE_ID": "node-1"}

    def said(self, *texts):
        """What the backend hears when a client says these.

        :returns: the bodies of the events, as they came.
        """
        user = fresh_user()
        client = self.open(user)
        for text in texts:
            client.send_text(text)
        client.ping_pong()
        client.close()
        self.receiver.wait_end(user)
        return [
            hook
            for hook in self.receiver.hooks
            if hook.event["user_id"] == user and hook.event["type"] == "message_received"
        ]

    def test_ping_and_heartbeat(self):
        """They are answered, whatever else they hold, and are no events."""
        user = fresh_user()
        client = self.open(user)
        for text in ('{"type":"ping"}', '{"type":"ping","id":5,"payload":{}}', ' { "type" : "ping" } '):
            client.send_text(text)
            self.assertEqual(client.read_frame().payload, b'{"type":"pong"}')
        client.send_text('{"type":"heartbeat"}')
        self.assertEqual(client.read_frame().payload, b'{"type":"heartbeat_ack"}')
        client.close()
        self.assertEqual(
            [event["type"] for event in self.receiver.wait_end(user)], ["connected", "disconnected"]
        )

    def test_what_looks_like_a_ping_and_is_none(self):
        """Other types, other JSON types of `type`: events."""
        texts = ('{"type":"PING"}', '{"type":["ping"]}', '{"type":null}', '{"type":"pong"}', "{}", '"ping"')
        self.assertEqual([hook.event["raw"] for hook in self.said(*texts)], list(texts))

    def test_ws_types_are_not_interpreted(self):
        """Without `v=1` nothing unsolicited is sent and `ws.` types belong to the application."""
        (hook,) = self.said('{"type":"ws.refresh","token":"x"}')
        self.assertEqual(hook.event["message"], {"type": "ws.refresh", "token": "x"})

    def test_the_fields(self):
        """All three events, field by field."""
        user = fresh_user()
        began = int(time.time())
        client = self.open(user, claims={"subjects": ["room:1", "room:2"]})
        client.send_text('{"type":"chat","text":"hi"}')
        client.close(4001, "done here")
        connected, message, disconnected = self.receiver.wait_end(user)
        common = {
            "user_id": user,
            "subjects": [f"user:{user}", "room:1", "room:2"],
            "node_id": "node-1",
            "connection_id": connected["connection_id"],
            "connected_at": connected["connected_at"],
        }
        self.assertRegex(connected["connection_id"], r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
        self.assertIs(type(connected["connected_at"]), int)
        self.assertTrue(began <= connected["connected_at"] <= time.time())
        for event in (connected, message, disconnected):
            self.assertEqual({name: event[name] for name in common}, common)
            self.assertTrue(began * 1000 <= event["occurred_at_ms"] <= time.time() * 1000)
        own = [
            {name: value for name, value in event.items() if name not in common}
            for event in (connected, message, disconnected)
        ]
        ids = [event.pop("event_id") for event in own]
        times = [event.pop("occurred_at_ms") for event in own]
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual(times, sorted(times))
        self.assertEqual(
            own,
            [
                {"type": "connected", "seq": 0},
                {
                    "type": "message_received",
                    "seq": 1,
                    "message": {"type": "chat", "text": "hi"},
                    "raw": '{"type":"chat","text":"hi"}',
                },
                {"type": "disconnected", "seq": 2, "code": 4001, "reason": "done here", "cause": "client"},
            ],
        )

    def test_seq_has_no_gaps(self):
        """Pings, refused frames and controls in between take no number; ids sort in the order of `seq`."""
        user = fresh_user()
        client = self.open(user)
        for number in range(15):
            client.send_json({"n": number})
            client.send_json({"type": "ping"})
            client.send(frame(PING, b"x"))
        client.close()
        events = self.receiver.wait_end(user)
        self.assertEqual([event["seq"] for event in events], list(range(17)))
        self.assertEqual([event["message"]["n"] for event in events[1:-1]], list(range(15)))
        ids = [event["event_id"] for event in events]
        self.assertEqual(ids, sorted(set(ids)))

    def test_numbers_keep_their_digits(self):
        """The text is embedded as it came."""
        text = (
            '{"a":1.10,"b":12345678901234567890123456789,"c":1E2,"d":-0.0,"e":0.1e-7,"f" : [ 1.0 ] ,"a":2.50}'
        )
        (hook,) = self.said(text)
        self.assertIn(b'"message":' + text.encode(), hook.body)
        self.assertEqual(hook.event["raw"], text)

    def test_every_character(self):
        """Escapes, quotes, controls as escapes, characters beyond the first plane, U+2028."""
        texts = (
            '{"t":"\\u0000\\n\\"\\\\ \\ud83d\\ude00"}',
            '{"t":"日本語 😀 \u2028\u2029 \x7f"}',
            '{"":{"é":[]}}',
        )
        for hook, text in zip(self.said(*texts), texts, strict=True):
            self.assertEqual(hook.event["raw"], text)
            self.assertEqual(hook.event["message"], json.loads(text))
            self.assertIn(text.encode(), hook.body)

    def test_text_that_is_no_object(self):
        """It becomes the `raw` object, and `raw` repeats it exactly."""
        deep = '{"a":' * 1100 + "1" + "}" * 1100
        texts = (
            "",
            " ",
            "hello",
            "[1,2]",
            "5",
            '"text"',
            "null",
            "true",
            '{"a":NaN}',
            '{"a":Infinity}',
            '{"a":1e400}',
            '{"a":"\\ud800"}',
            '\ufeff{"type":"ping"}',
            '{"a":1}x',
            '{"a":1',
            "{'a':1}",
            '{"a":01}',
            '{"a":"\t"}',
        )
        hooks = self.said(*texts) + self.said(deep)
        for hook, text in zip(hooks, [*texts, deep], strict=True):
            with self.subTest(text=text[:30]):
                self.assertEqual(hook.event["message"], {"type": "raw", "payload": text})
                self.assertEqual(hook.event["raw"], text)

    def test_binary(self):
        """Base64, in the message and as `raw`."""
        user = fresh_user()
        client = self.open(user)
        payloads = (b"", b"\x00\xff\xfe", b'{"type":"ping"}', bytes(range(256)))
        for payload in payloads:
            client.send(frame(BINARY, payload))
        for payload, event in zip(payloads, self.receiver.wait(user, 4, "message_received"), strict=True):
            text = b64encode(payload).decode()
            self.assertEqual(event["message"], {"type": "raw", "payload": text, "encoding": "base64"})
            self.assertEqual(event["raw"], text)

    def test_fragments(self):
        """A text in pieces, cut within a character, with a ping in between, is one message."""
        user = fresh_user()
        client = self.open(user)
        text = '{"type":"chat","text":"日本"}'.encode()
        at = text.index("日".encode()) + 1
        client.send(frame(TEXT, text[:5], fin=False) + frame(CONTINUATION, text[5:at], fin=False))
        client.send(frame(PING, b"still here?"))
        pong = client.read_frame()
        self.assertEqual((pong.opcode, pong.payload), (PONG, b"still here?"))
        client.send(frame(CONTINUATION, b"", fin=False) + frame(CONTINUATION, text[at:]))
        (event,) = self.receiver.wait(user, 1, "message_received")
        self.assertEqual(event["raw"], text.decode())
        client.send(frame(TEXT, b'{"type":', fin=False) + frame(CONTINUATION, b'"ping"}'))
        self.assertEqual(client.read_json(), {"type": "pong"})

    def test_pings_and_pongs_of_the_protocol(self):
        """A ping is answered with its payload; pongs that nobody asked for are ignored."""
        client = self.open()
        for payload in (b"", b"\x00\xff", b"a" * 125):
            client.send(frame(PONG, payload) + frame(PING, payload))
            answer = client.read_frame()
            self.assertEqual((answer.opcode, answer.payload), (PONG, payload))

    def test_forwarding_of_traceparent(self):
        """The message's own, else in `meta`, else the handshake's header, else its query; valid ones only."""
        user = fresh_user()
        client = self.open(user, f"/ws?traceparent={TRACE_3}", headers=[("traceparent", TRACE_2)])
        client.send_json({"traceparent": TRACE, "meta": {"traceparent": TRACE_3}})
        client.send_json({"traceparent": "nonsense", "meta": {"traceparent": TRACE_3}})
        client.send_json({"traceparent": 5, "meta": 5})
        client.send_text("raw")
        client.close()
        events = self.receiver.wait_end(user)
        self.assertEqual(
            [event.get("traceparent") for event in events],
            [TRACE_2, TRACE, TRACE_3, TRACE_2, TRACE_2, TRACE_2],
        )
        for hook in self.receiver.hooks:
            if hook.event["user_id"] == user:
                self.assertEqual(hook.headers.get("traceparent"), hook.event["traceparent"])
        user = fresh_user()
        self.open(user, f"/ws?traceparent={TRACE_3}", headers=[("traceparent", "bad\xe9")]).close()
        self.assertEqual(self.receiver.wait_end(user)[0]["traceparent"], TRACE_3)
        user = fresh_user()
        self.open(user, "/ws?traceparent=" + TRACE.replace("4bf92f35", "00000000").upper()).close()
        self.assertNotIn("traceparent", self.receiver.wait_end(user)[0])

    def test_channels(self):
        """Granted where the token lists it or a pattern of it; the connection opens without others."""
        for target, granted in (
            ("/ws?channels=news.eu,chat,other", ["channel:news.eu", "channel:chat"]),
            ("/ws?channel=chat&channel=news.a.b&channels=,,x", ["channel:chat", "channel:news.a.b"]),
            ("/ws?channels=news,newsx,CHAT", []),
            ("/ws?channels=chat,chat&channel=chat", ["channel:chat"]),
            ("/ws?channel=ch%0Aat&channel=%00", []),
            ("/ws", []),
        ):
            with self.subTest(target=target):
                user = fresh_user()
                client = self.open(user, target, claims={"channels": ["news.*", "chat"]})
                self.assertEqual(
                    self.daemon.connections(user_id=user)[0]["subjects"], [f"user:{user}", *granted]
                )
                for subject in granted:
                    self.assertEqual(self.daemon.publish([subject], {"to": subject}, **{"except": []}), 1)
                    self.assertEqual(client.read_json()["payload"], {"to": subject})
                client.close()
        user = fresh_user()
        self.open(user, "/ws?channels=chat", claims={"channels": []}).close()
        self.assertEqual(self.receiver.wait_end(user)[0]["subjects"], [f"user:{user}"])

    def test_rate(self):
        """20 at once, then `rate_limited`: no event, no number; pings have a rate of their own."""
        user = fresh_user()
        client = self.open(user)
        client.send(b"".join(frame(TEXT, b'{"n":%d}' % number) for number in range(60)))
        client.send(b"".join(frame(TEXT, b'{"type":"ping"}') for _ in range(50)))
        refused = pongs = 0
        while pongs < 50:
            answer = client.read_json()
            pongs += answer == {"type": "pong"}
            refused += answer == {"type": "rate_limited"}
        client.close()
        events = self.receiver.wait_end(user)
        messages = [event for event in events if event["type"] == "message_received"]
        # The bucket fills up again while the burst is read.
        self.assertEqual(len(messages) + refused, 60)
        self.assertGreaterEqual(len(messages), 20)
        self.assertGreater(refused, 20)
        self.assertEqual([event["message"]["n"] for event in messages[:20]], list(range(20)))
        self.assertEqual([event["seq"] for event in events], list(range(len(events))))

    def test_many_connections_of_one_user(self):
        """Each has its own id, its own numbers, and its end touches no other."""
        user = fresh_user()
        clients = [self.open(user) for _ in range(5)]
        for client in clients:
            client.send_json({"type": "chat"})
        clients[0].close()
        clients[1].reset()
        self.receiver.wait(user, 2, "disconnected")
        for client in clients[2:]:
            client.ping_pong()
            client.close()
        self.receiver.wait(user, 5, "disconnected")
        events = self.receiver.of(user)
        ids = {event["connection_id"] for event in events}
        self.assertEqual(len(ids), 5)
        for one in ids:
            own = [event for event in events if event["connection_id"] == one]
            self.assertEqual([event["seq"] for event in own], [0, 1, 2])
            self.assertEqual(
                [event["type"] for event in own], ["connected", "message_received", "disconnected"]
            )


class EndTests(HookedTestCase):
    """How a connection ends, what the client reads and what the event says."""

    settings = {"WS_MAX_MESSAGE_BYTES": "1000", "WS_CLOSE_TIMEOUT_SECONDS": "0.5"}

    def ended(self, user):
        event = self.receiver.wait_end(user)[-1]
        return event["code"], event["reason"], event["cause"]

    def violate(self, data, code, cause="protocol_error"):
        """A client sends this and is closed with this code; others notice nothing."""
        user = fresh_user()
        client = self.open(user)
        client.send(data)
        got, reason = client.read_close()
        self.assertEqual(got, code)
        self.assertEqual(self.ended(user), (code, reason, cause))

    def test_close_codes_of_the_client(self):
        """The code is echoed; none is answered with none or 1000 and told as 1005."""
        for code, reason in (
            (1000, ""),
            (1001, "going away"),
            (3000, "é" * 61),
            (4999, "a" * 123),
            (1013, ""),
        ):
            with self.subTest(code=code):
                user = fresh_user()
                client = self.open(user)
                self.assertEqual(client.close(code, reason).code, code)
                self.assertEqual(self.ended(user), (code, reason, "client"))
        user = fresh_user()
        client = self.open(user)
        client.send(frame(CLOSE))
        self.assertIn(client.read_frame().code, (None, 1000))
        self.assertEqual(client.read_rest(), b"")
        self.assertEqual(self.ended(user), (1005, "", "client"))

    def test_cut_connections(self):
        """A connection that just ends is told as 1006, reset or not."""
        for end in (lambda client: client.socket.close(), lambda client: client.reset()):
            user = fresh_user()
            client = self.open(user)
            client.ping_pong()
            end(client)
            self.assertEqual(self.ended(user), (1006, "", "client"))

    def test_codes_that_may_not_be_sent(self):
        """They are protocol violations, and so is a Close frame of one byte."""
        for code in (0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
            with self.subTest(code=code):
                self.violate(frame(CLOSE, close_payload(code)), 1002)
        self.violate(frame(CLOSE, b"\x03"), 1002)
        self.violate(frame(CLOSE, close_payload(1000, b"\xff\xfe")), 1007)

    def test_protocol_violations(self):
        """1002, and the event says `protocol_error`."""
        for data in (
            frame(TEXT, b"{}", masked=False),
            frame(0x3, b""),
            frame(0xB, b""),
            frame(TEXT, b"{}", reserved=1),
            frame(TEXT, b"{}", reserved=4),
            frame(CONTINUATION, b"{}"),
            frame(TEXT, b"{", fin=False) + frame(TEXT, b"}"),
            frame(PING, b"a", fin=False),
            frame(PING, b"a" * 126),
            frame(CLOSE, close_payload(1000, b"a" * 124)),
        ):
            with self.subTest(data=data[:20]):
                self.violate(data, 1002)

    def test_invalid_utf8(self):
        """1007, whole or in fragments; an overlong form and a surrogate as well."""
        for payload in (
            b"\xff",
            b'{"a":"\xc3"}',
            b"\xc0\xaf",
            b"\xed\xa0\x80",
            b"\xf4\x90\x80\x80",
            b"abc\xe6",
        ):
            with self.subTest(payload=payload):
                self.violate(frame(TEXT, payload), 1007)
        self.violate(frame(TEXT, b"a\xc3", fin=False) + frame(CONTINUATION, b"("), 1007)

    def test_too_large(self):
        """1,000 bytes pass, one more closes with 1009: a frame, fragments, a binary, a mere header."""
        user = fresh_user()
        client = self.open(user)
        client.send_text("x" * 1000)
        client.send(frame(BINARY, b"x" * 1000))
        client.send(frame(TEXT, b"x" * 600, fin=False) + frame(CONTINUATION, b"x" * 400))
        self.receiver.wait(user, 3, "message_received")
        client.close()
        for data in (
            frame(TEXT, b"x" * 1001),
            frame(BINARY, b"x" * 1001),
            frame(TEXT, b"x" * 600, fin=False) + frame(CONTINUATION, b"x" * 401),
            frame(TEXT, b"x" * 70_000),
        ):
            with self.subTest(size=len(data)):
                self.violate(data, 1009, "too_large")
        user = fresh_user()
        client = self.open(user)
        client.send(b"\x81\xff" + (1 << 40).to_bytes(8, "big") + b"mask")
        got = client.read_frame()
        self.assertEqual((got.opcode, got.code), (CLOSE, 1009))
        client.read_rest()
        self.assertEqual(self.ended(user)[2], "too_large")

    def test_frames_behind_a_close(self):
        """They are ignored, whichever side closed."""
        user = fresh_user()
        client = self.open(user)
        client.send(frame(CLOSE, close_payload(1000)) + frame(TEXT, b'{"late":1}') * 3)
        self.assertEqual(client.read_frame().code, 1000)
        client.read_rest()
        self.assertEqual(
            [event["type"] for event in self.receiver.wait_end(user)], ["connected", "disconnected"]
        )
        user = fresh_user()
        client = self.open(user)
        client.send(frame(0x3) + frame(TEXT, b'{"late":1}') * 3)
        client.read_frame()
        client.send(frame(TEXT, b'{"late":2}'))
        client.send(frame(CLOSE, close_payload(1002)))
        client.read_rest()
        self.assertEqual(
            [event["type"] for event in self.receiver.wait_end(user)], ["connected", "disconnected"]
        )

    def test_a_close_that_is_never_answered(self):
        """The connection is cut after `WS_CLOSE_TIMEOUT_SECONDS`, and the event comes anyway."""
        user = fresh_user()
        client = self.open(user)
        self.assertEqual(
            self.daemon.call("POST", f"/internal/users/{user}/disconnect").json(), {"disconnected": 1}
        )
        self.assertEqual(client.read_frame().code, 4403)
        self.assertEqual(client.read_rest(), b"")
        self.assertEqual(self.ended(user), (4403, "", "kicked"))

    def test_a_close_behind_output_that_nobody_reads(self):
        """Pending output does not keep the connection."""
        user = fresh_user()
        client = self.open(user, receive_buffer=4096)
        for _ in range(30):
            self.daemon.publish([f"user:{user}"], "x" * 100_000)
        self.daemon.call("POST", f"/internal/users/{user}/disconnect")
        self.assertEqual(self.ended(user)[2], "kicked")
        client.socket.close()

    def test_a_client_that_closes_and_never_goes(self):
        """The gateway ends the connection; the client need not."""
        user = fresh_user()
        client = self.open(user)
        client.send(frame(CLOSE, close_payload(1000)))
        client.read_frame()
        self.assertEqual(client.read_rest(), b"")
        self.assertEqual(self.ended(user), (1000, "", "client"))


class ClockTests(HookedTestCase):
    """Pings, ages and tokens, with short settings."""

    settings = {
        "WS_PING_INTERVAL_SECONDS": "0.4",
        "WS_PING_TIMEOUT_SECONDS": "0.5",
        "WS_CLOSE_TIMEOUT_SECONDS": "0.3",
    }

    def test_ping_timeout(self):
        """Who answers stays, who is silent is dropped: `ping_timeout`, told as 1006."""
        user, silent = fresh_user(), fresh_user()
        client, other = self.open(user), self.open(silent)
        for _ in range(4):
            ping = client.read_frame()
            self.assertEqual(ping.opcode, PING)
            client.send(frame(PONG, ping.payload))
        event = self.receiver.wait_end(silent)[-1]
        self.assertEqual((event["code"], event["cause"]), (1006, "ping_timeout"))
        rest = other.read_rest()
        self.assertEqual(rest[:1], b"\x89")
        self.assertEqual(self.receiver.of(user, "disconnected"), [])
        client.close()

    def test_the_token_expires(self):
        """4401 `token expired`, not before its time."""
        user = fresh_user()
        expires = time.time() + 1.5
        client = self.open(user, claims={"exp": expires})
        got = client.read_frame()
        while got.opcode == PING:
            client.send(frame(PONG, got.payload))
            got = client.read_frame()
        self.assertGreaterEqual(time.time(), expires - 0.05)
        self.assertEqual((got.code, got.reason), (4401, "token expired"))
        client.send(frame(CLOSE, got.payload[:2]))
        event = self.receiver.wait_end(user)[-1]
        self.assertEqual(
            (event["code"], event["reason"], event["cause"]), (4401, "token expired", "token_expired")
        )


class SettingTests(HookedTestCase):
    """What settings change in events."""

    shared = False

    def test_maximum_age(self):
        """1012 after `WS_MAX_CONNECTION_AGE_SECONDS`."""
        daemon = self.start({"WS_MAX_CONNECTION_AGE_SECONDS": "0.5"})
        user = fresh_user()
        self.assertEqual(self.open(user, daemon=daemon).read_close()[0], 1012)
        event = self.receiver.wait_end(user)[-1]
        self.assertEqual((event["code"], event["cause"]), (1012, "server"))

    def test_closing_after_too_many(self):
        """`WS_RATE_LIMIT_CLOSE_AFTER` excess frames in a row close with 4429."""
        daemon = self.start(
            {"WS_RATE_LIMIT_PER_SEC": "0.001", "WS_RATE_LIMIT_BURST": "2", "WS_RATE_LIMIT_CLOSE_AFTER": "5"}
        )
        user = fresh_user()
        client = self.open(user, daemon=daemon)
        client.send(b"".join(frame(TEXT, b"{}") for _ in range(12)))
        answers = [client.read_json() for _ in range(5)]
        self.assertEqual(answers, [{"type": "rate_limited"}] * 5)
        self.assertEqual(client.read_close()[0], 4429)
        events = self.receiver.wait_end(user)
        self.assertEqual(
            [event["type"] for event in events], ["connected"] + ["message_received"] * 2 + ["disconnected"]
        )
        self.assertEqual((events[-1]["code"], events[-1]["cause"]), (4429, "rate_limited"))
        self.assertEqual(daemon.metric("ws_rate_limited_total"), 5)
        self.assertEqual(daemon.metric("ws_messages_total"), 2)

    def test_no_rate(self):
        """`WS_RATE_LIMIT_PER_SEC=0` takes everything, in order."""
        daemon = self.start({"WS_RATE_LIMIT_PER_SEC": "0"})
        user = fresh_user()
        client = self.open(user, daemon=daemon)
        client.send(b"".join(frame(TEXT, b'{"n":%d}' % number) for number in range(300)))
        events = self.receiver.wait(user, 300, "message_received")
        self.assertEqual([event["message"]["n"] for event in events], list(range(300)))

    def test_more_in_events(self):
        """`EVENTS_CLIENT_IP`, `JWT_FORWARD_CLAIMS`, `TRUSTED_PROXIES`."""
        daemon = self.start(
            {
                "EVENTS_CLIENT_IP": "1",
                "JWT_FORWARD_CLAIMS": "name,roles,nothing",
                "TRUSTED_PROXIES": "127.0.0.0/8",
            }
        )
        user = fresh_user()
        client = self.open(
            user,
            daemon=daemon,
            claims={"name": "Zoë", "roles": ["a", {"b": 1}], "mail": "secret"},
            headers=[("X-Forwarded-For", "6.6.6.6, 203.0.113.9"), ("X-Forwarded-For", "127.0.0.5")],
        )
        client.send_json({})
        client.close()
        for event in self.receiver.wait_end(user):
            self.assertEqual(event["client_ip"], "203.0.113.9")
            self.assertEqual(event["claims"], {"name": "Zoë", "roles": ["a", {"b": 1}]})
        user = fresh_user()
        self.open(user, daemon=daemon).close()
        event = self.receiver.wait_end(user)[0]
        self.assertEqual(event["client_ip"], "127.0.0.1")
        self.assertNotIn("claims", event)

    def test_nobody_is_trusted(self):
        """Without `TRUSTED_PROXIES` the peer's address counts, whatever a header says."""
        daemon = self.start({"EVENTS_CLIENT_IP": "1"})
        user = fresh_user()
        self.open(user, daemon=daemon, headers=[("X-Forwarded-For", "203.0.113.9")]).close()
        self.assertEqual(self.receiver.wait_end(user)[0]["client_ip"], "127.0.0.1")

    def test_types(self):
        """`EVENTS_TYPES` filters; numbers stay as they are."""
        daemon = self.start({"EVENTS_TYPES": "message_received"})
        user = fresh_user()
        client = self.open(user, daemon=daemon)
        client.send_json({"n": 1})
        client.send_json({"n": 2})
        self.assertEqual([event["seq"] for event in self.receiver.wait(user, 2)], [1, 2])
        client.close()
        daemon.wait_metric(0, "ws_connections")
        self.assertEqual({event["type"] for event in self.receiver.of(user)}, {"message_received"})

    def test_open_channels_and_many_subjects(self):
        """`WS_CHANNELS_OPEN=1` grants what is asked for, up to `WS_MAX_SUBJECTS`."""
        daemon = self.start({"WS_CHANNELS_OPEN": "1", "WS_MAX_SUBJECTS": "3"})
        user = fresh_user()
        self.open(user, "/ws?channels=a,b,c,d", daemon=daemon)
        subjects = daemon.connections(user_id=user)[0]["subjects"]
        self.assertEqual(subjects, [f"user:{user}", "channel:a", "channel:b"])

    def test_ordering_by_topic(self):
        """Field, the same in `meta`, `type`; what is no non-blank string falls through."""
        daemon = self.start({"ORDERING_STRATEGY": "topic", "ORDERING_TOPIC_FIELD": "room"})
        self.judge_keys(
            daemon,
            "topic",
            (
                ({"room": "r1", "meta": {"room": "r2"}, "type": "t"}, "r1"),
                ({"room": " ", "meta": {"room": "r2"}, "type": "t"}, "r2"),
                ({"room": 5, "meta": {"room": None}, "type": "t"}, "t"),
                ({"room": ["r"], "meta": "m"}, None),
                ("raw text", "raw"),
            ),
        )

    def test_ordering_by_subject(self):
        """`subject`, the first of `subjects`, then the user or the first subject in sorted order."""
        daemon = self.start({"ORDERING_STRATEGY": "subject"})
        user = self.judge_keys(
            daemon,
            "subject",
            (({"subject": "s1", "subjects": ["s2"]}, "s1"), ({"subject": "", "subjects": ["s2"]}, "s2")),
        )
        self.judge_keys(daemon, "subject", (({"subjects": [5]}, user), ("raw", user)), user)
        daemon = self.start({"ORDERING_STRATEGY": "subject", "ORDERING_SUBJECT_SOURCE": "subject"})
        self.judge_keys(daemon, "subject", (({}, "a:1"),), claims={"subjects": ["z:1", "a:1"]})

    def judge_keys(self, daemon, strategy, cases, user=None, claims=None):
        user = user or fresh_user()
        before = len(self.receiver.of(user, "message_received"))
        client = self.open(user, daemon=daemon, claims=claims)
        for message, _ in cases:
            client.send_text(message if isinstance(message, str) else json.dumps(message))
        events = self.receiver.wait(user, before + len(cases), "message_received")[before:]
        events.sort(key=lambda event: event["seq"])
        for event, (_, key) in zip(events, cases, strict=True):
            self.assertEqual(event.get("ordering_key"), key)
            self.assertEqual(event.get("ordering_strategy"), None if key is None else strategy)
        client.close()
        return user


class NoEventsTests(GatewayTestCase):
    """With `EVENTS_MODE=none`."""

    def test_it_works_without_a_target(self):
        """Messages are taken and counted, publishing works."""
        before = self.daemon.metric("ws_messages_total")
        user = fresh_user()
        client = self.open(user)
        client.send_json({"n": 1})
        client.ping_pong()
        self.assertEqual(self.daemon.metric("ws_messages_total"), before + 1)
        self.assertEqual(self.daemon.publish([f"user:{user}"], {}), 1)
        self.assertEqual(client.read_frame().payload, b'{"type":"event","payload":{}}')

    def test_metrics_of_connections(self):
        """Opened, ended, open now; every fixed name exists."""
        opened = self.daemon.metric("ws_connections_total")
        ended = self.daemon.metric("ws_disconnects_total")
        now = self.daemon.metric("ws_connections")
        client = self.open()
        self.assertEqual(self.daemon.metric("ws_connections"), now + 1)
        client.close()
        self.daemon.wait_metric(ended + 1, "ws_disconnects_total")
        self.assertEqual(self.daemon.metric("ws_connections_total"), opened + 1)
        text = until(lambda: self.daemon.request("GET", "/metrics").body.decode(), "metrics")
        for name in (
            "ws_connections_total",
            "ws_disconnects_total",
            "ws_messages_total",
            "ws_rate_limited_total",
            "publish_total",
            "broker_publish_total",
            "webhook_publish_total",
            "webhook_publish_failed_total",
            "ws_refused_total",
        ):
            with self.subTest(name=name):
                self.assertTrue(re.search(rf"^{name}[ {{]", text, re.MULTILINE), text)
