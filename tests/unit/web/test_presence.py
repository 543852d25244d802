"""`scope=cluster` in lists: the connections of all nodes, from the presence store."""

import json
from typing import Any

from attrs import evolve
from twisted.internet.error import ConnectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.unit.web.harness import Gateway, WebTestCase, read_answers, view
from ws_gateway.domain.messages import ConnectionView
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.testing.presence import FakePlace, FakePresenceStore, seen
from ws_gateway.web.listing import SLICE
from ws_gateway.web.stream import STALL_SECONDS


def read_chunked(data: bytes) -> tuple[bytes, list[bytes], bool]:
    """The head of a chunked answer, its chunks, and whether it has an end."""
    head, _, rest = data.partition(b"\r\n\r\n")
    chunks: list[bytes] = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size, 16)
        chunk, rest = rest[:length], rest[length:]
        assert len(chunk) == length, "a chunk that is shorter than promised"
        assert rest.startswith(b"\r\n")
        rest = rest[2:]
        if not length:
            assert rest == b""
            return head, chunks, True
        chunks.append(chunk)
    return head, chunks, False


class Case(WebTestCase):
    def setUp(self) -> None:
        self.place = FakePlace()
        self.store = FakePresenceStore(self.place, "other")
        self.successResultOf(self.store.renew(1_000_000))
        self.gateway = Gateway([view("here", "42")], presence=self.store)

    def put(self, *views: ConnectionView) -> None:
        self.successResultOf(self.store.put(views, 1_000_000))

    def begin(self, path: str, method: str = "GET") -> tuple[Any, StringTransport]:
        return self.gateway.begin(method, path)

    def whole(self, path: str) -> Any:
        """The document of an answer without paging, which comes in chunks."""
        _, transport = self.begin(path)
        head, chunks, ended = read_chunked(transport.value())
        self.assertTrue(ended)
        self.assertIn(b"HTTP/1.1 200 ", head)
        lines = {line.lower() for line in head.split(b"\r\n")}
        self.assertIn(b"transfer-encoding: chunked", lines)
        self.assertIn(b"content-type: application/json", lines)
        self.assertIn(b"cache-control: no-store", lines)
        return json.loads(b"".join(chunks))


class ListTests(Case):
    def test_document(self) -> None:
        """The same document as for one node, integers as integers."""
        self.put(evolve(seen(1, "42", "channel:news"), client_ip=None))
        expected = {
            "connection_id": seen(1).connection_id,
            "user_id": "42",
            "subjects": ["user:42", "channel:news"],
            "connected_at": 1_700_000_001,
            "last_seen_at": 1_700_100_001,
            "client_ip": None,
        }
        self.assertEqual(self.whole("/internal/connections?scope=cluster"), {"connections": [expected]})

    def test_nobody(self) -> None:
        """Nobody there is an empty list."""
        self.assertEqual(self.whole("/internal/connections?scope=cluster"), {"connections": []})

    def test_this_node(self) -> None:
        """Unless the cluster is asked for, the list is that of this node."""
        self.put(seen(1))
        for query in ("", "?scope=node"):
            document = self.gateway.ask("GET", "/internal/connections" + query).document
            self.assertEqual([one["connection_id"] for one in document["connections"]], ["here"])

    def test_filters(self) -> None:
        """Subject and user, in the query or in the path."""
        views = [seen(1, "42", "channel:x"), seen(2, "42"), seen(3, "a/b", "channel:x")]
        self.put(*views)
        for path, expected in (
            ("connections?scope=cluster", views),
            ("connections?scope=cluster&subject=channel:x", [views[0], views[2]]),
            ("connections?scope=cluster&user_id=42", views[:2]),
            ("connections?scope=cluster&user_id=42&subject=channel:x", views[:1]),
            ("users/a%2Fb/connections?scope=cluster", views[2:]),
            ("users/42/connections?scope=cluster&subject=channel:x&user_id=7", views[:1]),
            ("users/nobody/connections?scope=cluster", []),
        ):
            found = self.whole("/internal/" + path)["connections"]
            self.assertEqual([one["connection_id"] for one in found], [one.connection_id for one in expected])

    def test_pages(self) -> None:
        """With limit and cursor the list comes in pages with a length."""
        views = [seen(number) for number in range(5)]
        self.put(*views)
        shown: list[str] = []
        cursor, pages = "", 0
        while cursor is not None:
            path = f"/internal/connections?scope=cluster&limit=2&cursor={cursor}"
            answer = self.gateway.ask("GET", path)
            self.assertEqual((answer.status, answer.header("content-type")), (200, "application/json"))
            shown += [one["connection_id"] for one in answer.document["connections"]]
            cursor, pages = answer.document["next_cursor"], pages + 1
        self.assertEqual((shown, pages), ([one.connection_id for one in views], 3))

    def test_bad_parameters(self) -> None:
        """A foreign cursor, a limit that is none, a scope that does not exist: 422."""
        for query, field in (
            ("scope=cluster&cursor=nonsense", "cursor"),
            ("scope=cluster&limit=0", "limit"),
            ("scope=world", "scope"),
        ):
            for path in ("/internal/connections", "/internal/users/42/connections"):
                self.assert_problem(self.gateway.ask("GET", f"{path}?{query}"), 422, field)

    def test_no_store(self) -> None:
        """Without a store nobody knows the cluster."""
        for path in ("/internal/connections", "/internal/users/42/connections"):
            answer = Gateway().ask("GET", path + "?scope=cluster")
            self.assert_problem(answer, 422, "scope")
            self.assertIn("needs presence", answer.document["detail"])

    def test_store_down(self) -> None:
        """A store that is not there is 503, with and without paging, and the details stay here."""
        for failure, word in (
            (BrokerDown("secret.example is not there"), "not there"),
            (BrokerRefused("NOPERM", "user secret may not"), "NOPERM"),
        ):
            self.place.failure = failure
            for more in ("", "&limit=5"):
                answer = self.gateway.ask("GET", "/internal/connections?scope=cluster" + more)
                self.assert_problem(answer, 503)
                self.assertEqual(answer.header("retry-after"), "1")
                self.assertIn(word, answer.document["detail"])
                self.assertNotIn(b"secret", answer.body)

    def test_head(self) -> None:
        """HEAD tells that there is an answer, and walks nowhere."""
        self.put(*[seen(number) for number in range(SLICE + 1)])
        self.store.waiting = []
        _, transport = self.begin("/internal/connections?scope=cluster", "HEAD")
        self.store.waiting.pop().callback(None)
        head, _, body = transport.value().partition(b"\r\n\r\n")
        self.assertIn(b"HTTP/1.1 200 ", head)
        self.assertEqual((body, self.store.waiting), (b"", []))


class LongListTests(Case):
    def setUp(self) -> None:
        super().setUp()
        self.views = [seen(number) for number in range(3 * SLICE + 1)]
        self.put(*self.views)
        self.store.waiting = []
        self.pages = self.store.waiting

    def test_page_by_page(self) -> None:
        """Each page is written when it comes, and only then the next one is asked for."""
        _, transport = self.begin("/internal/connections?scope=cluster")
        written = 0
        for _ in range(4):
            self.assertEqual(len(self.pages), 1)
            self.pages.pop().callback(None)
            self.assertGreater(len(transport.value()), written)
            written = len(transport.value())
        _, chunks, ended = read_chunked(transport.value())
        self.assertEqual((len(chunks), ended), (5, True))
        shown = [one["connection_id"] for one in json.loads(b"".join(chunks))["connections"]]
        self.assertEqual(shown, [one.connection_id for one in self.views])

    def test_listed_once(self) -> None:
        """A store may bring a connection twice; the list has it once."""
        _, transport = self.begin("/internal/connections?scope=cluster")
        self.pages.pop().callback(None)
        self.successResultOf(self.store.remove(self.views[:3]))
        self.put(*self.views[:3])  # they have another place now, further on
        while self.pages:
            self.pages.pop().callback(None)
        _, chunks, _ = read_chunked(transport.value())
        shown = [one["connection_id"] for one in json.loads(b"".join(chunks))["connections"]]
        self.assertEqual(sorted(shown), sorted(one.connection_id for one in self.views))

    def test_slow_client(self) -> None:
        """While the client does not read, nothing more is asked for."""
        _, transport = self.begin("/internal/connections?scope=cluster")
        self.pages.pop().callback(None)
        for _ in range(2):
            transport.producer.pauseProducing()
        self.pages.pop().callback(None)
        self.assertEqual(self.pages, [])
        transport.producer.resumeProducing()
        self.assertEqual(len(self.pages), 1)
        while self.pages:
            self.pages.pop().callback(None)
        self.assertTrue(read_chunked(transport.value())[2])
        self.gateway.clock.advance(STALL_SECONDS)
        self.assertFalse(transport.disconnecting)

    def test_stalled_client(self) -> None:
        """A client that never reads again is cut off."""
        _, transport = self.begin("/internal/connections?scope=cluster")
        self.pages.pop().callback(None)
        transport.producer.pauseProducing()
        self.pages.pop().callback(None)
        self.gateway.clock.advance(STALL_SECONDS)
        self.assertTrue(transport.disconnected)
        self.assertFalse(read_chunked(transport.value())[2])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_client_gone(self) -> None:
        """A client that leaves ends the walk, wherever it is."""
        for pages in range(3):
            channel, transport = self.begin("/internal/connections?scope=cluster")
            for _ in range(pages):
                self.pages.pop().callback(None)
            written = transport.value()
            channel.connectionLost(Failure(ConnectionDone()))
            self.pages.pop().callback(None)
            self.assertEqual((transport.value(), self.pages), (written, []))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_gone_while_it_did_not_read(self) -> None:
        """The same for one that had stopped reading."""
        channel, transport = self.begin("/internal/connections?scope=cluster")
        self.pages.pop().callback(None)
        transport.producer.pauseProducing()
        self.pages.pop().callback(None)
        channel.connectionLost(Failure(ConnectionDone()))
        self.assertEqual((self.pages, self.gateway.clock.getDelayedCalls()), ([], []))
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_fails_in_the_middle(self) -> None:
        """An answer that cannot be finished is broken off, so that nobody takes it for whole."""
        for version in ("1.1", "1.0"):
            self.place.failure = None
            channel, transport = self.gateway.connect()
            request = (
                f"GET /internal/connections?scope=cluster HTTP/{version}\r\nX-Api-Key: canary-key-1\r\n\r\n"
            )
            channel.dataReceived(request.encode())
            self.pages.pop().callback(None)
            self.assertFalse(transport.disconnected)
            self.place.failure = BrokerDown("gone")
            self.pages.pop().callback(None)
            self.assertTrue(transport.disconnected)
            self.assertNotIn(b"]}", transport.value()[-10:])

    def test_fails_at_once(self) -> None:
        """A failure of the first page is a problem document as ever."""
        _, transport = self.begin("/internal/connections?scope=cluster")
        self.place.failure = BrokerDown("gone")
        self.pages.pop().callback(None)
        self.assert_problem(read_answers(transport.value())[0], 503)

    def test_next_request(self) -> None:
        """The connection is good for the next request."""
        channel, transport = self.begin("/internal/connections?scope=cluster&limit=2")
        self.pages.pop().callback(None)
        transport.clear()
        channel.dataReceived(
            b"GET /internal/connections?scope=cluster HTTP/1.1\r\nX-Api-Key: canary-key-1\r\n\r\n"
        )
        while self.pages:
            self.pages.pop().callback(None)
        self.assertTrue(read_chunked(transport.value())[2])
        transport.clear()
        channel.dataReceived(b"GET /health HTTP/1.1\r\n\r\n")
        self.assertEqual(read_answers(transport.value())[0].document, {"ok": True})
