"""POST /internal/publish/batch."""

import json

from tests.unit.web.harness import KEY, Gateway, WebTestCase, read_answers
from ws_gateway.web.limits import HttpLimits

ONE = {"subjects": ["user:1"], "payload": 1}
TWO = {"subjects": ["user:2"], "payload": 2}


class BatchTests(WebTestCase):
    def setUp(self) -> None:
        self.gateway = Gateway(limits=HttpLimits())
        self.delivery = self.gateway.delivery

    def test_in_order(self) -> None:
        """Publications are delivered in order, in one call, and answered in order."""
        self.delivery.waiting = []
        _, transport = self.gateway.begin("POST", "/internal/publish/batch", {"publications": [ONE, TWO]})
        self.assertEqual([p.payload for p in self.delivery.delivered], [b"1", b"2"])
        self.assertEqual(len(self.delivery.waiting), 1)
        self.delivery.waiting[0].callback([5, 0])
        self.assertEqual(read_answers(transport.value())[0].document, {"sent": [5, 0]})
        self.assertEqual(self.gateway.metrics.value("publish_total"), 2)

    def test_all_or_none(self) -> None:
        """One bad publication stops them all, and its index is named."""
        publications = [ONE, TWO, {"subjects": ["a"]}]
        answer = self.gateway.ask("POST", "/internal/publish/batch", {"publications": publications})
        self.assert_problem(answer, 422, "publications[2].payload")
        self.assertEqual(self.delivery.delivered, [])

    def test_sizes(self) -> None:
        """1 to 1,000 publications make a batch."""
        for count, status in [(0, 422), (1, 200), (1000, 200), (1001, 422)]:
            answer = self.gateway.ask("POST", "/internal/publish/batch", {"publications": [ONE] * count})
            self.assertEqual((count, answer.status), (count, status))
        self.assertEqual(len(self.delivery.delivered), 1001)

    def test_wrong_documents(self) -> None:
        """What is no batch is refused by name."""
        for body, status, field in [
            (b"{", 400, None),
            (b"[]", 422, None),
            (b"{}", 422, "publications"),
            (b'{"publications":{}}', 422, "publications"),
            (b'{"publications":[3]}', 422, "publications[0]"),
        ]:
            self.assert_problem(self.gateway.ask("POST", "/internal/publish/batch", body), status, field)

    def test_scope_and_overload(self) -> None:
        """Scope and a full queue are answered as for one publication."""
        body = json.dumps({"publications": [ONE], "api_key": KEY}).encode()
        path = "/internal/publish/batch"
        self.assert_problem(self.gateway.ask("POST", f"{path}?scope=x", body, key=None), 422, "scope")
        self.delivery.overloaded = True
        self.assert_problem(self.gateway.ask("POST", path, body, key=None), 503)

    def test_nothing_below(self) -> None:
        """A path below the call is nothing."""
        self.assert_problem(self.gateway.ask("POST", "/internal/publish/batch/x", {}), 404)
        self.assert_problem(self.gateway.ask("POST", "/internal/publish/", ONE), 404)
