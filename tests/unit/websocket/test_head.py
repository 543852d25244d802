"""Request heads: where they end, what they say, and which are none."""

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.websocket.head import MAX_QUERY_FIELDS, BadHead, ForeignMethod, Head, end_of_head, parse_head


def parsed(*lines: bytes) -> Head:
    head = parse_head(b"\r\n".join([*lines, b"", b""]))
    assert head is not None
    return head


class ParseTests(SynchronousTestCase):
    def test_plain(self) -> None:
        """Method, target, version and headers are there; names lose their case, values their outer blanks."""
        head = parsed(b"GET /ws?a=1&b HTTP/1.1", b"HoSt: x", b"X-Thing: \t a  b \t")
        self.assertEqual((head.method, head.path, head.query, head.version), ("GET", "/ws", "a=1&b", "1.1"))
        self.assertEqual(dict(head.headers), {"host": ("x",), "x-thing": ("a  b",)})

    def test_old_version(self) -> None:
        """HTTP/1.0 without Host is a request."""
        self.assertEqual(parsed(b"GET / HTTP/1.0").version, "1.0")

    def test_absolute_form(self) -> None:
        """Proxies may send the whole URL; only path and query count."""
        for target, path, query in [
            (b"http://gateway.example/ws?x=1", "/ws", "x=1"),
            (b"https://gateway.example:8443/", "/", ""),
            (b"http://gateway.example", "", ""),
            (b"http://gateway.example?a=/ws", "", "a=/ws"),
        ]:
            head = parsed(b"GET " + target + b" HTTP/1.1", b"Host: x")
            self.assertEqual((head.path, head.query), (path, query))

    def test_a_path_with_a_url_in_it(self) -> None:
        """A path that contains `://` stays as it is."""
        self.assertEqual(parsed(b"GET /go/http://x/ws HTTP/1.1").path, "/go/http://x/ws")

    def test_fragment(self) -> None:
        """What follows `#` is no part of the query."""
        self.assertEqual(parsed(b"GET /ws?a=1#b HTTP/1.1").query, "a=1")

    def test_repeated_lines(self) -> None:
        """Repeated lines are one list; `tokens` reads it, `only` wants a single line."""
        head = parsed(b"GET / HTTP/1.1", b"Upgrade: h2c, WebSocket", b"upgrade: ,x ,", b"Host: a")
        self.assertEqual(head.headers["upgrade"], ("h2c, WebSocket", ",x ,"))
        self.assertEqual(head.tokens("upgrade"), ["h2c", "websocket", "x"])
        self.assertEqual(head.tokens("absent"), [])
        self.assertIsNone(head.only("upgrade"))
        self.assertIsNone(head.only("absent"))
        self.assertEqual(head.only("host"), "a")

    def test_opaque_values(self) -> None:
        """Bytes above 0x7F belong to a value; none of them ends a line."""
        head = parsed(b"GET / HTTP/1.1", b"X-A: one\x85two\xa0", b"X-B: \xc3\xa9")
        self.assertEqual(head.headers["x-a"], ("one\x85two\xa0",))
        self.assertEqual(head.headers["x-b"], ("\xc3\xa9",))

    def test_query_pairs(self) -> None:
        """The query is decoded; empty values stay, too many fields are refused."""
        head = parsed(b"GET /ws?a=%C3%A9&b=&c&a=2+3 HTTP/1.1")
        self.assertEqual(head.query_pairs(), (("a", "é"), ("b", ""), ("c", ""), ("a", "2 3")))
        self.assertEqual(parsed(b"GET /ws HTTP/1.1").query_pairs(), ())
        many = b"&".join([b"a=1"] * (MAX_QUERY_FIELDS + 1))
        self.assertRaises(BadHead, parsed(b"GET /ws?" + many + b" HTTP/1.1").query_pairs)
        enough = b"&".join([b"a=1"] * MAX_QUERY_FIELDS)
        self.assertEqual(len(parsed(b"GET /ws?" + enough + b" HTTP/1.1").query_pairs()), MAX_QUERY_FIELDS)

    def test_secrets_stay_out_of_logs(self) -> None:
        """The text form of a head shows neither query nor headers."""
        shown = repr(parsed(b"GET /ws?token=canary HTTP/1.1", b"Authorization: Bearer canary"))
        self.assertNotIn("canary", shown)
        self.assertIn("/ws", shown)


class JudgementTests(SynchronousTestCase):
    def test_incomplete(self) -> None:
        """The beginning of a good head is neither good nor bad yet."""
        whole = b"GET /ws HTTP/1.1\r\nHost: x\r\n\r\n"
        for size in range(len(whole)):
            self.assertIsNone(parse_head(whole[:size]))
        self.assertIsNotNone(parse_head(whole))

    def test_bad(self) -> None:
        """Control bytes, bare line ends, folded lines, blanks before a colon and nonsense are refused."""
        for data in [
            b"GET /ws HTTP/1.1\r\nA: \x00\r\n\r\n",
            b"GET /ws HTTP/1.1\r\nA: b\x1fc\r\n\r\n",
            b"GET /ws HTTP/1.1\r\nA\x00: b\r\n\r\n",
            b"GET /ws HTTP/1.1\nHost: x\n\n",
            b"GET /ws HTTP/1.1\r\nA: b\rc\r\n\r\n",
            b"GET /ws HTTP/1.1\r\nA: b\nC: d\r\n\r\n",
            b"GET /ws HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
            b"GET /ws HTTP/1.1\r\nA : b\r\n\r\n",
            b"GET /ws HTTP/1.1\r\n: b\r\n\r\n",
            b"GET /ws HTTP/9.9\r\n\r\n",
            b"GET /w s HTTP/1.1\r\n\r\n",
            b"GET /\x01 HTTP/1.1\r\n\r\n",
            b"\x16\x03\x01\x02\x00\x01\x00",
            b"SSH-2.0-x\r\n",
            b"get / HTTP/1.1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        ]:
            self.assertRaises(BadHead, parse_head, data)

    def test_refused_early(self) -> None:
        """What can never become a head is refused before its end."""
        self.assertRaises(BadHead, parse_head, b"\x16\x03")
        self.assertRaises(BadHead, parse_head, b"GET / HTTP/1.1\r\nA b")

    def test_foreign_method(self) -> None:
        """A well-formed method that the parser does not know is left to the HTTP side."""
        self.assertRaises(ForeignMethod, parse_head, b"FROBNICATE /ws HTTP/1.1\r\n\r\n")
        self.assertIsNone(parse_head(b"FROBN"))
        self.assertRaises(BadHead, parse_head, b"Frobnicate /ws HTTP/1.1\r\n\r\n")
        self.assertRaises(BadHead, parse_head, b"F" * 40 + b" /ws HTTP/1.1\r\n\r\n")

    def test_end(self) -> None:
        """The end lies behind the empty line."""
        self.assertEqual(end_of_head(b"GET / HTTP/1.1\r\n\r\nrest"), 18)
        self.assertEqual(end_of_head(b"GET / HTTP/1.1\r\n\r"), 0)
