"""With a broker, calls that publish or disconnect reach all nodes by the outbox."""

from collections.abc import Sequence, Set
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from tests.unit.web.harness import Answer, Gateway, WebTestCase, read_answers, view
from ws_gateway.domain.codec import decode_order, encode_kick
from ws_gateway.domain.messages import Kick, Publication
from ws_gateway.errors import BrokerDown, BrokerRefused, Overloaded
from ws_gateway.interfaces import IRelay
from ws_gateway.testing.relay import FakeRelay
from ws_gateway.testing.web import Kicked

OUTER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OWN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"

BODY = {"subjects": ["user:42", "channel:news"], "payload": {"text": "hi"}}

CALLS: list[tuple[str, str, dict[str, Any] | None]] = [
    ("POST", "/internal/publish", BODY),
    ("POST", "/internal/publish/batch", {"publications": [BODY, BODY]}),
    ("POST", "/internal/disconnect", {"user_id": "42"}),
    ("POST", "/internal/users/42/disconnect", None),
    ("DELETE", "/internal/connections/elsewhere", None),
]


class Case(WebTestCase):
    def setUp(self) -> None:
        self.relay = FakeRelay()
        views = [view("c1", "42"), view("c2", "42", "channel:news"), view("c3", "7", "channel:news")]
        self.gateway = Gateway(views, relay=self.relay)

    def ask(self, method: str, path: str, body: dict[str, Any] | bytes | None = None) -> Answer:
        return self.gateway.ask(method, path, body)

    def relayed(self) -> list[Publication | Kick]:
        """What a node reads from the outbox."""
        return [decode_order(document) for document in self.relay.documents]


class PublishTests(Case):
    def test_interface(self) -> None:
        """The fake is a relay."""
        verifyObject(IRelay, self.relay)

    def test_relayed(self) -> None:
        """A publication goes to the outbox and nowhere else; the answer counts who listens here."""
        for path in ("/internal/publish", "/internal/publish?scope=cluster"):
            self.relay.calls.clear()
            answer = self.ask("POST", path, BODY)
            self.assertEqual((answer.status, answer.document), (200, {"sent": 3, "relayed": True}))
            span = self.gateway.tracer.spans[-1]
            expected = Publication(("user:42", "channel:news"), b'{"text": "hi"}', span.traceparent)
            self.assertEqual(self.relayed(), [expected])
        self.assertEqual(self.gateway.delivery.delivered, [])
        self.assertEqual(self.gateway.metrics.value("publish_total"), 2)

    def test_this_node(self) -> None:
        """With scope=node nothing changes, and nothing is relayed."""
        answer = self.ask("POST", "/internal/publish?scope=node", BODY)
        self.assertEqual(answer.document, {"sent": 1})
        self.assertEqual((self.relay.calls, len(self.gateway.delivery.delivered)), ([], 1))

    def test_digit_for_digit(self) -> None:
        """The payload is written as the backend wrote it; those who are left out are left out everywhere."""
        payload = b'{ "n": 1.10, "big":12345678901234567890123,"e":1E2}'
        body = b'{"api_key":"x","except":["c1"],"subjects":["user:42"],"payload":%b}' % payload
        self.assertEqual(self.ask("POST", "/internal/publish", body).document["sent"], 1)
        (document,) = self.relay.documents
        self.assertTrue(document.startswith(b'{"subjects":["user:42"],"payload":%b,' % payload))
        self.assertTrue(document.endswith(b',"except":["c1"]}'))

    def test_batch(self) -> None:
        """A batch is relayed with one call, in order."""
        publications = [
            {"subjects": ["user:42"], "payload": 1},
            {"subjects": ["*"], "payload": 2, "except": ["c1"]},
            {"subjects": ["nobody"], "payload": 3},
        ]
        answer = self.ask("POST", "/internal/publish/batch", {"publications": publications})
        self.assertEqual(answer.document, {"sent": [2, 2, 0], "relayed": True})
        self.assertEqual([len(call) for call in self.relay.calls], [3])
        self.assertEqual(self.gateway.metrics.value("publish_total"), 3)
        answer = self.ask("POST", "/internal/publish/batch?scope=node", {"publications": publications})
        self.assertEqual(answer.document, {"sent": [1, 1, 1]})

    def test_bad_is_not_relayed(self) -> None:
        """What is refused is not relayed, not even the good part of a batch."""
        self.assert_problem(self.ask("POST", "/internal/publish", {"subjects": []}), 422, "subjects")
        batch = {"publications": [BODY, {"subjects": []}]}
        answer = self.ask("POST", "/internal/publish/batch", batch)
        self.assert_problem(answer, 422, "publications[1].subjects")
        self.assertEqual(self.relay.calls, [])

    def test_waits(self) -> None:
        """The answer waits until the outbox has it; who has left by then changes nothing."""
        self.relay.waiting = []
        _, transport = self.gateway.begin("POST", "/internal/publish", BODY)
        channel, gone = self.gateway.begin("POST", "/internal/publish", BODY)
        self.assertEqual(transport.value(), b"")
        channel.connectionLost(Failure(ConnectionLost()))
        for answer in self.relay.waiting:
            answer.callback(None)
        self.assertEqual(read_answers(transport.value())[0].document, {"sent": 3, "relayed": True})
        self.assertEqual(gone.value(), b"")
        self.assertEqual(self.gateway.metrics.value("publish_total"), 2)

    def test_counting_lets_others_work(self) -> None:
        """Counting for a large batch is cut into turns."""
        clock, count = self.gateway.clock, self.gateway.directory.listening

        def slowly(subjects: Sequence[str], excluded: Set[str]) -> int:
            clock.rightNow += 1
            return count(subjects, excluded)

        self.patch(self.gateway.directory, "listening", slowly)
        body = {"publications": [{"subjects": ["user:42"], "payload": n} for n in range(3)]}
        _, transport = self.gateway.begin("POST", "/internal/publish/batch", body)
        self.assertEqual((transport.value(), clock.seconds()), (b"", 1))
        clock.advance(0)
        self.assertEqual(read_answers(transport.value())[0].document["sent"], [2, 2, 2])


class TraceTests(Case):
    def published(self, body: dict[str, Any], *headers: str) -> list[str | None]:
        self.relay.calls.clear()
        path = "/internal/publish/batch" if "publications" in body else "/internal/publish"
        self.assertEqual(self.gateway.ask("POST", path, body, headers=headers).status, 200)
        return [order.traceparent for order in self.relayed() if isinstance(order, Publication)]

    def last_span(self) -> str | None:
        return self.gateway.tracer.spans[-1].traceparent

    def test_goes_on_from_the_span(self) -> None:
        """Other nodes go on from the span of the call, in the trace that it belongs to."""
        for body, headers in (
            (BODY, [f"traceparent: {OUTER}"]),
            ({**BODY, "traceparent": OWN}, []),
            ({**BODY, "traceparent": OWN}, [f"traceparent: {OUTER}"]),
            (BODY, []),
        ):
            self.assertEqual(self.published(body, *headers), [self.last_span()])

    def test_batch(self) -> None:
        """In a batch, those with a trace of their own keep it."""
        batch = {"publications": [{**BODY, "traceparent": OWN}, BODY]}
        found = self.published(batch, f"traceparent: {OUTER}")
        self.assertEqual(found, [OWN, self.last_span()])


class DisconnectTests(Case):
    def test_relayed(self) -> None:
        """An order goes by the outbox to all nodes, this one included; the answer counts who fits here."""
        for path, body, kick, here in (
            ("/internal/disconnect", {"user_id": 42}, Kick(4403, "", "42"), 2),
            ("/internal/disconnect?scope=cluster", {"connection_id": "c9"}, Kick(4403, "", None, "c9"), 0),
            (
                "/internal/disconnect",
                {"user_id": "42", "connection_id": "c1", "code": 4001, "reason": "bye"},
                Kick(4001, "bye", "42", "c1"),
                1,
            ),
            ("/internal/users/42/disconnect", {"code": 4999, "user_id": "7"}, Kick(4999, "", "42"), 2),
            ("/internal/users/a%2Fb/disconnect", None, Kick(4403, "", "a/b"), 0),
        ):
            self.relay.calls.clear()
            answer = self.ask("POST", path, body)
            self.assertEqual((answer.status, answer.document), (200, {"disconnected": here, "relayed": True}))
            self.assertEqual(self.relayed(), [kick])
        self.assertEqual(self.gateway.directory.kicked, [])

    def test_this_node(self) -> None:
        """With scope=node the connections of this node are closed at once, and nothing is relayed."""
        for path, body in (
            ("/internal/disconnect?scope=node", {"user_id": "42"}),
            ("/internal/users/42/disconnect?scope=node", None),
        ):
            self.gateway.directory.kicked.clear()
            self.assertEqual(self.ask("POST", path, body).document, {"disconnected": 2})
            self.assertEqual(len(self.gateway.directory.kicked), 2)
        self.assertEqual(self.relay.calls, [])

    def test_one_here(self) -> None:
        """A connection of this node is closed at once; nobody else has to know."""
        answer = self.ask("DELETE", "/internal/connections/c1?code=4001&reason=bye")
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertEqual(self.gateway.directory.kicked, [Kicked("c1", 4001, "bye")])
        self.assertEqual(self.relay.calls, [])

    def test_one_elsewhere(self) -> None:
        """Any other connection is looked for on all nodes."""
        answer = self.ask("DELETE", "/internal/connections/c9?code=4001&reason=bye")
        self.assertEqual((answer.status, answer.document), (202, {"relayed": True}))
        self.assertEqual(self.relay.documents, [encode_kick(Kick(4001, "bye", None, "c9"))])
        self.assert_problem(self.ask("DELETE", "/internal/connections/c9?scope=node"), 404)
        self.assertEqual(len(self.relay.calls), 1)


class RefusedTests(Case):
    def test_scopes(self) -> None:
        """A scope that does not exist is refused before anything happens."""
        for method, path, body in CALLS:
            self.assert_problem(self.ask(method, f"{path}?scope=world", body), 422, "scope")
        self.assertEqual(self.relay.calls, [])

    def test_no_broker(self) -> None:
        """Without a broker there is no cluster to reach, and the answer says so."""
        self.gateway = Gateway()
        for method, path, body in CALLS:
            answer = self.ask(method, f"{path}?scope=cluster", body)
            self.assert_problem(answer, 422, "scope")
            self.assertIn("needs a broker", answer.document["detail"])
        self.assertEqual(self.gateway.delivery.delivered, [])

    def test_broker_down(self) -> None:
        """A broker that is not there is 503 with Retry-After; nobody says that nothing happened."""
        self.relay.failure = BrokerDown("secret.example:6379 is not there")
        for method, path, body in CALLS:
            answer = self.ask(method, path, body)
            self.assert_problem(answer, 503)
            self.assertEqual(answer.header("retry-after"), "1")
            self.assertIn("nobody knows", answer.document["detail"])
            self.assertNotIn(b"secret", answer.body)
        self.assertEqual(self.gateway.metrics.value("publish_total"), 0)
        self.assertEqual([span.error for span in self.gateway.tracer.spans], ["BrokerDown"] * 2)

    def test_broker_refuses(self) -> None:
        """What the broker refuses is 503 with the broker's own word."""
        self.relay.failure = BrokerRefused("NOPERM", "user secret may not")
        for method, path, body in CALLS:
            answer = self.ask(method, path, body)
            self.assert_problem(answer, 503)
            self.assertEqual(answer.header("retry-after"), "1")
            self.assertIn("NOPERM", answer.document["detail"])
            self.assertNotIn(b"secret", answer.body)

    def test_relay_full(self) -> None:
        """A relay with too much under way is 503, too."""
        self.relay.failure = Overloaded("full")
        self.assert_problem(self.ask("POST", "/internal/publish", BODY), 503)
