"""Whatever knocks at the port: handshakes in every form, other requests, garbage (contract section 1).

Two requests on a connection while a key is awaited need a key source that keeps one waiting; a unit test of
the Entrance is the witness there.
"""

import json
import socket
import ssl
import threading
import zlib
from base64 import b64encode

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.integration.harness.case import GatewayTestCase, HookedTestCase
from tests.integration.harness.rawclient import CLOSE, TEXT, close_payload, frame
from tests.integration.harness.tokens import fresh_user, token_for
from tests.integration.harness.waiting import until

PING = json.dumps({"type": "ping"}).encode()


class HandshakeTests(GatewayTestCase):
    """Heads as the field sends them."""

    def test_frames_in_the_packet_of_the_handshake(self):
        """Every byte behind the head is kept."""
        client = self.raw()
        client.send(
            client.head(token_for(fresh_user()))
            + frame(TEXT, PING) * 3
            + frame(TEXT, b'{"type":"heartbeat"}')
        )
        client.expect_open()
        self.assertEqual([client.read_json()["type"] for _ in range(4)], ["pong"] * 3 + ["heartbeat_ack"])

    def test_byte_by_byte(self):
        """A head may come in any pieces, and so may frames."""
        client = self.raw()
        client.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in client.head(token_for(fresh_user())) + frame(TEXT, PING):
            client.send(bytes([byte]))
        client.expect_open()
        self.assertEqual(client.read_json(), {"type": "pong"})

    def test_names_lists_and_blanks(self):
        """Names without case, repeated lines as one list, tokens without case, values of any bytes."""
        token = token_for(fresh_user())
        client = self.raw()
        key = b64encode(bytes(16)).decode()
        client.send(
            (
                "GET /ws HTTP/1.1\r\n"
                "hOsT:gateway.test\r\n"
                "UPGRADE:  h2c \r\n"
                "upgrade: WebSocket\r\n"
                "connection: keep-alive\r\n"
                "Connection: , keep-alive ,\tUPGRADE,\r\n"
                f"sec-websocket-KEY: {key}  \r\n"
                "sec-websocket-version:\t13\r\n"
                "X-Name: caf\xe9\x85more\xff\r\n"
                f"authorization: Bearer {token}\r\n\r\n"
            ).encode("latin-1")
        )
        self.assertEqual(client.read_head(), 101)
        client.ping_pong()

    def test_host_and_origin_in_any_form(self):
        """Nobody judges them where no setting does."""
        for lines in (
            [("Host", "")],
            [("Host", "a b:c:d")],
            [("Host", "[::1]:99999")],
            [("Host", "a"), ("Host", "b")],
            [("Host", "a"), ("Origin", "null")],
            [("Host", "a"), ("Origin", "")],
            [("Host", "a"), ("Origin", "not a url")],
            [("Host", "a"), ("Origin", "https://x"), ("Origin", "https://y")],
            [],
        ):
            with self.subTest(lines=lines):
                client = self.raw()
                client.send(client.head(token_for(fresh_user()), headers=lines, without=["Host"]))
                client.expect_open().ping_pong()

    def test_the_next_line_character_splits_no_header(self):
        r"""`\x85` and `\x1c` end lines for `str.splitlines`, and not for HTTP."""
        user = fresh_user()
        client = self.raw()
        client.send(
            client.head(
                token_for(user),
                headers=[("X-Thing", "a\x85Authorization: Bearer nonsense"), ("Cookie", "b\x85Origin: c")],
            )
        )
        client.expect_open().ping_pong()
        self.assertEqual(len(self.daemon.connections(user_id=user)), 1)
        client = self.raw()
        client.send(client.head(token_for(user), headers=[("X-Thing", "a\x1cAuthorization: Bearer b")]))
        self.assert_problem(client, 400)

    def test_path(self):
        """`/ws/` serves like `/ws`, the absolute form is understood, others are 404, nothing redirects."""
        token = token_for(fresh_user())
        for target in (
            "/ws/",
            "/ws?",
            "/ws/?a=b",
            "http://gateway.test/ws",
            "/ws?a=%zz&b=%",
        ):
            with self.subTest(target=target):
                self.raw().handshake(token, target).ping_pong()
        for target in ("/", "/w", "/wss", "/ws/x", "/WS", "//ws", "/ws%2F"):
            with self.subTest(target=target):
                client = self.raw()
                client.send(client.head(token, target))
                self.assertEqual(client.read_head(), 404)
                self.assertNotIn("location", client.headers)

    def test_only_what_was_offered_is_answered(self):
        """No subprotocol and no extension that we do not speak, whatever is offered."""
        token = token_for(fresh_user())
        for lines in (
            [("Sec-WebSocket-Protocol", "chat, mqtt")],
            [("Sec-WebSocket-Protocol", "chat"), ("Sec-WebSocket-Protocol", "")],
            [("Sec-WebSocket-Extensions", "permessage-deflate; client_max_window_bits")],
            [("Sec-WebSocket-Extensions", 'x-webkit-deflate-frame, ;;;=, foo; bar="baz"')],
        ):
            with self.subTest(lines=lines):
                client = self.open(headers=lines)
                self.assertNotIn("sec-websocket-protocol", client.headers)
                self.assertNotIn("sec-websocket-extensions", client.headers)
                client.ping_pong()
        client = self.raw()
        client.send(client.head(token, headers=[("Sec-WebSocket-Protocol", "chat, bearer")]))
        client.expect_open().ping_pong()
        self.assertEqual(client.headers["sec-websocket-protocol"], "bearer")

    def test_a_reused_connection(self):
        """A proxy sends HTTP requests, then a handshake and frames in one packet, on one connection."""
        user = fresh_user()
        client = self.raw()
        for _ in range(3):
            client.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            self.assertEqual(client.read_head(), 200)
            self.assertEqual(json.loads(client.read_body()), {"ok": True})
        client.send(client.head(token_for(user)) + frame(TEXT, PING) * 2)
        client.expect_open()
        self.assertEqual([client.read_json()["type"] for _ in range(2)], ["pong"] * 2)
        self.assertEqual(self.daemon.publish([f"user:{user}"], 1), 1)
        self.assertEqual(client.read_json(), {"type": "event", "payload": 1})

    def test_a_pipelined_handshake(self):
        """Request, handshake and frame in one packet: the answers come in order."""
        client = self.raw()
        client.send(
            b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
            + client.head(token_for(fresh_user()))
            + frame(TEXT, PING)
        )
        self.assertEqual(client.read_head(), 200)
        client.read_body()
        client.expect_open()
        self.assertEqual(client.read_json(), {"type": "pong"})

    def test_refusals_on_a_reused_connection(self):
        """They are the same as on a new one."""
        for change, status in (({"without": ["Upgrade"]}, 426), ({"without": ["Sec-WebSocket-Key"]}, 400)):
            client = self.raw()
            client.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
            client.read_head()
            client.read_body()
            client.send(client.head(token_for(fresh_user()), **change))
            self.assert_problem(client, status)
        client = self.raw()
        client.send(b"GET /health HTTP/1.1\r\nHost: a\r\n\r\n")
        client.read_head()
        client.read_body()
        client.send(client.head("nonsense"))
        client.expect_open()
        self.assertEqual(client.read_close(), (4401, "unauthorized"))


class RefusalTests(GatewayTestCase):
    """Requests for the WebSocket's path that are no handshake, and heads that are no head."""

    def refuse(self, status, data):
        client = self.raw()
        client.send(data(client) if callable(data) else data)
        self.assert_problem(client, status)
        return client

    def test_no_upgrade(self):
        """426 says what to ask for, whatever is missing; also over HTTP/1.0."""
        token = token_for(fresh_user())
        for change in (
            {"without": ["Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version"]},
            {"without": ["Upgrade"]},
            {"without": ["Upgrade"], "headers": [("Upgrade", "h2c")]},
            {"without": ["Connection"]},
            {"without": ["Connection"], "headers": [("Connection", "close")]},
            {"without": ["Sec-WebSocket-Version"]},
            {"without": ["Sec-WebSocket-Version"], "headers": [("Sec-WebSocket-Version", "8")]},
            {"without": ["Sec-WebSocket-Version"], "headers": [("Sec-WebSocket-Version", "13, 8")]},
            {"headers": [("Sec-WebSocket-Version", "13")]},
        ):
            with self.subTest(change=change):
                client = self.refuse(426, lambda client, change=change: client.head(token, **change))
                self.assertEqual(client.headers["upgrade"], "websocket")
                self.assertEqual(client.headers["sec-websocket-version"], "13")
        self.refuse(426, lambda client: client.head(token).replace(b"HTTP/1.1", b"HTTP/1.0"))

    def test_methods(self):
        """405 says that GET is meant, to methods that HTTP knows and to others."""
        for method in (b"POST", b"HEAD", b"PUT", b"OPTIONS", b"DELETE"):
            with self.subTest(method=method):
                client = self.raw()
                client.send(client.head(token_for("a")).replace(b"GET", method, 1))
                self.assertEqual(client.read_head(), 405)
                self.assertIn("GET", client.headers["allow"])
        client = self.raw()
        client.send(client.head(token_for("a")).replace(b"GET", b"BREW", 1))
        self.assertEqual(client.read_head(), 405)
        self.assertIn("GET", client.headers["allow"])

    def test_key(self):
        """16 bytes in base64, once."""
        for lines in (
            [],
            [("Sec-WebSocket-Key", "")],
            [("Sec-WebSocket-Key", "short")],
            [("Sec-WebSocket-Key", b64encode(bytes(15)).decode())],
            [("Sec-WebSocket-Key", b64encode(bytes(17)).decode())],
            [("Sec-WebSocket-Key", "!" * 24)],
            [("Sec-WebSocket-Key", b64encode(bytes(16)).decode())] * 2,
        ):
            with self.subTest(lines=lines):
                self.refuse(
                    400,
                    lambda client, lines=lines: client.head(
                        token_for("a"), headers=lines, without=["Sec-WebSocket-Key"]
                    ),
                )

    def test_a_body(self):
        """A handshake has none; what follows it is frames."""
        for line in (("Content-Length", "5"), ("Transfer-Encoding", "chunked")):
            self.refuse(400, lambda client, line=line: client.head(token_for("a"), headers=[line]))

    def test_heads_that_are_none(self):
        """Control bytes, bare CR or LF, folded lines, blanks before a colon: 400, whatever the path."""
        for path in (b"/ws", b"/health"):
            for data in (
                b"GET %b HTTP/1.1\nHost: a\n\n",
                b"GET %b HTTP/1.1\r\nHost: a\nX: b\r\n\r\n",
                b"GET %b HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
                b"GET %b HTTP/1.1\r\nHost: a\x00b\r\n\r\n",
                b"GET %b HTTP/1.1\r\nHost: a\x07\r\n\r\n",
                b"GET %b HTTP/1.1\r\nHost : a\r\n\r\n",
                b"GET %b HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
                b"GET %b HTTP/1.1\r\nno colon\r\n\r\n",
                b"GET %b\x01 HTTP/1.1\r\nHost: a\r\n\r\n",
                b"GET %b HTTP/9.9\r\nHost: a\r\n\r\n",
                b"GET %b HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
                b"get %b HTTP/1.1\r\nHost: a\r\n\r\n",
            ):
                with self.subTest(data=data, path=path):
                    self.refuse(400, data.replace(b"%b", path))

    def test_garbage(self):
        """Bytes of other protocols get 400 or the end of the connection; the daemon goes on."""
        for data in (
            b"\x00" * 100,
            b"\xff" * 100,
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"*1\r\n$4\r\nPING\r\n",
            b"AMQP\x00\x00\x09\x01",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"\r\n\r\n\r\n\r\n",
            frame(TEXT, PING),
        ):
            with self.subTest(data=data):
                client = self.raw()
                client.send(data)
                client.socket.shutdown(socket.SHUT_WR)
                rest = client.read_rest()
                self.assertTrue(rest == b"" or rest.startswith(b"HTTP/1.1 4"), rest)
        self.assert_alive()

    def test_tls_to_the_plain_port(self):
        """A TLS client gets no handshake, and nobody a traceback."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with socket.create_connection(("127.0.0.1", self.daemon.port)) as plain, self.assertRaises(OSError):
            context.wrap_socket(plain)
        self.assert_alive()

    def test_a_head_just_small_enough(self):
        """16 KiB are a head, a byte more is not."""
        client = self.raw()
        head = client.head(token_for(fresh_user()))
        filler = 16 * 1024 - len(head) - len("X: \r\n")
        client.send(head[:-2] + b"X: " + b"a" * filler + b"\r\n\r\n")
        client.expect_open().ping_pong()
        self.refuse(
            431, lambda client: client.head(token_for("a"))[:-2].ljust(16 * 1024 - 3, b"X") + b": a\r\n\r\n"
        )

    def test_a_head_of_26_megabytes(self):
        """It ends at 16 KiB, costs no memory, and other clients notice nothing."""
        other = self.open()
        before = self.daemon.resident_bytes()
        refused = self.daemon.metric("ws_refused_total", reason="bad_request")
        client = self.raw()
        piece = (b"X-Filler: " + b"a" * 1000 + b"\r\n") * 26
        answer = []
        reader = threading.Thread(target=lambda: answer.append(client.read_rest()))
        reader.start()
        try:
            client.send(b"GET /ws HTTP/1.1\r\nHost: a\r\n")
            for _ in range(1000):
                client.send(piece)
        except OSError:
            pass  # it hangs up, as it should
        reader.join()
        self.assertTrue(answer[0].startswith(b"HTTP/1.1 431 "), answer[0][:200])
        other.ping_pong()
        self.assertEqual(self.daemon.metric("ws_refused_total", reason="bad_request"), refused + 1)
        self.assertLess(self.daemon.resident_bytes() - before, 8 * 1024 * 1024)

    def test_connections_that_go_away(self):
        """Opened and closed, reset, half a head, half-closed: no traceback, no descriptor left."""
        self.assert_alive()
        self.daemon.wait_metric(0, "ws_connections")
        before = self.daemon.descriptors()
        for number in range(60):
            client = self.raw()
            if number % 6 == 1:
                client.reset()
            elif number % 6 == 2:
                client.send(b"GET /ws HTTP/1.1\r\nHo")
            elif number % 6 == 3:
                client.send(b"GET /ws HTTP/1.1\r\nHo")
                client.reset()
            elif number % 6 == 4:
                client.send(client.head("nonsense"))
                client.reset()
            elif number % 6 == 5:
                client.send(client.head(token_for(fresh_user())))
                client.reset()
            client.socket.close()
        until(lambda: self.daemon.descriptors() <= before, "all descriptors given back", self.daemon.log)
        self.daemon.wait_metric(0, "ws_connections")
        self.assert_alive()

    def test_a_half_closed_connection(self):
        """A client that sends its handshake and closes its half is answered or let go, never kept."""
        client = self.raw()
        client.send(client.head(token_for(fresh_user())) + frame(TEXT, PING))
        client.socket.shutdown(socket.SHUT_WR)
        client.read_rest()
        self.daemon.wait_metric(0, "ws_connections")


class PatienceTests(GatewayTestCase):
    """With a short `WS_HANDSHAKE_TIMEOUT_SECONDS`."""

    settings = {"WS_HANDSHAKE_TIMEOUT_SECONDS": "0.6", "WS_CLOSE_TIMEOUT_SECONDS": "0.3"}

    def test_a_head_that_is_never_finished(self):
        """408 and the end; the clock runs from accept and no byte winds it up again."""
        client = self.raw()
        answer = []
        reader = threading.Thread(target=lambda: answer.append(client.read_rest()))
        reader.start()
        client.send(b"GET /ws HTTP/1.1\r\n")
        waiting = threading.Event()
        while reader.is_alive():
            try:
                client.send(b"X: y\r\n")
            except OSError:
                break
            waiting.wait(0.1)
        reader.join()
        self.assertTrue(answer[0].startswith(b"HTTP/1.1 408 "), answer)
        self.assertGreaterEqual(self.daemon.metric("ws_refused_total", reason="timeout"), 1)

    def test_nothing_at_all(self):
        """Who says nothing gets nothing."""
        self.assertEqual(self.raw().read_rest(), b"")

    def test_a_refused_client_that_does_not_go(self):
        """It is cut, and its descriptor given back."""
        before = self.daemon.descriptors()
        client = self.raw()
        client.send(client.head("nonsense"))
        client.expect_open()
        client.read_frame()
        until(lambda: self.daemon.descriptors() <= before, "its descriptor given back", self.daemon.log)

    def test_a_client_that_is_in_stays(self):
        """The deadline is for the handshake alone."""
        client = self.open()
        self.assertEqual(self.raw().read_rest(), b"")  # which takes as long as the deadline
        client.ping_pong()


class OriginTests(GatewayTestCase):
    """With `WS_ALLOWED_ORIGINS`."""

    settings = {"WS_ALLOWED_ORIGINS": "https://app.example.com, https://*.example.org,http://localhost:3000"}

    def judge(self, origin, host="gateway.test"):
        client = self.raw()
        lines = [("Host", host), *([("Origin", origin)] if origin is not None else [])]
        client.send(client.head(token_for(fresh_user()), headers=lines, without=["Host"]))
        status = client.read_head()
        if status == 101:
            client.ping_pong()
        return status

    def test_origins(self):
        """Exact ones, patterns, none at all and our own host pass; others get 403 without an upgrade."""
        before = self.daemon.metric("ws_refused_total", reason="origin")
        for origin in (
            None,
            "https://app.example.com",
            "https://a.example.org",
            "https://a.b.example.org",
            "http://localhost:3000",
            "https://gateway.test",
            "http://gateway.test",
        ):
            with self.subTest(origin=origin):
                self.assertEqual(self.judge(origin), 101)
        refused = (
            "null",
            "",
            "https://app.example.com.evil.example",
            "https://evil.example/https://app.example.com",
            "http://app.example.com",
            "https://app.example.com:8443",
            "https://example.org",
            "https://evilexample.org",
            "http://localhost:3001",
            "https://gateway.test.evil.example",
            "file://",
        )
        for origin in refused:
            with self.subTest(origin=origin):
                self.assertEqual(self.judge(origin), 403)
        self.assertEqual(self.daemon.metric("ws_refused_total", reason="origin"), before + len(refused))
        self.assertEqual(self.judge("https://gateway.test:8443", "gateway.test:8443"), 101)


class FullTests(GatewayTestCase):
    """With room for three, two of one user."""

    settings = {"WS_MAX_CONNECTIONS": "3", "WS_MAX_CONNECTIONS_PER_USER": "2"}

    def test_full(self):
        """The user's third gets 4429, the node's fourth 503, and who leaves makes room."""
        user = fresh_user()
        first, second = self.open(user), self.open(user)
        third = self.raw()
        third.send(third.head(token_for(user)))
        third.expect_open()
        self.assertEqual(third.read_close()[0], 4429)
        self.assertEqual(self.daemon.metric("ws_refused_total", reason="user_full"), 1)
        url = f"ws://127.0.0.1:{self.daemon.port}/ws?token={token_for(user)}"
        with connect(url) as real, self.assertRaises(ConnectionClosed) as raised:
            real.recv(timeout=60)
        self.assertEqual(raised.exception.rcvd.code, 4429)

        other = self.open()
        self.assertEqual(self.daemon.request("GET", "/ready").status, 503)
        late = self.raw()
        late.send(late.head(token_for(fresh_user())))
        self.assert_problem(late, 503)
        self.assertTrue(late.headers["retry-after"].isdigit())
        self.assertEqual(self.daemon.metric("ws_refused_total", reason="full"), 1)
        self.assertEqual(self.daemon.request("GET", "/health").status, 200)
        first.ping_pong()

        second.close()
        other.close()
        self.daemon.wait_metric(1, "ws_connections")
        self.open(user).ping_pong()
        self.assertEqual(self.daemon.request("GET", "/ready").status, 200)


class NoEventTests(HookedTestCase):
    """Who is not let in is no event."""

    def test_no_event(self):
        """Refusals, probes and scans tell the backend nothing."""
        for send in (
            lambda client: client.head("nonsense"),
            lambda client: client.head(token_for("x"), without=["Upgrade"]),
            lambda client: client.head(token_for("x"), without=["Sec-WebSocket-Key"]),
            lambda client: client.head(token_for("x")).replace(b"GET", b"PUT", 1),
            lambda client: b"\x16\x03\x01",
            lambda client: b"GET /ws HTTP/1.1\r\n" + b"a" * 20_000,
        ):
            client = self.raw()
            client.send(send(client))
            client.socket.shutdown(socket.SHUT_WR)
            client.read_rest()
        user = fresh_user()
        self.open(user).close()
        self.receiver.wait_end(user)
        self.assertEqual({hook.event["user_id"] for hook in self.receiver.hooks}, {user})


class CompressionTests(HookedTestCase):
    """With `WS_COMPRESSION=1`."""

    settings = {
        "WS_COMPRESSION": "1",
        "WS_MAX_MESSAGE_BYTES": "10000",
        # Nothing here may wait for it: each Close is answered, also behind what cannot be inflated.
        "WS_CLOSE_TIMEOUT_SECONDS": "600",
    }

    def test_a_real_client(self):
        """permessage-deflate is negotiated without server context takeover, and both ways work."""
        user = fresh_user()
        url = f"ws://127.0.0.1:{self.daemon.port}/ws?token={token_for(user)}"
        with connect(url) as client:
            extensions = client.response.headers["Sec-WebSocket-Extensions"]
            self.assertIn("permessage-deflate", extensions)
            self.assertIn("server_no_context_takeover", extensions)
            for number in range(5):
                client.send(json.dumps({"type": "chat", "n": number, "text": "same words " * 200}))
            events = self.receiver.wait(user, 5, "message_received")
            self.assertEqual([event["message"]["n"] for event in events], list(range(5)))
            for number in range(3):
                payload = {"n": number, "text": "words that compress " * 100}
                self.assertEqual(self.daemon.publish([f"user:{user}"], payload), 1)
                self.assertEqual(json.loads(client.recv(timeout=60)), {"type": "event", "payload": payload})
            client.send('{"type":"ping"}')
            self.assertEqual(json.loads(client.recv(timeout=60)), {"type": "pong"})

    def test_publications_are_compressed(self):
        """Fewer bytes go out than the payload has, and each frame stands alone."""
        user = fresh_user()
        client = self.open(user, headers=[("Sec-WebSocket-Extensions", "permessage-deflate")])
        for _ in range(2):
            self.daemon.publish([f"user:{user}"], "words that compress " * 100)
            got = client.read_frame()
            self.assertEqual((got.opcode, got.reserved), (TEXT, 4))
            self.assertLess(len(got.payload), 500)
            text = zlib.decompressobj(-15).decompress(got.payload + b"\x00\x00\xff\xff")
            self.assertEqual(json.loads(text)["payload"], "words that compress " * 100)

    def test_the_limit_counts_after_inflating(self):
        """A bomb of a few kilobytes closes with 1009, and memory does not grow with what it holds."""
        before = self.daemon.resident_bytes()
        user = fresh_user()
        client = self.open(user, headers=[("Sec-WebSocket-Extensions", "permessage-deflate")])
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = packer.compress(b" " * 9_000_000) + packer.flush(zlib.Z_SYNC_FLUSH)
        self.assertLess(len(bomb), 10_000)
        client.send(frame(TEXT, bomb[:-4], reserved=4))
        self.assertEqual(client.read_close()[0], 1009)
        self.assertEqual(self.receiver.wait_end(user)[-1]["cause"], "too_large")
        self.assertLess(self.daemon.resident_bytes() - before, 8 * 1024 * 1024)

    def test_who_does_not_offer_it_goes_without(self):
        """Then a frame with the bit is a violation."""
        client = self.open()
        self.assertNotIn("sec-websocket-extensions", client.headers)
        client.ping_pong()
        client.send(frame(TEXT, b"a", reserved=4))
        self.assertEqual(client.read_close()[0], 1002)

    def test_broken_deflate(self):
        """Bytes that cannot be inflated close the connection, and only this one."""
        other = self.open()
        client = self.open(headers=[("Sec-WebSocket-Extensions", "permessage-deflate")])
        client.send(frame(TEXT, b"\xff\xff\xff\xff\xff", reserved=4))
        self.assertIn(client.read_close()[0], (1002, 1007))
        other.ping_pong()
        other.send(frame(CLOSE, close_payload(1000)))
