"""The door of /internal."""

from base64 import b64encode

from tests.unit.web.harness import KEY, OTHER_KEY, Gateway, WebTestCase, view
from ws_gateway.web.guard import KeyRing

PUBLICATION = {"subjects": ["user:42"], "payload": 1}


def basic(user: str, password: str) -> str:
    return "Authorization: Basic " + b64encode(f"{user}:{password}".encode()).decode()


class KeyRingTests(WebTestCase):
    def test_fits(self) -> None:
        """Each key fits whole, and nothing else does."""
        ring = KeyRing(["one", "zw\u00f6lf"])
        for candidate in (b"one", "zw\u00f6lf".encode()):
            self.assertTrue(ring.fits(candidate))
        for candidate in (b"", b"on", b"one ", b"onezw", "zw\u00f6lf".encode("latin-1")):
            self.assertFalse(ring.fits(candidate))

    def test_empty(self) -> None:
        """No keys, or an empty one, open nothing."""
        self.assertFalse(KeyRing([]))
        self.assertFalse(KeyRing([""]))
        self.assertFalse(KeyRing([""]).fits(b""))

    def test_replace(self) -> None:
        """Keys that are replaced are out of force at once, and new ones in."""
        ring = KeyRing(["old", "both"])
        ring.replace(["both", "new"])
        self.assertEqual(
            [ring.fits(candidate) for candidate in (b"old", b"both", b"new")], [False, True, True]
        )
        ring.replace([])
        self.assertFalse(ring)


class HeaderTests(WebTestCase):
    def setUp(self) -> None:
        self.gateway = Gateway([view("c1")])

    def status(self, *headers: str) -> int:
        return self.gateway.ask("GET", "/internal/connections", key=None, headers=headers).status

    def test_places(self) -> None:
        """The key is taken from X-Api-Key, Bearer and the Basic password, whatever the user."""
        for line in (
            f"X-Api-Key: {KEY}",
            f"x-API-key:  {KEY}  ",
            f"Authorization: Bearer {KEY}",
            f"Authorization: bEARER   {KEY}",
            basic("any", KEY),
            basic("", KEY),
        ):
            self.assertEqual((line, self.status(line)), (line, 200))

    def test_password_with_colons(self) -> None:
        """A Basic password begins behind the first colon and may hold more of them."""
        gateway = Gateway(api_keys=["a:b:c"])
        answer = gateway.ask("GET", "/internal/connections", key=None, headers=[basic("user", "a:b:c")])
        self.assertEqual(answer.status, 200)

    def test_rotation(self) -> None:
        """While keys rotate, the old and the new one pass."""
        for key in (KEY, OTHER_KEY):
            self.assertEqual(self.status(f"X-Api-Key: {key}"), 200)

    def test_wrong(self) -> None:
        """Without a key, or with a wrong one, the answer is 401 and names the schemes."""
        for line in (
            "X-Nothing: 1",
            "X-Api-Key: ",
            "X-Api-Key: wrong",
            f"X-Api-Key: {KEY}x",
            f"X-Api-Key: {KEY},{OTHER_KEY}",
            f"Authorization: {KEY}",
            f"Authorization: Token {KEY}",
            "Authorization: Bearer",
            "Authorization: Basic !!!",
            "Authorization: Basic abcde",
            "Authorization: Basic \xff\xfe",
            "Authorization: Basic " + b64encode(KEY.encode()).decode(),
            basic(KEY, "wrong"),
        ):
            answer = self.gateway.ask("GET", "/internal/connections", key=None, headers=[line])
            self.assert_problem(answer, 401)
            self.assertIn("Bearer", answer.header("www-authenticate") or "")
            self.assertIn("Basic", answer.header("www-authenticate") or "")

    def test_one_right_is_enough(self) -> None:
        """A right key passes beside a foreign login, which a proxy may have put there."""
        self.assertEqual(self.status(basic("staging", "login"), f"X-Api-Key: {KEY}"), 200)
        self.assertEqual(self.status("X-Api-Key: old", f"Authorization: Bearer {KEY}"), 200)
        self.assertEqual(self.status(basic("staging", "login"), f"Authorization: Bearer {KEY}"), 200)

    def test_query_is_no_place(self) -> None:
        """A key in the query would stand in the logs of proxies; it opens nothing."""
        answer = self.gateway.ask("GET", f"/internal/connections?api_key={KEY}&X-Api-Key={KEY}", key=None)
        self.assert_problem(answer, 401)

    def test_whole_tree(self) -> None:
        """Everything below /internal, existing or not, and /internal itself asks for the key."""
        for method, path in [
            ("GET", "/internal"),
            ("GET", "/internal/"),
            ("GET", "/internal/nothing"),
            ("GET", "/internal/connections"),
            ("DELETE", "/internal/connections/c1"),
            ("GET", "/internal/users/42/connections"),
            ("POST", "/internal/users/42/disconnect"),
            ("GET", "/internal/users/%ff/connections"),
            ("POST", "/internal/disconnect"),
            ("GET", "/internal/publish"),
            ("GET", "/%69nternal/connections"),
        ]:
            self.assert_problem(self.gateway.ask(method, path, key=None), 401)
        self.assertEqual(self.gateway.directory.kicked, [])
        for path in ("/internal", "/internal/", "/internal/nothing"):
            self.assert_problem(self.gateway.ask("GET", path), 404)


class BodyTests(WebTestCase):
    def setUp(self) -> None:
        self.gateway = Gateway([view("c1")])

    def test_publish_calls(self) -> None:
        """The two publish calls take the key from their body; either key of a rotation passes."""
        for key in (KEY, OTHER_KEY):
            answer = self.gateway.ask("POST", "/internal/publish", {"api_key": key, **PUBLICATION}, key=None)
            self.assertEqual((answer.status, answer.document), (200, {"sent": 1}))
            batch = {"api_key": key, "publications": [PUBLICATION]}
            answer = self.gateway.ask("POST", "/internal/publish/batch", batch, key=None)
            self.assertEqual((answer.status, answer.document), (200, {"sent": [1]}))

    def test_wrong(self) -> None:
        """A wrong key, a key of another type, no key and no JSON are all 401; nothing is published."""
        for body in (
            {"api_key": "wrong", **PUBLICATION},
            {"api_key": 7, **PUBLICATION},
            {"api_key": [KEY], **PUBLICATION},
            PUBLICATION,
            b'["api_key"]',
            b"{",
            b"",
            b"\xff",
        ):
            self.assert_problem(self.gateway.ask("POST", "/internal/publish", body, key=None), 401)
        self.assertEqual(self.gateway.delivery.delivered, [])

    def test_header_or_body(self) -> None:
        """A right key in either place is enough, whatever the other one holds."""
        body = {"api_key": KEY, **PUBLICATION}
        for headers in ([basic("staging", "login")], ["X-Api-Key: wrong"]):
            answer = self.gateway.ask("POST", "/internal/publish", body, key=None, headers=headers)
            self.assertEqual(answer.status, 200)
        answer = self.gateway.ask("POST", "/internal/publish", {"api_key": "wrong", **PUBLICATION})
        self.assertEqual(answer.status, 200)

    def test_only_publish_calls(self) -> None:
        """Other calls do not look for a key in their body."""
        answer = self.gateway.ask("POST", "/internal/disconnect", {"api_key": KEY, "user_id": "42"}, key=None)
        self.assert_problem(answer, 401)
        self.assertEqual(self.gateway.directory.kicked, [])


class UnconfiguredTests(WebTestCase):
    def test_names_the_setting(self) -> None:
        """Without a configured key /internal is shut, and says what to set."""
        gateway = Gateway(api_keys=[])
        for method, path in [("GET", "/internal"), ("GET", "/internal/connections"), ("GET", "/internal/x")]:
            answer = gateway.ask(method, path)
            self.assert_problem(answer, 403)
            self.assertIn("GATEWAY_API_KEY", answer.document["detail"])
        answer = gateway.ask("POST", "/internal/publish", {"api_key": "", **PUBLICATION}, key=None)
        self.assert_problem(answer, 403)
        self.assertEqual(gateway.delivery.delivered, [])
