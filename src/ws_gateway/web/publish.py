"""`POST /internal/publish`: one publication. Answers `{"sent": <connections it was queued to>}`."""

from twisted.web.server import Request

from ws_gateway.domain.codec import decode_publication
from ws_gateway.domain.spans import SpanKind
from ws_gateway.web.answers import answer_with, json_body
from ws_gateway.web.body import read_json
from ws_gateway.web.publishing import PublishingResource
from ws_gateway.web.query import Query
from ws_gateway.web.scope import check_scope
from ws_gateway.web.traces import ending, header_traceparent, in_trace

__all__ = ["Publish"]


class Publish(PublishingResource):
    """Takes one publication."""

    def render_POST(self, request: Request) -> int:
        check_scope(Query(request))
        publication = in_trace(decode_publication(read_json(request)), header_traceparent(request))
        span = self._tracer.begin("publish", SpanKind.SERVER, publication.traceparent)

        def taken(counts: list[int]) -> bytes:
            self._published.inc()
            span.note("ws.connections", counts[0])
            return json_body(request, {"sent": counts[0]})

        return answer_with(request, ending(span, self._delivery.deliver([publication]).addCallback(taken)))
