"""A handshake on a connection that served HTTP before."""

from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource
from zope.interface.verify import verifyObject

from tests.unit.web.harness import read_answers
from tests.unit.websocket.gate import TOKEN, Gate, Line, request
from ws_gateway.testing.frames import close_frame, frame
from ws_gateway.websocket.upgrade import UpgradeResource

HEALTH = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n"
ASK = frame(b'{"type":"ping"}')


class UpgradeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.gate = Gate()
        self.gate.start()

    def used(self) -> Line:
        """A connection that served HTTP; what it received so far is forgotten."""
        line = self.gate.line(HEALTH)
        self.assertEqual([answer.status for answer in read_answers(line.value())], [200])
        line.clear()
        return line

    def test_interface(self) -> None:
        """It is a leaf of the tree."""
        resource = UpgradeResource(self.gate.house)
        verifyObject(IResource, resource)
        self.assertRaises(KeyError, resource.getChildWithDefault, b"x", None)
        self.assertRaises(KeyError, resource.putChild, b"x", None)

    def test_reused_connection(self) -> None:
        """A handshake after other requests opens a connection like any other."""
        line = self.used()
        line.send(request("/ws?channel=a"))
        self.assertEqual(line.status, 101)
        line.send(ASK + frame(b'{"a":1}'))
        self.assertEqual(line.received.texts, [b'{"type":"pong"}'])
        self.assertEqual(self.gate.emitter.types, ["connected", "message_received"])
        self.assertEqual(self.gate.registry.everyone()[0].subjects, ("user:42", "channel:a"))

    def test_cut_anywhere(self) -> None:
        """Head and frames behind it may come in any two pieces."""
        data = request() + ASK + frame(b"x" * 200)
        for place in range(1, len(data)):
            line = self.used()
            line.send(data[:place])
            line.send(data[place:])
            self.assertEqual((line.status, line.received.texts), (101, [b'{"type":"pong"}']), place)
            line.lose()
        self.assertEqual(len(self.gate.emitter.messages), len(data) - 1)

    def test_all_at_once(self) -> None:
        """HTTP requests, the handshake and frames may come in one packet."""
        line = self.gate.line(HEALTH + HEALTH + request() + ASK)
        answers, _, rest = line.value().partition(b"HTTP/1.1 101")
        self.assertEqual(len(read_answers(answers)), 2)
        self.assertIn(b'{"type":"pong"}', rest)

    def test_http_lets_go(self) -> None:
        """Nothing of HTTP watches the connection any more: no deadline, no producer."""
        line = self.used()
        line.send(request())
        self.gate.advance(600)
        self.assertFalse(line.disconnecting)
        line.send(ASK)
        self.assertEqual(line.received.texts, [b'{"type":"pong"}'])
        line.lose()
        self.assertEqual(self.gate.emitter.types, ["connected", "disconnected"])
        self.assertEqual((len(self.gate.wheel), len(self.gate.registry)), (0, 0))

    def test_refused(self) -> None:
        """Refusals are the same bytes as on a fresh connection."""
        for data in (
            request("/ws", None),
            request(without="Upgrade"),
            request(without="Sec-WebSocket-Key"),
            request(method="HEAD"),
        ):
            line = self.used()
            line.send(data)
            self.assertEqual(line.value(), self.gate.line(data).value())
            self.assertTrue(line.half_closed)

    def test_with_a_slash(self) -> None:
        """The path with a slash behind it is the same; a deeper one is not found."""
        line = self.used()
        line.send(request("/ws/"))
        self.assertEqual(line.status, 101)
        line = self.used()
        line.send(request("/ws/deeper"))
        self.assertEqual(line.status, 404)

    def test_absolute_form(self) -> None:
        """A proxy may send the whole URL."""
        line = self.used()
        line.send(request("http://gateway.example/ws?channel=b"))
        self.assertEqual(line.status, 101)
        self.assertEqual(self.gate.registry.everyone()[0].subjects, ("user:42", "channel:b"))

    def test_repeated_headers(self) -> None:
        """Repeated lines arrive as a list."""
        line = self.used()
        line.send(request("/ws", None, "Sec-WebSocket-Protocol: bearer", f"Sec-WebSocket-Protocol: {TOKEN}"))
        self.assertEqual(line.status, 101)
        self.assertIn("Sec-WebSocket-Protocol: bearer", line.answer)
        self.assertIsNone(line.received.close)

    def test_awaited_key(self) -> None:
        """While a key is awaited the client may leave, and leaves nothing."""
        self.gate.authenticator.hang()
        line = self.used()
        line.send(request() + ASK)
        self.assertEqual((line.value(), self.gate.authenticator.waiting), (b"", 1))
        line.lose()
        self.assertEqual((self.gate.authenticator.waiting, len(self.gate.wheel)), (0, 0))
        line = self.used()
        line.send(request() + ASK[:4])
        line.send(ASK[4:])
        self.gate.authenticator.release()
        line.send()
        self.assertEqual((line.status, line.received.texts), (101, [b'{"type":"pong"}']))

    def test_deadline(self) -> None:
        """A key that does not come in time is answered."""
        self.gate.authenticator.hang()
        line = self.used()
        line.send(request())
        self.gate.advance(10.5)
        self.assertEqual(line.status, 408)

    def test_not_ours(self) -> None:
        """The resource stands where it was put, and serves only its path."""
        gate = Gate()
        resource = UpgradeResource(gate.house)

        class Request:
            uri = b"/elsewhere"
            method = b"GET"
            clientproto = b"HTTP/1.1"
            code = 200

            class requestHeaders:
                @staticmethod
                def getAllRawHeaders() -> list[tuple[bytes, list[bytes]]]:
                    return []

            def setResponseCode(self, code: int) -> None:
                self.code = code

        asked = Request()
        self.assertEqual((resource.render(asked), asked.code), (b"", 404))

    def test_close(self) -> None:
        """The end is the end of the connection."""
        line = self.used()
        line.send(request())
        line.send(close_frame(1000))
        self.assertEqual((line.received.close, line.disconnecting), ((1000, ""), True))
        self.assertIsInstance(line, StringTransport)
