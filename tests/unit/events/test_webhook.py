"""The webhook sink on a fake agent and a fake clock: headers, one deadline, what is unexpected."""

from __future__ import annotations

import base64
import hmac
from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ws_gateway.domain.messages import Envelope, Receipt
from ws_gateway.domain.spans import UNTRACED, SpanKind
from ws_gateway.errors import EventFailed, TargetDown
from ws_gateway.events.webhook import WebhookSink
from ws_gateway.interfaces import IEventSink, ITracer
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.sinks import make_envelope
from ws_gateway.testing.tracing import FakeTracer

TRACEPARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


class FakeResponse:
    """An answer whose body comes when the test says so."""

    def __init__(self, code: int) -> None:
        self.code = code
        self.headers = Headers()
        self.body: Protocol | None = None
        self.transport = StringTransport()

    def deliverBody(self, protocol: Protocol) -> None:
        """Keep the reader."""
        self.body = protocol
        protocol.makeConnection(self.transport)

    def end(self) -> None:
        """The body is complete."""
        self.body.connectionLost(Failure(ResponseDone()))


@implementer(IAgent)
class FakeAgent:
    """Records requests; the test answers them."""

    def __init__(self) -> None:
        self.requests: list[tuple[bytes, bytes, Headers, bytes]] = []
        self.answers: list[Deferred[Any]] = []
        self.default: Deferred[Any] | None = None

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: Any = None
    ) -> Deferred[Any]:
        """Answer later."""
        consumer = StringTransport()
        bodyProducer.startProducing(consumer)
        assert bodyProducer.length == len(consumer.value())
        self.requests.append((method, uri, headers, consumer.value()))
        answer: Deferred[Any] = self.default or Deferred()
        self.answers.append(answer)
        return answer


class WebhookSinkTests(SynchronousTestCase):
    """One exchange."""

    def setUp(self) -> None:
        self.agent = FakeAgent()
        self.clock = Clock()
        self.metrics = FakeMetrics()
        self.tracer: ITracer = UNTRACED
        self.closed = 0
        self.sink = self.make_sink("secret")

    def make_sink(self, *secrets: str) -> WebhookSink:
        """A sink on the fakes."""

        def close() -> Deferred[None]:
            self.closed += 1
            return succeed(None)

        return WebhookSink(
            agent=self.agent,
            url="http://backend/hook",
            secrets=secrets,
            clock=self.clock,
            wall_seconds=lambda: 1_700_000_000.9 + self.clock.seconds(),
            timeout=10,
            user_agent="ws-gateway/9.9",
            metrics=self.metrics,
            close_connections=close,
            tracer=self.tracer,
        )

    def headers_of(self, sink: WebhookSink, envelope: Envelope) -> dict[bytes, list[bytes]]:
        """What the request for an envelope carries."""
        sink.deliver([envelope])
        return dict(self.agent.requests[-1][2].getAllRawHeaders())

    def test_interface(self) -> None:
        """It is an event sink."""
        verifyObject(IEventSink, self.sink)

    def test_request(self) -> None:
        """The request has every header of the contract, and the event as it is."""
        envelope = make_envelope(1, traceparent=TRACEPARENT)
        headers = self.headers_of(self.sink, envelope)
        [(method, url, _, body)] = self.agent.requests
        self.assertEqual((method, url, body), (b"POST", b"http://backend/hook", envelope.body))
        signed = envelope.event_id.encode() + b".1700000000." + envelope.body
        standard = base64.b64encode(hmac.digest(b"secret", signed, "sha256"))
        expected = {
            b"content-type": b"application/json",
            b"user-agent": b"ws-gateway/9.9",
            b"x-webhook-signature": b"sha256="
            + hmac.digest(b"secret", envelope.body, "sha256").hex().encode(),
            b"webhook-id": envelope.event_id.encode(),
            b"webhook-timestamp": b"1700000000",
            b"webhook-signature": b"v1," + standard,
            b"traceparent": TRACEPARENT.encode(),
        }
        self.assertEqual(
            {name.lower(): values for name, values in headers.items()},
            {name: [value] for name, value in expected.items()},
        )

    def test_other_secrets(self) -> None:
        """Secrets that are replaced sign nothing any more, also when an event is tried again."""
        before = self.headers_of(self.sink, make_envelope())[b"X-Webhook-Signature"]
        self.sink.sign_with(["other"])
        after = self.headers_of(self.sink, make_envelope())[b"X-Webhook-Signature"]
        self.assertNotEqual(before, after)
        self.assertEqual(
            after, self.headers_of(self.make_sink("other"), make_envelope())[b"X-Webhook-Signature"]
        )
        self.sink.sign_with([])
        self.assertNotIn(b"X-Webhook-Signature", self.headers_of(self.sink, make_envelope()))

    def test_two_secrets(self) -> None:
        """While keys rotate there are two standard signatures and one fixed one."""
        headers = self.headers_of(self.make_sink("new", "old"), make_envelope())
        lowered = {name.lower(): values for name, values in headers.items()}
        self.assertEqual(len(lowered[b"webhook-signature"][0].split(b" ")), 2)
        self.assertEqual(len(lowered[b"x-webhook-signature"]), 1)

    def test_unsigned(self) -> None:
        """Without a secret there is no signature header, but id and timestamp."""
        names = {name.lower() for name in self.headers_of(self.make_sink(), make_envelope())}
        self.assertFalse({name for name in names if b"signature" in name})
        self.assertLessEqual({b"webhook-id", b"webhook-timestamp"}, names)

    def test_spans(self) -> None:
        """Where requests are traced each attempt is a span that goes on from the event's context, and its own
        context is what the target gets."""
        tracer = self.tracer = FakeTracer()
        sink = self.make_sink()
        envelope = make_envelope(1, traceparent=TRACEPARENT)
        for attempt, (code, error) in enumerate([(500, "EventFailed"), (204, "")]):
            headers = self.headers_of(sink, envelope)
            span = tracer.spans[attempt]
            self.assertEqual(span.name, f"webhook {envelope.type.value}")
            self.assertEqual((span.kind, span.parent, span.ended), (SpanKind.CLIENT, TRACEPARENT, 0))
            self.assertEqual(headers[b"Traceparent"], [span.traceparent.encode()])
            response = FakeResponse(code)
            self.agent.answers[-1].callback(response)
            response.end()
            self.assertEqual((span.ended, span.error), (1, error))
            self.assertEqual(
                span.notes,
                {
                    "http.request.method": "POST",
                    "server.address": "backend",
                    "ws.event_id": envelope.event_id,
                    "ws.connection_id": envelope.connection_id,
                    "http.response.status_code": code,
                },
            )

    def test_span_of_an_event_without_one(self) -> None:
        """An event without a context begins a trace; one that is no traceparent is none."""
        tracer = self.tracer = FakeTracer()
        sink = self.make_sink()
        for traceparent in (None, "00-x"):
            headers = self.headers_of(sink, evolve(make_envelope(), traceparent=traceparent))
            self.assertIsNone(tracer.spans[-1].parent)
            self.assertEqual(headers[b"Traceparent"], [tracer.spans[-1].traceparent.encode()])

    def test_span_without_an_answer(self) -> None:
        """A target that does not answer leaves a span that says so, without a status."""
        tracer = self.tracer = FakeTracer()
        self.make_sink().deliver([make_envelope()])
        self.clock.advance(11)
        (span,) = tracer.spans
        self.assertEqual((span.ended, span.error), (1, "TargetDown"))
        self.assertNotIn("http.response.status_code", span.notes)

    def test_signed_afresh(self) -> None:
        """A later attempt has the same id, a new timestamp and a new signature."""
        envelope = make_envelope()
        first = self.headers_of(self.sink, envelope)
        self.clock.advance(5)
        second = self.headers_of(self.sink, envelope)
        changed = {name.lower() for name in first if first[name] != second[name]}
        self.assertEqual(changed, {b"webhook-timestamp", b"webhook-signature"})

    def test_no_surprise_in_a_header(self) -> None:
        """A traceparent that is none, whoever let it in, does not become a header."""
        for value in ("00-x", TRACEPARENT + "\r\nX-Admin: 1", ""):
            envelope = evolve(make_envelope(), traceparent=value)
            names = {name.lower() for name in self.headers_of(self.sink, envelope)}
            self.assertNotIn(b"traceparent", names)
            self.assertNotIn(b"x-admin", names)

    def test_waits_for_the_body(self) -> None:
        """The delivery is over when the answer is, so that a key has one request under way."""
        result = self.sink.deliver([make_envelope()])
        response = FakeResponse(200)
        self.agent.answers[0].callback(response)
        self.assertNoResult(result)
        response.end()
        self.assertEqual([type(each) for each in self.successResultOf(result)], [Receipt])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_body_too_long(self) -> None:
        """64 KiB are read, not one byte more; then the connection is cut and the status counts."""
        result = self.sink.deliver([make_envelope()])
        response = FakeResponse(503)
        self.agent.answers[0].callback(response)
        response.body.dataReceived(b"x" * 65536)
        self.assertNoResult(result)
        response.body.dataReceived(b"x")
        [failure] = self.successResultOf(result)
        self.assertIs(failure.type, TargetDown)
        self.assertEqual(response.transport.producerState, "stopped")
        response.body.dataReceived(b"late")
        response.body.connectionLost(connectionDone)

    def test_one_deadline(self) -> None:
        """Head and body share one time-out."""
        result = self.sink.deliver([make_envelope()])
        self.clock.advance(9)
        response = FakeResponse(500)
        self.agent.answers[0].callback(response)
        self.clock.advance(0.9)
        response.body.dataReceived(b"x")
        self.assertNoResult(result)
        self.clock.advance(0.1)
        [failure] = self.successResultOf(result)
        self.assertIs(failure.type, EventFailed)
        self.assertEqual(response.transport.producerState, "stopped")
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.metrics.observed("webhook_duration_seconds"), [10])

    def test_no_head_in_time(self) -> None:
        """A request without an answer is cancelled."""
        result = self.sink.deliver([make_envelope()])
        self.clock.advance(10)
        [failure] = self.successResultOf(result)
        self.assertEqual(failure.value.detail, "no answer within 10 s")
        self.assertTrue(self.agent.answers[0].called)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_head_close_to_the_deadline(self) -> None:
        """No time is left for the body: it is cut, the status counts."""
        result = self.sink.deliver([make_envelope()])
        self.clock.advance(9.999)
        self.agent.answers[0].callback(FakeResponse(204))
        self.clock.advance(0.001)
        self.assertEqual([type(each) for each in self.successResultOf(result)], [Receipt])

    def test_bug(self) -> None:
        """An exception that no network makes is logged and costs the event an attempt."""
        self.agent.default = fail(ValueError("not ASCII"))
        [failure] = self.successResultOf(self.sink.deliver([make_envelope()]))
        self.assertIs(failure.type, EventFailed)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.metrics.value("webhook_publish_failed_total"), 1)

    def test_close(self) -> None:
        """What is under way, head or body, is given up; then the connections are closed."""
        first = self.sink.deliver([make_envelope(1)])
        second = self.sink.deliver([make_envelope(2)])
        self.agent.answers[1].callback(FakeResponse(200))
        self.successResultOf(self.sink.close())
        [failure] = self.successResultOf(first)
        self.assertIs(failure.type, TargetDown)
        self.assertEqual([type(each) for each in self.successResultOf(second)], [Receipt])
        self.assertEqual(self.closed, 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bad_settings(self) -> None:
        """What cannot work fails when the sink is made."""
        with self.assertRaises(ValueError):
            self.make_sink("whsec_???")
