"""docs/openapi.json says what the tree does."""

import json
from pathlib import Path
from typing import Any

from tests.unit.web.harness import Gateway, WebTestCase, view
from ws_gateway.errors import BrokerDown
from ws_gateway.testing.presence import FakePlace, FakePresenceStore
from ws_gateway.testing.relay import FakeRelay
from ws_gateway.testing.web import FakeReadiness

DOCUMENT = Path(__file__).parents[3] / "docs" / "openapi.json"
METHODS = ("GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS")


class OpenApiTests(WebTestCase):
    def setUp(self) -> None:
        self.document: dict[str, Any] = json.loads(DOCUMENT.read_text("utf-8"))
        self.gateway = Gateway([view("c1", "u1")], [FakeReadiness("x", "degraded", "why")])

    def calls(self) -> list[tuple[str, str, dict[str, Any]]]:
        return [
            (path.format(user_id="u1", connection_id="c1"), method.upper(), operation)
            for path, operations in self.document["paths"].items()
            for method, operation in operations.items()
        ]

    def test_methods(self) -> None:
        """A path knows the methods that the document names, and no others."""
        for path in {path for path, _, _ in self.calls()}:
            documented = {method for found, method, _ in self.calls() if found == path}
            known = {method for method in METHODS if self.gateway.ask(method, path).status != 405}
            self.assertEqual((path, known), (path, documented))

    def test_statuses(self) -> None:
        """With and without a key, with and without a body, only documented statuses come."""
        for path, method, operation in self.calls():
            for key in (None, "wrong", "canary-key-1"):
                for body in (None, b"{", {}, {"subjects": ["a"], "payload": 1}):
                    answer = self.gateway.ask(method, path + "?scope=node", body, key=key)
                    self.assertIn(str(answer.status), operation["responses"], f"{method} {path}")

    def test_cluster(self) -> None:
        """The same with a broker: there or not, relayed or not."""
        for failure in (None, BrokerDown("down")):
            place = FakePlace(failure=failure)
            gateway = Gateway(
                [view("c9", "u1")], relay=FakeRelay(failure=failure), presence=FakePresenceStore(place)
            )
            for path, method, operation in self.calls():
                for body in (None, {"subjects": ["a"], "payload": 1}, {"user_id": "u1"}):
                    answer = gateway.ask(method, path + "?scope=cluster&limit=5", body)
                    self.assertIn(str(answer.status), operation["responses"], f"{method} {path}")
                    if failure is None and b"relayed" in answer.body:
                        schema = operation["responses"][str(answer.status)]["content"]["application/json"]
                        self.assertEqual(set(answer.document), set(schema["schema"]["properties"]))

    def test_security(self) -> None:
        """What asks for a key is documented so, and what does not is open."""
        for path, method, operation in self.calls():
            status = self.gateway.ask(method, path, key=None).status
            self.assertEqual((path, status == 401), (path, {"apiKey": []} in operation["security"]))

    def test_references(self) -> None:
        """Every reference leads somewhere, and every call has a name of its own."""
        text = DOCUMENT.read_text("utf-8")
        for piece in text.split('"$ref": "#/')[1:]:
            found: Any = self.document
            for name in piece.partition('"')[0].split("/"):
                found = found[name]
        names = [operation["operationId"] for _, _, operation in self.calls()]
        self.assertEqual(len(names), len(set(names)))

    def test_members(self) -> None:
        """A connection and a check have the members that are documented."""
        schemas = self.document["components"]["schemas"]
        (connection,) = self.gateway.ask("GET", "/internal/connections").document["connections"]
        self.assertEqual(set(connection), set(schemas["Connection"]["properties"]))
        ready = self.document["paths"]["/ready"]["get"]["responses"]["200"]["content"]["application/json"]
        self.assertEqual(set(self.gateway.ask("GET", "/ready").document), set(ready["schema"]["properties"]))
