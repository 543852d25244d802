"""`POST /internal/publish/batch`: up to 1,000 publications, in order, all or none.

Answers `{"sent": [..]}`, one number for each publication, with `"relayed": true` as in `publish`.
"""

from twisted.web.server import Request

from ws_gateway.domain.codec import decode_batch
from ws_gateway.domain.spans import SpanKind
from ws_gateway.web.answers import answer_with, json_body
from ws_gateway.web.body import read_json
from ws_gateway.web.publishing import PublishingResource, Sent
from ws_gateway.web.query import Query
from ws_gateway.web.traces import common_trace, ending, header_traceparent, in_trace

__all__ = ["Batch"]


class Batch(PublishingResource):
    """Takes many publications."""

    def render_POST(self, request: Request) -> int:
        cluster = self._reaches_cluster(Query(request))
        outer = header_traceparent(request)
        publications = decode_batch(read_json(request))
        if outer is not None:
            publications = [in_trace(one, outer) for one in publications]
        parent = outer or common_trace(publications)
        span = self._tracer.begin("publish batch", SpanKind.SERVER, parent)
        span.note("ws.publications", len(publications))

        def taken(sent: Sent) -> bytes:
            counts, more = sent
            self._published.inc(len(publications))
            return json_body(request, {"sent": counts, **more})

        sending = self._send(publications, cluster, span, parent)
        return answer_with(request, ending(span, sending.addCallback(taken)))
