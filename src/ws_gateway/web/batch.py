"""`POST /internal/publish/batch`: up to 1,000 publications, in order, all or none.

Answers `{"sent": [..]}`, one number for each publication.
"""

from twisted.web.server import Request

from ws_gateway.domain.codec import decode_batch
from ws_gateway.domain.spans import SpanKind
from ws_gateway.web.answers import answer_with, json_body
from ws_gateway.web.body import read_json
from ws_gateway.web.publishing import PublishingResource
from ws_gateway.web.query import Query
from ws_gateway.web.scope import check_scope
from ws_gateway.web.traces import common_trace, ending, header_traceparent, in_trace

__all__ = ["Batch"]


class Batch(PublishingResource):
    """Takes many publications."""

    def render_POST(self, request: Request) -> int:
        check_scope(Query(request))
        outer = header_traceparent(request)
        publications = decode_batch(read_json(request))
        if outer is not None:
            publications = [in_trace(one, outer) for one in publications]
        span = self._tracer.begin("publish batch", SpanKind.SERVER, outer or common_trace(publications))
        span.note("ws.publications", len(publications))

        def taken(counts: list[int]) -> bytes:
            self._published.inc(len(publications))
            return json_body(request, {"sent": counts})

        return answer_with(request, ending(span, self._delivery.deliver(publications).addCallback(taken)))
