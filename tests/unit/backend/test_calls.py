"""Requests to the gateway's HTTP API and the reading of its answers, without any network."""

import json
from collections.abc import Mapping
from typing import Any

from twisted.trial import unittest

from ws_gateway.backend import Calls, Connection, GatewayError, Publication

KEY = "canary-key"
CALLS = Calls("http://gateway:8180", KEY)
GET = {"X-Api-Key": KEY, "Accept": "application/json"}
POST = {**GET, "Content-Type": "application/json"}
LISTED = {
    "connection_id": "c1",
    "user_id": "42",
    "subjects": ["user:42", "channel:a"],
    "connected_at": 1700000000,
}


def answer(document: Any) -> bytes:
    """A body."""
    return json.dumps(document).encode()


class RequestTests(unittest.SynchronousTestCase):
    """What is sent."""

    def assertRequest(
        self, call: Any, method: str, url: str, headers: Mapping[str, str], document: Any = None
    ) -> None:
        """The call is this request, and its text form shows no key."""
        body = None if call.body is None else json.loads(call.body)
        self.assertEqual((call.method, call.url, call.headers, body), (method, url, headers, document))
        self.assertNotIn(KEY, repr(call))

    def test_publish(self) -> None:
        """Publishing posts one publication."""
        call = CALLS.publish(["user:42"], {"a": 1}, traceparent="t", exclude=["c1"])
        document = {"subjects": ["user:42"], "payload": {"a": 1}, "traceparent": "t", "except": ["c1"]}
        self.assertRequest(call, "POST", "http://gateway:8180/internal/publish", POST, document)

    def test_publish_batch(self) -> None:
        """A batch posts several."""
        call = CALLS.publish_batch([Publication(["a"], 1), Publication(["b"], 2)])
        publications = [{"subjects": ["a"], "payload": 1}, {"subjects": ["b"], "payload": 2}]
        url = "http://gateway:8180/internal/publish/batch"
        self.assertRequest(call, "POST", url, POST, {"publications": publications})

    def test_connections(self) -> None:
        """Filters stand in the query, escaped; without filters there is no query."""
        url = "http://gateway:8180/internal/connections"
        self.assertRequest(CALLS.connections(), "GET", url, GET)
        call = CALLS.connections(subject="channel:a&b", user_id="zoë/1 ?")
        query = "?subject=channel%3Aa%26b&user_id=zo%C3%AB%2F1+%3F"
        self.assertRequest(call, "GET", url + query, GET)
        self.assertRequest(CALLS.connections(user_id=""), "GET", url + "?user_id=", GET)
        self.assertRequest(CALLS.connections(scope="cluster"), "GET", url + "?scope=cluster", GET)

    def test_disconnect(self) -> None:
        """Whom, with which code, and a reason if there is one."""
        url = "http://gateway:8180/internal/disconnect"
        self.assertRequest(CALLS.disconnect("42"), "POST", url, POST, {"user_id": "42", "code": 4403})
        call = CALLS.disconnect("42", "c1", 4000, "grüße")
        document = {"user_id": "42", "connection_id": "c1", "code": 4000, "reason": "grüße"}
        self.assertRequest(call, "POST", url, POST, document)
        self.assertRaises(ValueError, CALLS.disconnect)

    def test_base_url(self) -> None:
        """A path, a slash at the end, IPv6 and blanks around are fine."""
        for base, url in (
            ("https://example.com/gw/", "https://example.com/gw/internal/publish"),
            (" http://[::1]:8180\n", "http://[::1]:8180/internal/publish"),
            ("HTTP://gateway", "HTTP://gateway/internal/publish"),
        ):
            self.assertEqual(Calls(base, KEY).publish(["a"], 1).url, url)

    def test_bad_base_url(self) -> None:
        """Anything else is refused at once; a password in it is not shown."""
        for base in (
            "",
            "gateway:8180",
            "ftp://gateway",
            "http://",
            "http://:8180",
            "http://gateway:port",
            "http://gateway:99999",
            "http://gateway:0",
            "http://[::1",
            "http://gateway/?a=1",
            "http://gateway/#a",
            "http://gate way",
            "http://gateway/ü",
            "http://gateway/\x00",
        ):
            self.assertRaises(ValueError, Calls, base, KEY)
        for base in (f"http://any:{KEY}@gateway", f"http://any:{KEY}/x@gateway"):
            error = self.assertRaises(ValueError, Calls, base, "other")
            self.assertNotIn(KEY, str(error))

    def test_bad_key(self) -> None:
        """A key that no header can carry, or none, is refused and not shown; blanks around are taken off."""
        self.assertEqual(Calls("http://gateway", f" {KEY}\n").connections().headers["X-Api-Key"], KEY)
        for key in ("", " ", "a\r\nX-Other: b", "ключ", "a\x00b"):
            error = self.assertRaises(ValueError, Calls, "http://gateway", key)
            self.assertNotIn("Other", str(error))


class ResultTests(unittest.SynchronousTestCase):
    """What answers mean."""

    def test_counts(self) -> None:
        """Publishing and disconnecting answer counts; other members are ignored."""
        self.assertEqual(CALLS.publish(["a"], 1).result(200, answer({"sent": 3, "relayed": True})), 3)
        self.assertEqual(CALLS.publish_batch([]).result(200, answer({"sent": [0, 2]})), [0, 2])
        self.assertEqual(CALLS.disconnect("42").result(200, answer({"disconnected": 1})), 1)

    def test_connections(self) -> None:
        """Connections come as values, with or without the added members."""
        more = {**LISTED, "connection_id": "c2", "last_seen_at": 1700000009, "client_ip": None, "new": 1}
        found = CALLS.connections().result(200, answer({"connections": [LISTED, more]}))
        subjects = ("user:42", "channel:a")
        self.assertEqual(
            found,
            [
                Connection("c1", "42", subjects, 1700000000),
                Connection("c2", "42", subjects, 1700000000, 1700000009),
            ],
        )

    def test_problem(self) -> None:
        """A refusal carries the problem document."""
        problem = {
            "type": "https://example.com/p",
            "title": "Unprocessable Content",
            "status": 422,
            "detail": "publications[3].subjects is empty",
            "field": "publications[3].subjects",
        }
        error = self.assertRaises(GatewayError, CALLS.publish(["a"], 1).result, 422, answer(problem))
        self.assertEqual(
            (error.status, error.type, error.title, error.detail),
            (422, *list(problem.values())[:2], problem["detail"]),
        )
        self.assertEqual(error.problem, problem)
        self.assertEqual(str(error), "Unprocessable Content: publications[3].subjects is empty")

    def test_other_refusals(self) -> None:
        """A refusal that is no problem document, from a proxy perhaps, has its status."""
        for status, body in (
            (502, b"<html>"),
            (302, b""),
            (204, b""),
            (401, b'{"title":1}'),
            (500, b"\xff"),
            (404, b"[]"),
        ):
            error = self.assertRaises(GatewayError, CALLS.publish(["a"], 1).result, status, body)
            self.assertEqual((error.status, error.title, error.detail), (status, f"HTTP {status}", ""))
            self.assertEqual((error.type, error.problem, str(error)), ("about:blank", {}, f"HTTP {status}"))
        error = self.assertRaises(
            GatewayError, CALLS.publish(["a"], 1).result, 401, b'{"detail":"no","type":7}'
        )
        self.assertEqual((error.title, error.detail, error.type), ("HTTP 401", "no", "about:blank"))

    def test_not_understood(self) -> None:
        """A 200 that does not say what it must is an error, never a number made up."""
        for call, documents in (
            (CALLS.publish(["a"], 1), ({}, [], {"sent": "3"}, {"sent": True}, {"sent": None})),
            (CALLS.publish_batch([]), ({"sent": 3}, {"sent": [1, "2"]}, {"sent": [True]})),
            (CALLS.disconnect("42"), ({"sent": 1},)),
            (CALLS.connections(), ({"connections": {}}, {"connections": [1]}, {"connections": [{}]})),
            (CALLS.connections(), ({"connections": [{**LISTED, "subjects": "a"}]},)),
        ):
            for document in documents:
                error = self.assertRaises(GatewayError, call.result, 200, answer(document))
                self.assertEqual(error.status, 200)
                self.assertTrue(error.detail)
        error = self.assertRaises(GatewayError, CALLS.publish(["a"], 1).result, 200, b"<html>")
        self.assertIn("not JSON", error.detail)
