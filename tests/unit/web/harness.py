"""The whole HTTP side over an in-memory transport: a request in, an answer out."""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource
from twisted.web.server import Request

from ws_gateway.domain.messages import ConnectionView
from ws_gateway.interfaces import IReadiness
from ws_gateway.testing.inspector import FakeInspector
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.presence import FakePresenceStore
from ws_gateway.testing.relay import FakeRelay
from ws_gateway.testing.tracing import FakeTracer
from ws_gateway.testing.web import FakeDelivery, FakeDirectory
from ws_gateway.web.channel import GatewayChannel
from ws_gateway.web.console.tree import console_tree
from ws_gateway.web.guard import KeyRing
from ws_gateway.web.limits import HttpLimits
from ws_gateway.web.resource import ApiResource
from ws_gateway.web.site import GatewaySite
from ws_gateway.web.tree import Surface, build_root

KEY = "canary-key-1"
OTHER_KEY = "canary-key-2"

__all__ = ["KEY", "OTHER_KEY", "Answer", "Gateway", "WebTestCase", "read_answers", "view"]


@frozen
class Answer:
    """A response as a client reads it. Header names are in lower case, repeated lines one list."""

    status: int
    headers: Mapping[str, list[str]]
    body: bytes

    @property
    def document(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        return ", ".join(self.headers[name]) if name in self.headers else None


def read_answers(data: bytes, methods: Iterable[str] = ()) -> list[Answer]:
    """Everything that a server wrote; interim answers are left out.

    :param methods: of the requests, where one of them is HEAD.
    """
    answers: list[Answer] = []
    asked = list(methods)
    while data:
        head, separator, data = data.partition(b"\r\n\r\n")
        assert separator, f"an answer without an end: {head!r}"
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split(" ")[1])
        if status == 100:
            continue
        headers: dict[str, list[str]] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            headers.setdefault(name.lower(), []).append(value)
        size = int(headers.get("content-length", ["0"])[0])
        if len(asked) > len(answers) and asked[len(answers)] == "HEAD":
            size = 0
        body, data = data[:size], data[size:]
        assert len(body) == size, "a body that is shorter than promised"
        answers.append(Answer(status, headers, body))
    return answers


def view(connection_id: str, user_id: str = "42", *subjects: str) -> ConnectionView:
    return ConnectionView(
        connection_id, user_id, (f"user:{user_id}", *subjects), 1_700_000_000, 1_700_000_060, "192.0.2.7"
    )


class _Feed(ApiResource):
    """What takes the handshakes of consoles, where nobody shakes hands."""

    isLeaf = True

    def render_GET(self, request: Request) -> bytes:
        return b"feed"


class Gateway:
    """The HTTP side with fakes behind it."""

    def __init__(
        self,
        views: Iterable[ConnectionView] = (),
        readiness: Sequence[IReadiness] = (),
        api_keys: Sequence[str] = (KEY, OTHER_KEY),
        metrics_token: str | None = None,
        upgrade: IResource | None = None,
        feed: IResource | None = None,
        ws_path: str = "/ws",
        surface: Surface = Surface.WHOLE,
        limits: HttpLimits | None = None,
        relay: FakeRelay | None = None,
        presence: FakePresenceStore | None = None,
    ) -> None:
        views = list(views)
        self.clock = Clock()
        self.delivery = FakeDelivery()
        self.directory = FakeDirectory(views)
        self.metrics = FakeMetrics()
        self.accepts: list[str | None] = []
        self.inspector = FakeInspector(list(views))
        self.tickets: list[str] = []
        self.tracer = FakeTracer()
        limits = limits or HttpLimits(max_body_bytes=1000, keepalive_seconds=120, request_seconds=30)
        self.root = build_root(
            delivery=self.delivery,
            directory=self.directory,
            readiness=readiness,
            metrics=self.metrics,
            render_metrics=self._render_metrics,
            api_keys=KeyRing(api_keys),
            metrics_token=KeyRing([metrics_token] if metrics_token else []),
            clock=self.clock,
            limits=limits,
            upgrade=upgrade,
            console=console_tree(self.inspector, self._issue, feed or _Feed()),
            ws_path=ws_path,
            surface=surface,
            tracer=self.tracer,
            relay=relay,
            presence=presence,
        )
        self.site = GatewaySite(self.root, self.clock, limits, self.metrics)

    def _issue(self) -> str:
        self.tickets.append(f"ticket-{len(self.tickets)}")
        return self.tickets[-1]

    def _render_metrics(self, accept: str | None) -> tuple[bytes, str]:
        self.accepts.append(accept)
        return b"ws_connections_total 0\n", "text/plain; version=0.0.4"

    def connect(self) -> tuple[GatewayChannel, StringTransport]:
        channel = self.site.buildProtocol(IPv4Address("TCP", "192.0.2.1", 50000))
        transport = StringTransport()
        channel.makeConnection(transport)
        return channel, transport

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] | None = None,
        key: str | None = KEY,
        headers: Iterable[str] = (),
    ) -> Answer:
        """One request on a connection of its own.

        :param body: a dict goes out as JSON with its content type.
        :param key: in X-Api-Key; None: without.
        """
        _, transport = self.begin(method, path, body, key, headers)
        (answer,) = read_answers(transport.value(), [method])
        return answer

    def begin(
        self,
        method: str,
        path: str,
        body: bytes | dict[str, Any] | None = None,
        key: str | None = KEY,
        headers: Iterable[str] = (),
    ) -> tuple[GatewayChannel, StringTransport]:
        lines = [f"{method} {path} HTTP/1.1", "Host: gateway", *headers]
        if isinstance(body, dict):
            body = json.dumps(body).encode()
            if not any(line.lower().startswith("content-type:") for line in lines):
                lines.append("Content-Type: application/json")
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        if key is not None:
            lines.append(f"X-Api-Key: {key}")
        channel, transport = self.connect()
        channel.dataReceived("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))
        return channel, transport


class WebTestCase(SynchronousTestCase):
    """Asserts on answers."""

    def assert_problem(self, answer: Answer, status: int, field: str | None = None) -> None:
        """An answer is a problem document as RFC 9457 wants it."""
        self.assertEqual((answer.status, answer.body), (status, answer.body))
        self.assertEqual(answer.header("content-type"), "application/problem+json")
        document = answer.document
        self.assertEqual(document["status"], status)
        self.assertEqual(document["type"], "about:blank")
        self.assertTrue(document["title"])
        self.assertTrue(document["detail"])
        self.assertEqual(document.get("field"), field)
        self.assertNotIn(b"Traceback", answer.body)
