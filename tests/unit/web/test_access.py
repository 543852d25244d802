"""The log line of each request."""

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from tests.unit.web.harness import KEY, Gateway, WebTestCase


class AccessTests(WebTestCase):
    def setUp(self) -> None:
        self.events: list[dict[str, Any]] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)
        self.gateway = Gateway()

    def lines(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["log_namespace"] == "ws_gateway.web.access"]

    def test_line(self) -> None:
        """One line says method, path, status, bytes and milliseconds."""
        self.gateway.delivery.waiting = []
        body = {"subjects": ["a"], "payload": "canary-payload"}
        self.gateway.begin("POST", "/internal/publish?scope=node&token=canary-token", body)
        self.gateway.clock.advance(0.25)
        self.assertEqual(self.lines(), [])
        self.gateway.delivery.waiting[0].callback([1])
        (line,) = self.lines()
        self.assertEqual(formatEvent(line), "POST /internal/publish 200")
        self.assertEqual((line["bytes"], line["milliseconds"]), (len(b'{"sent":1}'), 250.0))

    def test_no_secret(self) -> None:
        """Nothing of the query, of headers or of a body stands in any line, at any level."""
        paths = ["/internal/connections?token=canary-token", "/nothing?access_token=canary-token"]
        paths.append("http://user:canary-token@host/health")
        for path in paths:
            for key in (KEY, "canary-token"):
                self.gateway.ask("GET", path, key=key)
        self.gateway.ask("POST", "/internal/publish", {"api_key": "canary-token"}, key=None)
        self.gateway.ask("POST", "/internal/publish", b'{"api_key":"canary-token" x', key=KEY)
        channel, _ = self.gateway.connect()
        channel.dataReceived(b"GET /?token=canary-token HTTP/9\r\n")
        self.assertTrue(self.lines())
        self.assertNotIn("canary", repr([{**e, "log_source": None} for e in self.events]))

    def test_a_token_in_the_path(self) -> None:
        """What looks like a token is masked, whole, before the path is cut."""
        for path in ("/ws/eyJhbGciOiJub25lIn0.canary.canary-_9/x", "/" + "a" * 250 + "/eyJhbGci.canary."):
            self.gateway.ask("GET", path)
        whole, cut = self.lines()
        self.assertEqual(whole["path"], "/ws/***/x")
        self.assertEqual(cut["path"], "/" + "a" * 250 + "/***")

    def test_probes(self) -> None:
        """Probes are logged at debug, everything else at info."""
        for path in ("/health", "/ready?x=1", "/metrics", "/nothing"):
            self.gateway.ask("GET", path)
        levels = [line["log_level"] for line in self.lines()]
        self.assertEqual(levels, [LogLevel.debug] * 3 + [LogLevel.info])

    def test_publishing(self) -> None:
        """Publishing that went well is logged at debug, publishing that did not at info."""
        self.gateway.ask("POST", "/internal/publish", {"subjects": ["a"], "payload": 1})
        self.gateway.ask("POST", "/internal/publish", {"subjects": [], "payload": 1})
        levels = [line["log_level"] for line in self.lines()]
        self.assertEqual(levels, [LogLevel.debug, LogLevel.info])

    def test_looking(self) -> None:
        """What an open status page asks all the time is at debug; opening it, and what goes wrong, is not."""
        self.gateway.ask("GET", "/internal/console/overview")
        self.gateway.ask("GET", "/internal/console")
        self.gateway.ask("GET", "/internal/console/overview", key="wrong")
        levels = [line["log_level"] for line in self.lines()]
        self.assertEqual(levels, [LogLevel.debug, LogLevel.info, LogLevel.info])

    def test_gone(self) -> None:
        """A peer that leaves before its answer is a line as well, and only one."""
        self.gateway.delivery.waiting = []
        channel, _ = self.gateway.begin("POST", "/internal/publish", {"subjects": ["a"], "payload": 1})
        channel.connectionLost(Failure(ConnectionLost()))
        self.gateway.delivery.waiting[0].callback([1])
        (line,) = self.lines()
        self.assertEqual(formatEvent(line), "POST /internal/publish left unanswered")

    def test_refused_body(self) -> None:
        """A body that cannot be read makes a line of its request."""
        channel, _ = self.gateway.connect()
        channel.dataReceived(b"POST /internal/publish HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        (line,) = self.lines()
        self.assertEqual(formatEvent(line), "POST /internal/publish 400")

    def test_head_never_complete(self) -> None:
        """A peer that leaves before its head is complete asked for nothing."""
        channel, _ = self.gateway.connect()
        channel.dataReceived(b"GET /health HTTP/1.1\r\nA: b\r\n")
        channel.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.lines(), [])

    def test_odd_bytes(self) -> None:
        """Bytes of any kind and length in a path stay one line of plain text."""
        self.gateway.ask("GET", "/\x81%0d%0a" + "x" * 1000)
        (line,) = self.lines()
        self.assertTrue(line["path"].isascii() and line["path"].isprintable())
        self.assertLess(len(line["path"]), 300)
