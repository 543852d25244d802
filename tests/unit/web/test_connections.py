"""GET /internal/connections, its pages, and GET /internal/users/{user_id}/connections."""

from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure

from tests.unit.web.harness import Gateway, WebTestCase, read_answers, view


class ConnectionsTests(WebTestCase):
    def setUp(self) -> None:
        self.views = [view("c1", "42", "channel:news"), view("c2", "7", "channel:news"), view("c3", "42")]
        self.gateway = Gateway(self.views)

    def ids(self, path: str) -> list[str]:
        answer = self.gateway.ask("GET", path)
        self.assertEqual(answer.status, 200, answer.body)
        return [connection["connection_id"] for connection in answer.document["connections"]]

    def test_document(self) -> None:
        """A connection is shown with integers as integers; without paging there is no other member."""
        answer = Gateway(self.views[:1]).ask("GET", "/internal/connections")
        expected = {
            "connection_id": "c1",
            "user_id": "42",
            "subjects": ["user:42", "channel:news"],
            "connected_at": 1_700_000_000,
            "last_seen_at": 1_700_000_060,
            "client_ip": "192.0.2.7",
        }
        self.assertEqual(answer.document, {"connections": [expected]})
        self.assertEqual(answer.header("content-type"), "application/json")

    def test_nobody(self) -> None:
        """Nobody there is an empty list."""
        self.assertEqual(Gateway().ask("GET", "/internal/connections").document, {"connections": []})

    def test_filters(self) -> None:
        """Both filters apply; an empty one is none."""
        for query, expected in [
            ("", ["c1", "c2", "c3"]),
            ("?subject=&user_id=", ["c1", "c2", "c3"]),
            ("?user_id=42", ["c1", "c3"]),
            ("?subject=channel:news", ["c1", "c2"]),
            ("?subject=channel%3Anews&user_id=42", ["c1"]),
            ("?user_id=nobody", []),
            ("?unknown=1&unknown=2", ["c1", "c2", "c3"]),
        ]:
            self.assertEqual((query, self.ids("/internal/connections" + query)), (query, expected))

    def test_pages(self) -> None:
        """With limit and cursor the list comes in pages, until next_cursor is null."""
        seen, cursor, pages = [], None, 0
        while True:
            query = "?limit=2" + (f"&cursor={cursor}" if cursor else "")
            document = self.gateway.ask("GET", "/internal/connections" + query).document
            seen += [connection["connection_id"] for connection in document["connections"]]
            cursor, pages = document["next_cursor"], pages + 1
            if cursor is None:
                break
        self.assertEqual((seen, pages), (["c1", "c2", "c3"], 2))

    def test_cursor_alone(self) -> None:
        """A cursor without a limit goes on with a page of the largest size."""
        document = self.gateway.ask("GET", "/internal/connections?cursor=1").document
        self.assertEqual([c["connection_id"] for c in document["connections"]], ["c2", "c3"])
        self.assertIsNone(document["next_cursor"])

    def test_bad_paging(self) -> None:
        """A limit that is none, a foreign cursor, a doubled filter: 422 with the parameter's name."""
        for query, field in [
            ("limit=0", "limit"),
            ("limit=-1", "limit"),
            ("limit=1001", "limit"),
            ("limit=1.5", "limit"),
            ("limit=%2B1", "limit"),
            ("limit=1_0", "limit"),
            ("limit=%D9%A3", "limit"),
            ("limit=" + "9" * 5000, "limit"),
            ("cursor=nonsense", "cursor"),
            ("user_id=1&user_id=2", "user_id"),
        ]:
            self.assert_problem(self.gateway.ask("GET", f"/internal/connections?{query}"), 422, field)

    def test_bad_query(self) -> None:
        """A query that is no UTF-8, or has endless parameters, is 400."""
        for query in ("user_id=%ff", "user_id=\x81", "&".join(f"a{n}=1" for n in range(200))):
            self.assert_problem(self.gateway.ask("GET", f"/internal/connections?{query}"), 400)

    def test_filter_with_semicolon(self) -> None:
        """Only & separates parameters."""
        gateway = Gateway([view("c1", "a;b")])
        document = gateway.ask("GET", "/internal/connections?user_id=a;b").document
        self.assertEqual(len(document["connections"]), 1)

    def test_head(self) -> None:
        """HEAD has the length and no body."""
        whole = self.gateway.ask("GET", "/internal/connections")
        answer = self.gateway.ask("HEAD", "/internal/connections")
        self.assertEqual(answer.body, b"")
        self.assertEqual(answer.header("content-length"), str(len(whole.body)))

    def test_methods(self) -> None:
        """Only GET and HEAD are known."""
        answer = self.gateway.ask("POST", "/internal/connections")
        self.assertEqual((answer.status, answer.header("allow")), (405, "GET, HEAD"))


class LongListTests(WebTestCase):
    def setUp(self) -> None:
        self.gateway = Gateway([view(f"c{number}") for number in range(1_201)])

    def test_in_slices(self) -> None:
        """A long list is put together over several turns of the reactor and comes whole."""
        _, transport = self.gateway.begin("GET", "/internal/connections")
        self.assertEqual(transport.value(), b"")
        self.gateway.clock.advance(0)
        (answer,) = read_answers(transport.value())
        ids = [connection["connection_id"] for connection in answer.document["connections"]]
        self.assertEqual(ids, [f"c{number}" for number in range(1_201)])

    def test_largest_page(self) -> None:
        """A page is never longer than 1,000, asked or not."""
        for query in ("cursor=0", "limit=1000"):
            document = self.gateway.ask("GET", f"/internal/connections?{query}").document
            self.assertEqual((len(document["connections"]), document["next_cursor"]), (1000, "1000"))

    def test_client_gone(self) -> None:
        """A client that leaves in between ends the work."""
        channel, transport = self.gateway.begin("GET", "/internal/connections")
        channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.gateway.clock.getDelayedCalls(), [])
        self.assertEqual(transport.value(), b"")
        self.assertEqual(self.flushLoggedErrors(), [])


class UserConnectionsTests(WebTestCase):
    def test_one_user(self) -> None:
        """The list of one user, whose id may hold anything, percent-encoded."""
        for user_id, path in [
            ("42", "42"),
            ("a/b", "a%2Fb"),
            ("a b", "a%20b"),
            ("a+b", "a+b"),
            ("ü@x?#%", "%C3%BC%40x%3F%23%25"),
            ("..", ".."),
        ]:
            gateway = Gateway([view("c1", user_id), view("c2", "other")])
            answer = gateway.ask("GET", f"/internal/users/{path}/connections")
            self.assertEqual(answer.status, 200)
            self.assertEqual([c["user_id"] for c in answer.document["connections"]], [user_id])

    def test_filter_and_pages(self) -> None:
        """Subject and paging work as in the list of all; user_id of the query does not count."""
        gateway = Gateway([view("c1", "42", "channel:a"), view("c2", "42"), view("c3", "7", "channel:a")])
        answer = gateway.ask("GET", "/internal/users/42/connections?subject=channel:a&user_id=7&limit=5")
        self.assertEqual([c["connection_id"] for c in answer.document["connections"]], ["c1"])

    def test_nothing_there(self) -> None:
        """Other paths below a user, or without one, are 404; an id that is no UTF-8 is 400."""
        gateway = Gateway([view("c1", "42")])
        for path in (
            "42",
            "42/",
            "",
            "42/connections/",
            "42/connections/c1",
            "/connections",
            "a/b/connections",
        ):
            self.assert_problem(gateway.ask("GET", f"/internal/users/{path}"), 404)
        self.assert_problem(gateway.ask("GET", "/internal/users/%ff/connections"), 400)
