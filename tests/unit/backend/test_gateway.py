"""The blocking client, against a small HTTP server on a free port."""

import socket
import ssl
from threading import Thread

from twisted.trial import unittest

from tests.unit.backend.standin import StandIn
from ws_gateway.backend import Connection, Gateway, GatewayError, GatewayUnreachable, Publication

KEY = "canary-key"


class _Answerer(Thread):
    """Takes one connection, hears one packet, says something and closes."""

    def __init__(self, listener: socket.socket, said: bytes) -> None:
        super().__init__(daemon=True)
        self._listener = listener
        self._said = said
        self.heard = b""
        self.start()

    def run(self) -> None:
        """Do it."""
        connection, _ = self._listener.accept()
        with connection:
            self.heard = connection.recv(65536)
            connection.sendall(self._said)


class ServedTests(unittest.SynchronousTestCase):
    """A gateway that answers."""

    def setUp(self) -> None:
        self.stand_in = StandIn(KEY)
        self.addCleanup(self.stand_in.stop)
        self.gateway = Gateway(self.stand_in.url, KEY)

    def asked(self) -> tuple[str, str, object]:
        """The request that came in."""
        request = self.stand_in.arrived.get_nowait()
        self.assertEqual(request.headers["x-api-key"], KEY)
        return request.method, request.target, request.document

    def test_publish(self) -> None:
        """A publication arrives whole, and the count comes back."""
        self.assertEqual(self.gateway.publish(["user:42"], {"text": "grüße"}, exclude=["c1"]), 1)
        document = {"subjects": ["user:42"], "payload": {"text": "grüße"}, "except": ["c1"]}
        self.assertEqual(self.asked(), ("POST", "/internal/publish", document))

    def test_publish_batch(self) -> None:
        """A batch arrives in order; an empty one is not even sent."""
        two = (Publication([subject], 1) for subject in "ab")
        self.assertEqual(self.gateway.publish_batch(two), [1, 1])
        publications = [{"subjects": [subject], "payload": 1} for subject in "ab"]
        self.assertEqual(self.asked(), ("POST", "/internal/publish/batch", {"publications": publications}))
        self.assertEqual(self.gateway.publish_batch([]), [])
        self.assertTrue(self.stand_in.arrived.empty())

    def test_connections(self) -> None:
        """The question carries its filters, the answer becomes values."""
        listed = b'{"connection_id":"c1","user_id":"4 2","subjects":[],"connected_at":5}'
        self.stand_in.answer_next(200, b'{"connections":[' + listed + b"]}")
        self.assertEqual(self.gateway.connections(user_id="4 2"), [Connection("c1", "4 2", (), 5)])
        self.assertEqual(self.asked(), ("GET", "/internal/connections?user_id=4+2", None))
        self.stand_in.answer_next(200, b'{"connections":[]}')
        self.assertEqual(self.gateway.connections(), [])
        self.assertEqual(self.asked(), ("GET", "/internal/connections", None))

    def test_disconnect(self) -> None:
        """The wish arrives, and the count comes back."""
        self.stand_in.answer_next(200, b'{"disconnected":2}')
        self.assertEqual(self.gateway.disconnect("42", code=4001, reason="bye"), 2)
        document = {"user_id": "42", "code": 4001, "reason": "bye"}
        self.assertEqual(self.asked(), ("POST", "/internal/disconnect", document))

    def test_path_in_front(self) -> None:
        """A path in the base URL stays in front."""
        self.assertEqual(Gateway(self.stand_in.url + "/gw/", KEY).publish(["a"], 1), 1)
        self.assertEqual(self.asked()[1], "/gw/internal/publish")

    def test_refused(self) -> None:
        """A refusal is a GatewayError with the gateway's words; the key is not among them."""
        error = self.assertRaises(GatewayError, Gateway(self.stand_in.url, "wrong").publish, ["a"], 1)
        self.assertEqual((error.status, error.title, error.detail), (401, "Unauthorized", "no valid API key"))
        self.assertNotIsInstance(error, GatewayUnreachable)
        self.assertNotIn("wrong", str(error))

    def test_not_repeated(self) -> None:
        """A failure is not tried again by itself: a publication must not appear twice."""
        self.stand_in.answer_next(503, b"")
        self.assertRaises(GatewayError, self.gateway.publish, ["a"], 1)
        self.assertEqual(self.stand_in.arrived.qsize(), 1)


class SilentTests(unittest.SynchronousTestCase):
    """A gateway that does not answer."""

    def setUp(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(self.listener.close)
        self.netloc = f"127.0.0.1:{self.listener.getsockname()[1]}"

    def assertUnreachable(self, gateway: Gateway) -> GatewayUnreachable:
        """Publishing ends in the one error that says so."""
        error = self.assertRaises(GatewayUnreachable, gateway.publish, ["a"], 1)
        self.assertIsNone(error.status)
        self.assertIn(self.netloc, str(error))
        self.assertNotIn(KEY, str(error))
        self.assertIsInstance(error, GatewayError)
        return error

    def test_nobody_listens(self) -> None:
        """A refused connection."""
        self.listener.close()
        error = self.assertUnreachable(Gateway(f"http://{self.netloc}", KEY))
        self.assertIsInstance(error.__cause__, ConnectionRefusedError)

    def test_no_answer(self) -> None:
        """A connection that is taken and never answered ends with the timeout."""
        error = self.assertUnreachable(Gateway(f"http://{self.netloc}", KEY, timeout=0.05))
        self.assertIsInstance(error.__cause__, TimeoutError)

    def test_no_http(self) -> None:
        """An answer that is cut, or no HTTP at all."""
        for said in (b"hello\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", b""):
            answerer = _Answerer(self.listener, said)
            self.assertUnreachable(Gateway(f"http://{self.netloc}", KEY))
            answerer.join()

    def test_tls_to_plain(self) -> None:
        """`https` to a port that speaks plain HTTP fails in the handshake; nothing goes out unencrypted."""
        answerer = _Answerer(self.listener, b"HTTP/1.1 400 Bad Request\r\n\r\n")
        gateway = Gateway(f"https://{self.netloc}", KEY, context=ssl.create_default_context())
        error = self.assertUnreachable(gateway)
        self.assertIsInstance(error.__cause__, ssl.SSLError)
        answerer.join()
        self.assertNotIn(KEY.encode(), answerer.heard)

    def test_timeout_that_is_none(self) -> None:
        """A timeout that is not above 0 is refused."""
        for timeout in (0, -1, float("nan")):
            self.assertRaises(ValueError, Gateway, "http://gateway", KEY, timeout)
