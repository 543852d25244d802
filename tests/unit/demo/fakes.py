"""A gateway that does what a test tells it, as the demo's own code sees it."""

from __future__ import annotations

import json
from typing import Any

from treq.testing import StubTreq
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import Request

from ws_gateway.backend import Call, Calls, Connected, Disconnected, MessageReceived
from ws_gateway.demo.gateway import GatewayDown

CALLS = Calls("http://gateway.example:8180", "key-1")


class HeldGateway:
    """Keeps every call until the test answers it."""

    def __init__(self) -> None:
        self.calls: list[Call[int]] = []
        self._answers: list[Deferred[int]] = []
        self.cancelled = 0

    def send(self, call: Call[int]) -> Deferred[int]:
        self.calls.append(call)
        answer: Deferred[int] = Deferred(self._cancel)
        self._answers.append(answer)
        return answer

    def _cancel(self, _: Deferred[int]) -> None:
        self.cancelled += 1

    @property
    def payloads(self) -> list[Any]:
        """What was to be published, in the order of the calls."""
        return [json.loads(call.body or b"null")["payload"] for call in self.calls]

    def succeed(self) -> None:
        self._answers.pop(0).callback(1)

    def fail(self, error: Exception | None = None) -> None:
        self._answers.pop(0).errback(error or GatewayDown("it is away"))


class GatewayResource(Resource):
    """The HTTP side of a gateway: records requests, answers what it was told to."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.requests: list[tuple[bytes, bytes, bytes | None, bytes]] = []
        self.status = 200
        self.answer = b'{"sent":1,"connections":[]}'

    def render(self, request: Request) -> bytes:
        content = request.content.read()
        key = request.requestHeaders.getRawHeaders(b"x-api-key", [None])[0]
        self.requests.append((request.method, request.uri, key, content))
        request.setResponseCode(self.status)
        return self.answer


def web_client(resource: Resource) -> StubTreq:
    """A client of a resource, without a network."""
    return StubTreq(resource)


def connected(connection_id: str, user_id: str) -> Connected:
    return Connected(
        connection_id=connection_id, user_id=user_id, subjects=(f"user:{user_id}",), connected_at=1700000000
    )


def disconnected(connection_id: str, user_id: str) -> Disconnected:
    return Disconnected(
        connection_id=connection_id, user_id=user_id, subjects=(f"user:{user_id}",), connected_at=1700000000
    )


def message(connection_id: str, user_id: str, content: dict[str, Any]) -> MessageReceived:
    return MessageReceived(
        connection_id=connection_id,
        user_id=user_id,
        subjects=(f"user:{user_id}",),
        connected_at=1700000000,
        message=content,
        raw=json.dumps(content),
    )
