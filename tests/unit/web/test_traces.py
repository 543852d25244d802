"""The trace of a publish call: whose context counts, and the span that it leaves."""

from tests.unit.web.harness import Gateway, WebTestCase
from ws_gateway.domain.spans import SpanKind

OUTER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
OWN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"


def publication(**more: object) -> dict[str, object]:
    return {"subjects": ["user:42"], "payload": 1, **more}


class PublishTraceTests(WebTestCase):
    def setUp(self) -> None:
        self.gateway = Gateway()

    def published(self, body: dict[str, object], *headers: str) -> str | None:
        """The traceparent that a publication is delivered with; the span goes on from it."""
        answer = self.gateway.ask("POST", "/internal/publish", body, headers=headers)
        self.assertEqual(answer.status, 200)
        traceparent = self.gateway.delivery.delivered[-1].traceparent
        self.assertEqual(self.gateway.tracer.spans[-1].parent, traceparent)
        return traceparent

    def test_own_first(self) -> None:
        """The body's traceparent counts before the header's."""
        self.assertEqual(self.published(publication(traceparent=OWN), f"traceparent: {OUTER}"), OWN)

    def test_header(self) -> None:
        """Without one in the body, or with none that is valid, the header's counts, in any case."""
        self.assertEqual(self.published(publication(), f"TraceParent:  {OUTER}"), OUTER)
        self.assertEqual(self.published(publication(traceparent="x"), f"traceparent: {OUTER}"), OUTER)

    def test_no_header(self) -> None:
        """A header that is invalid, or there twice, is none."""
        for headers in ((), ("traceparent: 00-x",), (f"traceparent: {OUTER}",) * 2, ("traceparent: \xff",)):
            self.assertIsNone(self.published(publication(), *headers))

    def test_span(self) -> None:
        """A call is one span, ended when the answer is there."""
        self.gateway.delivery.connections = 3
        self.gateway.delivery.waiting = []
        self.gateway.begin("POST", "/internal/publish", publication())
        (span,) = self.gateway.tracer.spans
        self.assertEqual((span.name, span.kind, span.ended), ("publish", SpanKind.SERVER, 0))
        self.gateway.delivery.waiting[0].callback([3])
        self.assertEqual((span.ended, span.error, span.notes), (1, "", {"ws.connections": 3}))

    def test_failed_span(self) -> None:
        """A publication that is not taken leaves a span that says why."""
        self.gateway.delivery.overloaded = True
        self.gateway.ask("POST", "/internal/publish", publication())
        (span,) = self.gateway.tracer.spans
        self.assertEqual((span.ended, span.error), (1, "Overloaded"))

    def test_no_span(self) -> None:
        """A call that is refused as it stands leaves none."""
        self.gateway.ask("POST", "/internal/publish", {"subjects": []})
        self.gateway.ask("POST", "/internal/publish/batch", {})
        self.gateway.ask("POST", "/internal/publish", publication(), key="wrong")
        self.assertEqual(self.gateway.tracer.spans, [])


class BatchTraceTests(WebTestCase):
    def setUp(self) -> None:
        self.gateway = Gateway()

    def published(self, *publications: dict[str, object], headers: tuple[str, ...] = ()) -> str | None:
        """Publish a batch.

        :returns: what its span goes on from.
        """
        body = {"publications": list(publications)}
        answer = self.gateway.ask("POST", "/internal/publish/batch", body, headers=headers)
        self.assertEqual(answer.status, 200)
        span = self.gateway.tracer.spans[-1]
        self.assertEqual((span.name, span.kind, span.ended), ("publish batch", SpanKind.SERVER, 1))
        self.assertEqual(span.notes, {"ws.publications": len(publications)})
        return span.parent

    def test_header(self) -> None:
        """The header counts for the call, and for each publication that has none of its own."""
        parent = self.published(
            publication(traceparent=OWN), publication(), headers=(f"traceparent: {OUTER}",)
        )
        self.assertEqual(parent, OUTER)
        self.assertEqual([one.traceparent for one in self.gateway.delivery.delivered], [OWN, OUTER])

    def test_common(self) -> None:
        """Without a header the call belongs to the trace that all publications name."""
        self.assertEqual(self.published(publication(traceparent=OWN), publication(traceparent=OWN)), OWN)
        self.assertIsNone(self.published(publication(traceparent=OWN), publication(traceparent=OUTER)))
        self.assertIsNone(self.published(publication(traceparent=OWN), publication()))
        self.assertIsNone(self.published(publication(), publication(traceparent=OWN)))
