"""Who is let in, and where the token may stand (contract section 1)."""

import hmac
import time
from base64 import urlsafe_b64encode

from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.integration.harness.canary import guard_token
from tests.integration.harness.case import GatewayTestCase
from tests.integration.harness.keys import SHARED_SECRET, key_pair
from tests.integration.harness.tokens import fresh_user, sign, sign_bytes, token_for


class PlaceTests(GatewayTestCase):
    """Where a token is looked for."""

    def accepted(self, target="/ws", headers=(), user=None):
        client = self.raw()
        client.send(client.head(target=target, headers=headers))
        client.expect_open().ping_pong()
        self.assertEqual(len(self.daemon.connections(user_id=user)), 1)
        return client

    def refused(self, target="/ws", headers=()):
        client = self.raw()
        client.send(client.head(target=target, headers=headers))
        client.expect_open()
        self.assertEqual(client.read_close(), (4401, "unauthorized"))

    def test_header_in_the_form_of_every_client(self):
        """The scheme stands in any case, with one blank or more; a line in its own case serves as well."""
        for name, scheme in (
            ("Authorization", "Bearer "),
            ("authorization", "bearer "),
            ("AUTHORIZATION", "BEARER    "),
            ("Authorization", "bEaReR \t "),
        ):
            with self.subTest(scheme=scheme):
                user = fresh_user()
                self.accepted(headers=[(name, scheme + token_for(user))], user=user)

    def test_other_schemes_are_ignored(self):
        """A staging proxy's login does no harm, neither beside a token nor alone."""
        user = fresh_user()
        basic = ("Authorization", "Basic dXNlcjpwYXNz")
        self.accepted(headers=[basic, ("Authorization", f"Bearer {token_for(user)}")], user=user)
        user = fresh_user()
        self.accepted(f"/ws?token={token_for(user)}", [basic], user)
        self.refused(headers=[basic])

    def test_query(self):
        """`token` and `access_token`, and the first wins."""
        for name in ("token", "access_token"):
            user = fresh_user()
            self.accepted(f"/ws?a=b&{name}={token_for(user)}&c", user=user)
        user = fresh_user()
        self.accepted(f"/ws?access_token=nonsense&token={token_for(user)}", user=user)
        self.refused(f"/ws?access_token={token_for(user)}&token=nonsense")

    def test_subprotocol_pair(self):
        """Browsers send `bearer` and the token; the answer selects `bearer` and says it once."""
        user = fresh_user()
        client = self.accepted(headers=[("Sec-WebSocket-Protocol", f"bearer, {token_for(user)}")], user=user)
        self.assertEqual(client.headers["sec-websocket-protocol"], "bearer")
        user = fresh_user()
        lines = [("Sec-WebSocket-Protocol", "bearer"), ("sec-websocket-protocol", token_for(user))]
        client = self.accepted(headers=lines, user=user)
        head = bytes(client.everything).lower()
        self.assertEqual(head.count(b"sec-websocket-protocol: bearer\r\n"), 1)

    def test_the_first_place_decides(self):
        """A bad token in a header is not made good by one in the query, nor that by a subprotocol."""
        good = token_for(fresh_user())
        self.refused(f"/ws?token={good}", [("Authorization", "Bearer nonsense")])
        self.refused("/ws?token=nonsense", [("Sec-WebSocket-Protocol", f"bearer, {good}")])
        user = fresh_user()
        self.accepted("/ws?token=nonsense", [("Authorization", f"Bearer {token_for(user)}")], user)

    def test_a_cookie_is_no_credential(self):
        """A page of another site could send it."""
        token = token_for(fresh_user())
        self.refused(
            headers=[("Cookie", f"token={token}; access_token={token}; Authorization=Bearer {token}")]
        )

    def test_redirect_is_not_obeyed(self):
        """`?redirect=` is a parameter like any other: no Location, no 303."""
        user = fresh_user()
        client = self.accepted(
            f"/ws?redirect=https://evil.example/&after=1&token={token_for(user)}", user=user
        )
        self.assertNotIn("location", client.headers)
        plain = self.raw()
        plain.send(b"GET /ws?redirect=https://evil.example/ HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assert_problem(plain, 426)
        self.assertNotIn("location", plain.headers)

    def test_a_token_followed_by_a_blank(self):
        """Outer blanks are no part of a header's value; in a query they are, and no part is logged."""
        user = fresh_user()
        self.accepted(headers=[("Authorization", f"Bearer {token_for(user)}  \t")], user=user)
        self.refused(f"/ws?token={token_for(fresh_user())}%20")
        self.refused(f"/ws?token={token_for(fresh_user())}+")

    def test_a_real_client_reads_4401(self):
        """A client that waits for the answer sees an open connection and then a code."""
        for extra in ({}, {"subprotocols": ["bearer", "nonsense-nonsense"]}):
            with connect(f"ws://127.0.0.1:{self.daemon.port}/ws?token=nonsense", **extra) as client:
                with self.assertRaises(ConnectionClosed) as raised:
                    client.recv(timeout=60)
                self.assertEqual(raised.exception.rcvd.code, 4401)


class JudgementTests(GatewayTestCase):
    """What a token must say. Each refusal is 4401 and has its own word in the metrics."""

    settings = {"JWT_ALG": "RS256", "JWT_LEEWAY": "30"}

    def refused(self, token, reason):
        before = self.daemon.metric("ws_refused_total", reason=reason)
        client = self.raw()
        client.send(client.head(token))
        client.expect_open()
        self.assertEqual(client.read_close(), (4401, "unauthorized"))
        self.assertEqual(self.daemon.metric("ws_refused_total", reason=reason), before + 1, reason)

    def accepted(self, token, user_id):
        client = self.raw().handshake(token)
        client.ping_pong()
        (view,) = [view for view in self.daemon.connections() if view["user_id"] == user_id]
        self.assertEqual(view["subjects"][0], f"user:{user_id}")
        client.close()
        return view

    def test_missing_and_malformed(self):
        """Whatever is no token is refused, and nothing becomes an error of ours."""
        self.refused(None, "missing")
        good = token_for(fresh_user())
        header, payload, signature = good.split(".")
        for token in (
            "x",
            "a.b.c",
            "..",
            f"{header}.{payload}",
            f"{good}.{signature}",
            f"{header}=.{payload}.{signature}",
            f"{header}.{payload}.{signature}=",
            "\xff\xfe\x80",
            "é" * 40,
            "." * 3000,
            f"{header}!.{payload}.{signature}",
        ):
            with self.subTest(token=token[:40]):
                self.refused(token, "malformed")

    def test_header_and_payload_of_the_wrong_type(self):
        """No JSON object, a wrong type, an unknown `crit`: malformed."""
        for header in (
            ["RS256"],
            "RS256",
            5,
            {"alg": 5},
            {"alg": None},
            {"typ": "JWT"},
            {"alg": "RS256", "crit": ["exp"], "exp": 1},
            {"alg": "RS256", "crit": []},
            {"alg": "RS256", "kid": {"a": 1}},
            {"alg": "RS256", "b64": False},
        ):
            with self.subTest(header=header):
                self.refused(sign_bytes(b'{"user_id":"a"}', header), "malformed")
        for payload in (
            b"[]",
            b'"a"',
            b"null",
            b"",
            b"\xff\xfe",
            b"{",
            b'{"user_id":"a","exp":NaN}',
            b'{"user_id":"a","exp":"1"}',
            b'{"user_id":"a","exp":true}',
            b'{"user_id":"a","exp":null}',
            b'{"user_id":"a","nbf":[1]}',
            b'{"user_id":"a","iss":{}}',
            b'{"user_id":"a","aud":5}',
            b'{"user_id":"a","sub":{"a":1}}',
            b"[" * 5_000,
        ):
            with self.subTest(payload=payload[:40]):
                self.refused(sign_bytes(payload), "malformed")

    def test_algorithms(self):
        """Only those of JWT_ALG; `none` never, and never an HS algorithm with the public key as secret."""
        user = {"user_id": "a"}
        self.refused(sign(user, "HS256"), "algorithm")
        self.refused(sign(user, "ES256"), "algorithm")
        header = "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0"  # {"alg":"none","typ":"JWT"}
        payload = token_for("a").split(".")[1]
        self.refused(f"{header}.{payload}.", "algorithm")
        for spelling in ("None", "NONE", "nOnE"):
            self.refused(sign_bytes(b'{"user_id":"a"}', {"alg": spelling}), "algorithm")

    def test_signature(self):
        """Another key, another payload, a cut signature."""
        self.refused(sign({"user_id": "a"}, key=key_pair("another").private), "signature")
        header, payload, signature = token_for("a").split(".")
        forged = token_for("b").split(".")[1]
        self.refused(f"{header}.{forged}.{signature}", "signature")
        self.refused(f"{header}.{payload}.", "signature")
        other = "B" if signature[20] == "A" else "A"
        self.refused(f"{header}.{payload}.{signature[:20]}{other}{signature[21:]}", "signature")

    def test_times(self):
        """`exp` and `nbf` with leeway; `iat` is not judged; no `exp` is fine."""
        now = int(time.time())
        self.refused(token_for("a", exp=now - 3600), "expired")
        self.refused(token_for("a", exp=0), "expired")
        self.refused(token_for("a", exp=-5), "expired")
        self.refused(token_for("a", nbf=now + 3600), "not_yet_valid")
        for claims in (
            {"exp": now - 5},
            {"exp": now + 3600.5},
            {"nbf": now + 5},
            {"iat": now + 100_000},
            {"iat": "yesterday"},
            {"exp": None},
        ):
            with self.subTest(claims=claims):
                user = fresh_user()
                self.accepted(token_for(user, **claims), user)

    def test_times_in_any_year(self):
        """Far away is far away: no timer overflows, no number is too long."""
        for exp in (2**31, 2**53, 10**15, 10**30, 10**300, 1e300, 253402300800):
            with self.subTest(exp=exp):
                user = fresh_user()
                self.accepted(token_for(user, exp=exp), user)
        user = fresh_user()
        self.accepted(token_for(user, nbf=-(10**30)), user)
        self.refused(token_for("a", nbf=10**30), "not_yet_valid")
        self.refused(token_for("a", exp=-(10**300)), "expired")
        self.refused(sign_bytes(b'{"user_id":"a","exp":' + b"9" * 5000 + b"}"), "malformed")

    def test_audience_without_a_setting(self):
        """A token for somebody is not for us; the log names the setting and not the token."""
        self.refused(token_for("a", aud="shop"), "audience")
        self.assertTrue(
            [line for line in self.daemon.found("handshake refused") if "JWT_AUDIENCE" in line["event"]]
        )

    def test_user_ids(self):
        """A non-empty string, or an integer, up to 512 bytes, without control characters."""
        for value in ("1", "a b", "日本", "x" * 512, "é" * 256, "a/b?c#d%2F", '"quoted"', "\U0001f600"):
            with self.subTest(value=value):
                self.accepted(token_for(value), value)
        for value in (0, -7, 2**63, 10**30):
            with self.subTest(value=value):
                self.accepted(token_for(value), str(value))
        for value in (
            None,
            "",
            True,
            False,
            1.5,
            ["a"],
            {"a": 1},
            "x" * 513,
            "é" * 257,
            "a\nb",
            "\x00",
            "\x7f",
            "a\x85",
        ):
            with self.subTest(value=value):
                self.refused(token_for(value), "user_id")

    def test_sub_may_be_any_scalar(self):
        """Issuers put what they like there."""
        for sub in ("a", 5, 1.5, True, None):
            user = fresh_user()
            claims = b'{"user_id":"%s","sub":%s}' % (
                user.encode(),
                {"a": b'"a"', 5: b"5", 1.5: b"1.5", True: b"true", None: b"null"}[sub],
            )
            self.accepted(sign_bytes(claims), user)

    def test_wrong_subjects_refuse(self):
        """What grants rights must be what it should be."""
        for claims in ({"subjects": "a"}, {"subjects": [1]}, {"channels": {}}, {"subjects": ["a\n"]}):
            with self.subTest(claims=claims):
                self.refused(token_for("a", **claims), "subjects")


class SettingTests(GatewayTestCase):
    """Keys and claims as settings name them."""

    shared = False

    def judge(self, daemon, token):
        client = self.raw(daemon)
        client.send(client.head(token))
        client.expect_open()
        client.send_json({"type": "ping"})
        frame = client.read_frame()
        client.socket.close()
        return "open" if frame.opcode == 1 else frame.code

    def test_algorithms_and_where_keys_come_from(self):
        """RS256, ES256, EdDSA from a file, inline with real and with written line ends; HS256 by secret."""
        for algorithm in ("RS256", "ES256", "EdDSA"):
            pair = key_pair(algorithm)
            written = pair.pem.strip().replace("\n", "\\n")
            for name, value in (
                ("JWT_PUBLIC_KEY_FILE", pair.path),
                ("JWT_PUBLIC_KEY", pair.pem),
                ("JWT_PUBLIC_KEY", f"  {written}\\n \n"),
            ):
                with self.subTest(algorithm=algorithm, name=name):
                    daemon = self.start({"JWT_PUBLIC_KEY_FILE": None, "JWT_ALG": algorithm, name: value})
                    self.assertEqual(self.judge(daemon, token_for("a", algorithm)), "open")
                    self.assertEqual(self.judge(daemon, token_for("a", "HS256")), 4401)
                    wrong = sign({"user_id": "a"}, "RS256", key_pair("another").private)
                    self.assertEqual(self.judge(daemon, wrong), 4401)
                    daemon.stop()
        daemon = self.start(
            {"JWT_PUBLIC_KEY_FILE": None, "JWT_ALG": "HS256", "JWT_SECRET": f" {SHARED_SECRET}\n"}
        )
        self.assertEqual(self.judge(daemon, token_for("a", "HS256")), "open")
        self.assertEqual(self.judge(daemon, sign({"user_id": "a"}, "HS256", "x" * 40)), 4401)

    def test_claims_as_configured(self):
        """Issuer, audience, required exp, another claim for the user, another for subjects."""
        daemon = self.start(
            {
                "JWT_ISSUER": "https://issuer.example",
                "JWT_AUDIENCE": "gateway",
                "JWT_REQUIRE_EXP": "1",
                "JWT_USER_ID_CLAIM": "uid",
                "JWT_SUBJECTS_CLAIM": "rooms",
                "SUBJECT_USER_PREFIX": "u/",
            }
        )
        good = {"iss": "https://issuer.example", "aud": ["x", "gateway"], "uid": "me", "rooms": ["room:1"]}
        client = self.raw(daemon).handshake(token_for(None, **good))
        self.assertEqual(daemon.connections()[0]["subjects"], ["u/me", "room:1"])
        client.close()
        for change, reason in (
            ({"iss": "https://other.example"}, "issuer"),
            ({"iss": None}, "issuer"),
            ({"aud": "gatewa"}, "audience"),
            ({"aud": []}, "audience"),
            ({"aud": None}, "audience"),
            ({"uid": None}, "user_id"),
        ):
            with self.subTest(change=change):
                self.assertEqual(self.judge(daemon, token_for(None, **{**good, **change})), 4401)
                self.assertGreaterEqual(daemon.metric("ws_refused_total", reason=reason), 1)
        self.assertEqual(self.judge(daemon, token_for(None, **{**good, "exp": None})), 4401)

    def test_the_secret_of_a_public_key_is_no_secret(self):
        """With HS and RS both listed, a public key verifies no HS token."""
        pem = key_pair("RS256").pem
        # PyJWT refuses to sign like this, an attacker does not.
        signed = ".".join(
            urlsafe_b64encode(part).rstrip(b"=").decode() for part in (b'{"alg":"HS256"}', b'{"user_id":"a"}')
        )
        signature = urlsafe_b64encode(hmac.digest(pem.encode(), signed.encode(), "sha256")).rstrip(b"=")
        forged = f"{signed}.{signature.decode()}"
        guard_token(forged)
        daemon = self.start({"JWT_ALG": "RS256,ES256"})
        self.assertEqual(self.judge(daemon, forged), 4401)
        self.assertEqual(self.judge(daemon, token_for("a")), "open")
