"""`POST /internal/publish`: one publication. Answers `{"sent": <connections it was queued to>}`."""

from twisted.web.server import Request

from ws_gateway.domain.codec import decode_publication
from ws_gateway.domain.spans import UNTRACED, SpanKind
from ws_gateway.interfaces import ICounter, IDelivery, ITracer
from ws_gateway.web.answers import answer_with, json_body
from ws_gateway.web.body import BodyResource, read_json
from ws_gateway.web.query import Query
from ws_gateway.web.scope import check_scope
from ws_gateway.web.traces import ending, header_traceparent, in_trace

__all__ = ["Publish"]


class Publish(BodyResource):
    """Takes one publication.

    :param published: counts publications that were taken.
    :param tracer: sees each call as a span.
    """

    key_in_body = True

    def __init__(
        self, delivery: IDelivery, published: ICounter, max_bytes: int, tracer: ITracer = UNTRACED
    ) -> None:
        super().__init__(max_bytes)
        self._delivery = delivery
        self._published = published
        self._tracer = tracer

    def render_POST(self, request: Request) -> int:
        check_scope(Query(request))
        publication = in_trace(decode_publication(read_json(request)), header_traceparent(request))
        span = self._tracer.begin("publish", SpanKind.SERVER, publication.traceparent)

        def taken(counts: list[int]) -> bytes:
            self._published.inc()
            span.note("ws.connections", counts[0])
            return json_body(request, {"sent": counts[0]})

        return answer_with(request, ending(span, self._delivery.deliver([publication]).addCallback(taken)))
