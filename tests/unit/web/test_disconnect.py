"""The three ways to disconnect: one connection, one user, by a body."""

from tests.unit.web.harness import Gateway, WebTestCase, view
from ws_gateway.testing.web import Kicked

BAD_MEMBERS = [
    ({"code": 1000}, "code"),
    ({"code": 3999}, "code"),
    ({"code": 5000}, "code"),
    ({"code": "4000"}, "code"),
    ({"code": 4000.5}, "code"),
    ({"code": True}, "code"),
    ({"reason": 1}, "reason"),
    ({"reason": ["x"]}, "reason"),
]


class ConnectionTests(WebTestCase):
    def setUp(self) -> None:
        self.gateway = Gateway([view("c1", "42"), view("c2", "42")])

    def test_kicked(self) -> None:
        """One connection is closed with 4403; the answer is empty and has no length."""
        answer = self.gateway.ask("DELETE", "/internal/connections/c1")
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertNotIn("content-length", answer.headers)
        self.assertNotIn("content-type", answer.headers)
        self.assertEqual(self.gateway.directory.kicked, [Kicked("c1", 4403, "")])

    def test_code_and_reason(self) -> None:
        """The call may name code and reason."""
        self.gateway.ask("DELETE", "/internal/connections/c1?code=4000&reason=bye%20bye&scope=node")
        self.assertEqual(self.gateway.directory.kicked, [Kicked("c1", 4000, "bye bye")])

    def test_unknown(self) -> None:
        """A connection that is not here is 404, a path that is none as well."""
        for path in ("c9", "", "c1/x", "c1/"):
            self.assert_problem(self.gateway.ask("DELETE", f"/internal/connections/{path}"), 404)
        self.assert_problem(self.gateway.ask("DELETE", "/internal/connections/%ff"), 400)
        self.assertEqual(self.gateway.directory.kicked, [])

    def test_bad_parameters(self) -> None:
        """Codes outside of 4000 to 4999 and unknown scopes are 422, and nobody is closed."""
        for query, field in [
            ("code=1000", "code"),
            ("code=3999", "code"),
            ("code=5000", "code"),
            ("code=x", "code"),
            ("code=4000&code=4001", "code"),
            ("reason=a&reason=b", "reason"),
            ("scope=x", "scope"),
        ]:
            self.assert_problem(self.gateway.ask("DELETE", f"/internal/connections/c1?{query}"), 422, field)
        self.assertEqual(self.gateway.directory.kicked, [])

    def test_methods(self) -> None:
        """A connection can only be deleted."""
        answer = self.gateway.ask("GET", "/internal/connections/c1")
        self.assertEqual((answer.status, answer.header("allow")), (405, "DELETE"))


class ReasonTests(WebTestCase):
    def test_cut_on_a_character(self) -> None:
        """A reason is cut at 123 bytes, never inside a character."""
        for reason, expected in [
            ("x" * 123, "x" * 123),
            ("x" * 124, "x" * 123),
            ("é" * 62, "é" * 61),
            ("x" * 121 + "€", "x" * 121),
            ("x" * 120 + "€", "x" * 120 + "€"),
            ("😀" * 31, "😀" * 30),
        ]:
            gateway = Gateway([view("c1")])
            gateway.ask("POST", "/internal/disconnect", {"connection_id": "c1", "reason": reason})
            self.assertEqual(gateway.directory.kicked[0].reason, expected)
            self.assertLessEqual(len(expected.encode()), 123)


class UserDisconnectTests(WebTestCase):
    def setUp(self) -> None:
        self.gateway = Gateway([view("c1", "4/2"), view("c2", "4/2"), view("c3", "7")])

    def test_all_of_a_user(self) -> None:
        """All connections of a user are closed, without a body or with an empty one."""
        for body in (None, b""):
            answer = self.gateway.ask("POST", "/internal/users/4%2F2/disconnect", body)
            self.assertEqual((answer.status, answer.document), (200, {"disconnected": 2}))
        self.assertEqual(self.gateway.directory.kicked[:2], [Kicked("c1", 4403, ""), Kicked("c2", 4403, "")])

    def test_empty_form(self) -> None:
        """A POST without a body passes whatever it is labelled as."""
        headers = ["Content-Type: application/x-www-form-urlencoded"]
        answer = self.gateway.ask("POST", "/internal/users/7/disconnect", b"", headers=headers)
        self.assertEqual(answer.document, {"disconnected": 1})

    def test_code_and_reason(self) -> None:
        """Code and reason come in the body; ids there do not count."""
        body = {"code": 4999, "reason": "banned", "user_id": "7"}
        self.gateway.ask("POST", "/internal/users/4%2F2/disconnect", body)
        self.assertEqual(
            self.gateway.directory.kicked, [Kicked("c1", 4999, "banned"), Kicked("c2", 4999, "banned")]
        )

    def test_nobody(self) -> None:
        """A user who is not here is no error."""
        answer = self.gateway.ask("POST", "/internal/users/nobody/disconnect")
        self.assertEqual((answer.status, answer.document), (200, {"disconnected": 0}))

    def test_bad_members(self) -> None:
        """A wrong member is 422 with its name."""
        for body, field in BAD_MEMBERS:
            answer = self.gateway.ask("POST", "/internal/users/7/disconnect", body)
            self.assert_problem(answer, 422, field)
        self.assertEqual(self.gateway.directory.kicked, [])

    def test_methods(self) -> None:
        """Only POST is known."""
        answer = self.gateway.ask("GET", "/internal/users/7/disconnect")
        self.assertEqual((answer.status, answer.header("allow")), (405, "POST"))


class DisconnectTests(WebTestCase):
    def setUp(self) -> None:
        self.gateway = Gateway([view("c1", "42"), view("c2", "42"), view("c3", "a/b")])

    def test_by_id(self) -> None:
        """User, connection or both say who is meant; an integer user id means its decimal text."""
        for body, expected in [
            ({"user_id": "42"}, ["c1", "c2"]),
            ({"user_id": 42}, ["c1", "c2"]),
            ({"user_id": "a/b"}, ["c3"]),
            ({"connection_id": "c2"}, ["c2"]),
            ({"connection_id": "c2", "user_id": "42"}, ["c2"]),
            ({"connection_id": "c2", "user_id": "7"}, []),
            ({"connection_id": "c2", "user_id": None, "code": None, "reason": None}, ["c2"]),
        ]:
            self.gateway.directory.kicked.clear()
            answer = self.gateway.ask("POST", "/internal/disconnect", body)
            self.assertEqual((answer.status, answer.document), (200, {"disconnected": len(expected)}))
            self.assertEqual([kicked.connection_id for kicked in self.gateway.directory.kicked], expected)

    def test_whole_numbers(self) -> None:
        """JSON has one kind of number: 4001.0 is the code 4001, and 42.0 the user 42."""
        body = b'{"user_id":42.0,"connection_id":"c1","code":4001.0}'
        self.assertEqual(self.gateway.ask("POST", "/internal/disconnect", body).document, {"disconnected": 1})
        self.assertEqual(self.gateway.directory.kicked, [Kicked("c1", 4001, "")])

    def test_nobody_named(self) -> None:
        """Without an id nobody is disconnected, least of all everybody."""
        for body in (b"", b"{}", {"code": 4000}, {"user_id": None}):
            self.assert_problem(self.gateway.ask("POST", "/internal/disconnect", body), 422, "user_id")
        self.assertEqual(self.gateway.directory.kicked, [])

    def test_bad_members(self) -> None:
        """A wrong member is named; what is no JSON object is 400 or 422."""
        for body, field in [
            *BAD_MEMBERS,
            ({"user_id": 1.5}, "user_id"),
            ({"user_id": 10**30}, "user_id"),
            ({"user_id": 2.0**53}, "user_id"),
            ({"user_id": True}, "user_id"),
            ({"connection_id": 7}, "connection_id"),
        ]:
            body = {"user_id": "42", **body}
            self.assert_problem(self.gateway.ask("POST", "/internal/disconnect", body), 422, field)
        self.assert_problem(self.gateway.ask("POST", "/internal/disconnect", b"{"), 400)
        self.assert_problem(self.gateway.ask("POST", "/internal/disconnect", b'{"reason":"\\ud800"}'), 400)
        self.assert_problem(self.gateway.ask("POST", "/internal/disconnect", b"[]"), 422)
        headers = ["Content-Type: text/plain"]
        answer = self.gateway.ask("POST", "/internal/disconnect", {"user_id": "42"}, headers=headers)
        self.assert_problem(answer, 415, "Content-Type")
        self.assertEqual(self.gateway.directory.kicked, [])
