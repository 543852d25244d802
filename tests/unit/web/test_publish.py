"""POST /internal/publish."""

from typing import Any, NoReturn

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from tests.unit.web.harness import KEY, Gateway, WebTestCase, read_answers
from ws_gateway.interfaces import IConnectionDirectory, IDelivery, IReadiness
from ws_gateway.testing.web import FakeDelivery, FakeDirectory, FakeReadiness

BODY = {"subjects": ["user:42"], "payload": {"text": "hi"}}


class Full(list[Any]):
    """A list that takes nothing."""

    def append(self, item: object) -> NoReturn:
        raise MemoryError


class PublishTests(WebTestCase):
    def setUp(self) -> None:
        self.gateway = Gateway()
        self.delivery = self.gateway.delivery

    def test_sent(self) -> None:
        """A publication is delivered, and the answer says to how many connections."""
        self.delivery.connections = 3
        answer = self.gateway.ask("POST", "/internal/publish", BODY)
        self.assertEqual((answer.status, answer.document), (200, {"sent": 3}))
        self.assertEqual(answer.header("content-type"), "application/json")
        self.assertEqual(answer.header("cache-control"), "no-store")
        (publication,) = self.delivery.delivered
        self.assertEqual(publication.subjects, ("user:42",))
        self.assertEqual(self.gateway.metrics.value("publish_total"), 1)

    def test_digit_for_digit(self) -> None:
        """The payload goes on exactly as the backend wrote it."""
        payload = b'{"n": 1.10, "big": 12345678901234567890123, "e":1E2}'
        self.gateway.ask("POST", "/internal/publish", b'{"subjects":["a"],"payload":%b}' % payload)
        self.assertEqual(self.delivery.delivered[0].payload, payload)

    def test_waits(self) -> None:
        """The answer waits until the publication is delivered."""
        self.delivery.waiting = []
        _, transport = self.gateway.begin("POST", "/internal/publish", BODY)
        self.assertEqual(transport.value(), b"")
        self.assertEqual(self.gateway.metrics.value("publish_total"), 0)
        self.delivery.waiting[0].callback([2])
        self.assertEqual(read_answers(transport.value())[0].document, {"sent": 2})

    def test_client_gone(self) -> None:
        """A backend that leaves while it waits takes nothing back and leaves nothing behind."""
        self.delivery.waiting = []
        channel, transport = self.gateway.begin("POST", "/internal/publish", BODY)
        channel.connectionLost(Failure(ConnectionLost()))
        self.delivery.waiting[0].callback([2])
        self.assertEqual(transport.value(), b"")
        self.assertEqual(self.gateway.metrics.value("publish_total"), 1)
        self.assertEqual(self.gateway.clock.getDelayedCalls(), [])

    def test_overloaded(self) -> None:
        """A full queue answers 503 with Retry-After."""
        self.delivery.overloaded = True
        answer = self.gateway.ask("POST", "/internal/publish", BODY)
        self.assert_problem(answer, 503)
        self.assertEqual(answer.header("retry-after"), "1")
        self.assertEqual(self.gateway.metrics.value("publish_total"), 0)

    def test_delivery_fails(self) -> None:
        """A failure that nobody foresaw is logged, and the backend hears nothing of its inside."""
        self.delivery.waiting = []
        _, transport = self.gateway.begin("POST", "/internal/publish", BODY)
        self.delivery.waiting[0].errback(RuntimeError("secret detail"))
        (answer,) = read_answers(transport.value())
        self.assert_problem(answer, 500)
        self.assertNotIn(b"secret detail", answer.body)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_delivery_cancelled(self) -> None:
        """A delivery that is called off is a fault to whoever still waits for it."""
        self.delivery.waiting = []
        _, transport = self.gateway.begin("POST", "/internal/publish", BODY)
        self.delivery.waiting[0].cancel()
        self.assert_problem(read_answers(transport.value())[0], 500)
        self.assertEqual(len(self.flushLoggedErrors(CancelledError)), 1)

    def test_delivery_raises(self) -> None:
        """An exception where a Deferred was due is treated like a failure."""
        self.delivery.waiting = Full()
        self.assert_problem(self.gateway.ask("POST", "/internal/publish", BODY), 500)
        self.assertEqual(len(self.flushLoggedErrors(MemoryError)), 1)

    def test_fields_named(self) -> None:
        """What is wrong with a body is named: 400 for what is no JSON, 422 for what is not allowed."""
        for body, status, field in [
            (b"", 400, None),
            (b"{", 400, None),
            (b"\xff", 400, None),
            (b'{"subjects":["a"],"payload":NaN}', 400, None),
            (b'{"subjects":["a"],"payload":"\\ud800"}', 400, None),
            (b"[]", 422, None),
            (b'{"payload":1}', 422, "subjects"),
            (b'{"subjects":"a","payload":1}', 422, "subjects"),
            (b'{"subjects":[],"payload":1}', 422, "subjects"),
            (b'{"subjects":null,"payload":1}', 422, "subjects"),
            (b'{"subjects":["a",[]],"payload":1}', 422, "subjects"),
            (b'{"subjects":["a"]}', 422, "payload"),
            (b'{"subjects":["a"],"payload":1,"except":7}', 422, "except"),
        ]:
            self.assert_problem(self.gateway.ask("POST", "/internal/publish", body), status, field)
        self.assertEqual(self.delivery.delivered, [])

    def test_null_payload(self) -> None:
        """`null` is a payload like any other."""
        answer = self.gateway.ask("POST", "/internal/publish", b'{"subjects":["a"],"payload":null}')
        self.assertEqual(answer.status, 200)
        self.assertEqual(self.delivery.delivered[0].payload, b"null")

    def test_content_types(self) -> None:
        """JSON by any of its names, or no name at all, is taken; anything else is 415."""
        body = b'{"subjects":["a"],"payload":1}'
        for line in [
            "Content-Type: application/json",
            "Content-Type: APPLICATION/Json; charset=utf-8",
            "Content-Type: application/json;charset=latin-1",
            "Content-Type: application/problem+json",
            "Content-Encoding: identity",
            "X-Nothing: 1",
        ]:
            answer = self.gateway.ask("POST", "/internal/publish", body, headers=[line])
            self.assertEqual((line, answer.status), (line, 200))
        for line, field in [
            ("Content-Type: application/x-www-form-urlencoded", "Content-Type"),
            ("Content-Type: text/plain", "Content-Type"),
            ("Content-Type: multipart/form-data; boundary=x", "Content-Type"),
            ("Content-Type: ", "Content-Type"),
            ("Content-Type: text/x+json", "Content-Type"),
            ("Content-Encoding: gzip", "Content-Encoding"),
        ]:
            answer = self.gateway.ask("POST", "/internal/publish", body, headers=[line])
            self.assert_problem(answer, 415, field)

    def test_scope(self) -> None:
        """`scope=node` is what happens anyway; another scope is refused before anything is sent."""
        self.assertEqual(self.gateway.ask("POST", "/internal/publish?scope=node", BODY).status, 200)
        self.assertEqual(self.gateway.ask("POST", "/internal/publish?other=1", BODY).status, 200)
        for scope in ("world", "cluster"):
            answer = self.gateway.ask("POST", f"/internal/publish?scope={scope}", BODY)
            self.assert_problem(answer, 422, "scope")
        self.assertEqual(len(self.delivery.delivered), 2)

    def test_methods(self) -> None:
        """Only POST publishes; the others hear which method does."""
        for method in ("GET", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "BREW"):
            answer = self.gateway.ask(method, "/internal/publish")
            self.assertEqual((method, answer.status, answer.header("allow")), (method, 405, "POST"))

    def test_key_in_body_is_no_member(self) -> None:
        """The key in the body opens the door and goes no further."""
        answer = self.gateway.ask("POST", "/internal/publish", {"api_key": KEY, **BODY}, key=None)
        self.assertEqual(answer.status, 200)
        self.assertNotIn(KEY, repr(self.delivery.delivered))


class FakesTests(WebTestCase):
    def test_interfaces(self) -> None:
        """The fakes provide what the real things provide."""
        self.assertTrue(verifyObject(IDelivery, FakeDelivery()))
        self.assertTrue(verifyObject(IConnectionDirectory, FakeDirectory()))
        self.assertTrue(verifyObject(IReadiness, FakeReadiness("x")))
