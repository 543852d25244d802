"""`TRACING=1`: the real daemon's spans as a collector gets them, and contexts all the way round."""

import signal
import threading
from collections.abc import Mapping
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar
from urllib.parse import quote

from attrs import frozen
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from tests.integration.harness.canary import leaks, secret
from tests.integration.harness.case import HookedTestCase
from tests.integration.harness.receiver import Hook, Reply
from tests.integration.harness.tokens import fresh_user
from tests.integration.harness.waiting import until

COLLECTOR_KEY = secret("collector")
TRACE_ID = "4bf92f3577b34da6a3ce929d0e0e4736"
CLIENT = "00f067aa0ba902b7"


def context(span_id: str = CLIENT, trace_id: str = TRACE_ID, flags: str = "01") -> str:
    return f"00-{trace_id}-{span_id}-{flags}"


@frozen
class Seen:
    """A span as it arrived, its ids in hex."""

    name: str
    kind: int
    trace_id: str
    span_id: str
    parent_id: str
    attributes: dict[str, Any]
    failed: bool

    @classmethod
    def of(cls, span: Span) -> "Seen":
        values = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
        return cls(
            span.name,
            span.kind,
            span.trace_id.hex(),
            span.span_id.hex(),
            span.parent_span_id.hex(),
            values,
            span.status.code == Status.STATUS_CODE_ERROR,
        )


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Collector"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.take(self.path, self.headers, body)
        self.send_response(200)
        self.send_header("Content-Type", "application/x-protobuf")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP.

    :ivar spans: what came.
    :ivar resources: who sent it, the attributes of each request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.spans: list[Seen] = []
        self.resources: list[dict[str, Any]] = []
        self.bodies: list[bytes] = []
        self.faults: list[str] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self, path: str, headers: Message, body: bytes) -> None:
        asked = (path, headers["Content-Type"], headers["Authorization"])
        if asked != ("/v1/traces", "application/x-protobuf", f"Bearer {COLLECTOR_KEY}"):
            self.faults.append(str(asked))
        request = ExportTraceServiceRequest.FromString(body)
        self.bodies.append(body)
        for group in request.resource_spans:
            about = {one.key: one.value.string_value for one in group.resource.attributes}
            self.resources.append(about)
            self.spans.extend(Seen.of(span) for scope in group.scope_spans for span in scope.spans)

    def of_trace(self, trace_id: str, name: str) -> list[Seen]:
        return [span for span in list(self.spans) if (span.trace_id, span.name) == (trace_id, name)]

    def wait(self, trace_id: str, name: str, count: int = 1) -> list[Seen]:
        """Wait for so many spans."""

        def look() -> list[Seen] | None:
            found = self.of_trace(trace_id, name)
            return found if len(found) >= count else None

        return until(look, f"{count} span(s) {name} of {trace_id}", lambda: str(self.spans))

    def stop(self) -> None:
        self.shutdown()
        self.server_close()


def traced(url: str) -> dict[str, str | None]:
    """Settings of a gateway that sends its spans there."""
    return {
        "TRACING": "1",
        "NODE_ID": "node-1",
        "OTEL_EXPORTER_OTLP_ENDPOINT": url,
        "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={quote(f'Bearer {COLLECTOR_KEY}')}",
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }


class TracingTests(HookedTestCase):
    """A collector that works."""

    collector: ClassVar[Collector]

    @classmethod
    def setUpClass(cls) -> None:
        cls.collector = Collector()
        super().setUpClass()

    @classmethod
    def tearDownClass(cls) -> None:
        super().tearDownClass()
        cls.collector.stop()
        assert cls.collector.faults == []
        assert leaks(cls.collector.bodies) == []

    @classmethod
    def all_settings(cls) -> Mapping[str, str | None]:
        return {**super().all_settings(), **traced(cls.collector.url)}

    def test_all_the_way_round(self) -> None:
        """From the client's message to the webhook, and from there through a publication: one trace."""
        user = fresh_user()
        handshake = "1" * 32
        client = self.open(user, headers=[("traceparent", context(trace_id=handshake))])
        client.send_json({"type": "chat", "traceparent": context()})
        hook = self.receiver.wait_attempts(user, 1, "message_received")[0]
        (webhook,) = self.collector.wait(TRACE_ID, "webhook message_received")
        self.assertEqual(hook.event["traceparent"], context())
        self.assertEqual(hook.headers["traceparent"], context(webhook.span_id))
        self.assertEqual((webhook.parent_id, webhook.kind), (CLIENT, Span.SPAN_KIND_CLIENT))
        self.assertEqual(
            webhook.attributes,
            {
                "http.request.method": "POST",
                "server.address": "127.0.0.1",
                "http.response.status_code": 204,
                "ws.event_id": hook.event["event_id"],
                "ws.connection_id": hook.event["connection_id"],
            },
        )
        # The backend goes on in the trace of its request, in the field or in the header.
        document = {"subjects": [f"user:{user}"], "payload": 1}
        self.daemon.publish(**document, traceparent=hook.headers["traceparent"])
        (publish,) = self.collector.wait(TRACE_ID, "publish")
        self.assertEqual((publish.parent_id, publish.kind), (webhook.span_id, Span.SPAN_KIND_SERVER))
        self.assertEqual(publish.attributes, {"ws.connections": 1})
        answer = self.daemon.call("POST", "/internal/publish", document, headers={"traceparent": context()})
        self.assertEqual(answer.json(), {"sent": 1})
        self.assertEqual(self.collector.wait(TRACE_ID, "publish", 2)[1].parent_id, CLIENT)
        self.assertEqual([client.read_json(), client.read_json()], [{"type": "event", "payload": 1}] * 2)
        # What has no context of its own belongs to the handshake.
        (connect,) = self.collector.wait(handshake, "connect")
        (connected,) = self.collector.wait(handshake, "webhook connected")
        self.assertEqual((connect.parent_id, connected.parent_id), (CLIENT, CLIENT))
        client.close()
        self.collector.wait(handshake, "webhook disconnected")

    def test_who_sends(self) -> None:
        """Spans say which node they are of."""
        self.open(headers=[("traceparent", context(trace_id="2" * 32))])
        self.collector.wait("2" * 32, "connect")
        about = self.collector.resources[-1]
        self.assertEqual((about["service.name"], about["service.instance.id"]), ("ws-gateway", "node-1"))

    def test_attempts(self) -> None:
        """Every attempt is a span of its own; a refused handshake says why."""
        trace_id, user = "3" * 32, fresh_user()
        replies = iter((503, 500, 204))

        def answer(hook: Hook) -> Reply:
            ours = hook.event.get("traceparent") == context(trace_id=trace_id)
            return Reply(next(replies)) if ours else Reply()

        self.addCleanup(setattr, self.receiver, "answer", self.receiver.answer)
        self.receiver.answer = answer
        self.open(user).send_json({"traceparent": context(trace_id=trace_id)})
        spans = self.collector.wait(trace_id, "webhook message_received", 3)
        self.assertEqual(
            [
                (span.attributes["http.response.status_code"], span.attributes.get("error.type"), span.failed)
                for span in spans
            ],
            [(503, "TargetDown", True), (500, "EventFailed", True), (204, None, False)],
        )
        headers = [hook.headers["traceparent"] for hook in self.receiver.attempts(user, "message_received")]
        self.assertEqual(headers, [context(span.span_id, trace_id) for span in spans])
        refused = self.raw().handshake("nonsense", headers=[("traceparent", context(trace_id="4" * 32))])
        self.assertEqual(refused.read_close(), (4401, "unauthorized"))
        (span,) = self.collector.wait("4" * 32, "connect")
        self.assertEqual((span.attributes, span.failed), ({"error.type": "malformed"}, True))

    def test_not_recorded(self) -> None:
        """A client that does not record its trace is obeyed, and its backend told so."""
        user, trace_id = fresh_user(), "5" * 32
        self.open(user).send_json({"traceparent": context(trace_id=trace_id, flags="00")})
        hook = self.receiver.wait_attempts(user, 1, "message_received")[0]
        _, told, span_id, flags = hook.headers["traceparent"].split("-")
        self.assertEqual((told, flags), (trace_id, "00"))
        self.assertNotEqual(span_id, CLIENT)
        self.open(headers=[("traceparent", context(trace_id="6" * 32))])
        self.collector.wait("6" * 32, "connect")
        self.assertEqual(self.collector.of_trace(trace_id, "webhook message_received"), [])

    def test_last_spans(self) -> None:
        """What waits when the gateway stops is sent on the way down, the last events' spans too."""
        daemon = self.start({"OTEL_BSP_SCHEDULE_DELAY": "3600000", "WS_CLOSE_TIMEOUT_SECONDS": "0.2"})
        trace_id = "7" * 32
        self.open(daemon=daemon, headers=[("traceparent", context(trace_id=trace_id))]).ping_pong()
        self.assertEqual(self.collector.of_trace(trace_id, "connect"), [])
        self.assertEqual(daemon.stop(), -signal.SIGTERM)
        for name in ("connect", "webhook connected", "webhook disconnected"):
            self.assertEqual(len(self.collector.of_trace(trace_id, name)), 1, name)


class NoCollectorTests(HookedTestCase):
    """A collector that is not there."""

    shared = False

    def test_nobody_minds(self) -> None:
        """Clients and events do not notice, and the stop does not wait for long."""
        collector = Collector()
        collector.stop()
        daemon = self.start(traced(collector.url))
        user = fresh_user()
        client = self.open(user, daemon=daemon)
        client.send_json({"type": "chat"})
        client.ping_pong()
        client.close()
        self.assertEqual(len(self.receiver.wait_end(user)), 3)
        self.assertEqual(daemon.metric("trace_spans_exported_total"), 0)
        self.assertEqual(daemon.stop(), -signal.SIGTERM)
        self.assertTrue(daemon.found("could not be sent in time") or daemon.found("ailed to export"))

    def test_off(self) -> None:
        """Without `TRACING` the header is the context of the client itself, and nothing is exported."""
        collector = Collector()
        self.addCleanup(collector.stop)
        daemon = self.start({**traced(collector.url), "TRACING": None})
        user = fresh_user()
        client = self.open(user, daemon=daemon)
        client.send_json({"traceparent": context()})
        hook = self.receiver.wait_attempts(user, 1, "message_received")[0]
        self.assertEqual(hook.headers["traceparent"], context())
        client.close()
        self.assertEqual(daemon.stop(), -signal.SIGTERM)
        self.assertEqual(collector.bodies, [])
