"""`POST /internal/publish`: one publication.

Answers `{"sent": <connections it was queued to>}`. Where it went to all nodes there is `"relayed": true` as
well, and `sent` counts the connections of this node that listen to it.
"""

from twisted.web.server import Request

from ws_gateway.domain.codec import decode_publication
from ws_gateway.domain.spans import SpanKind
from ws_gateway.web.answers import answer_with, json_body
from ws_gateway.web.body import read_json
from ws_gateway.web.publishing import PublishingResource, Sent
from ws_gateway.web.query import Query
from ws_gateway.web.traces import ending, header_traceparent, in_trace

__all__ = ["Publish"]


class Publish(PublishingResource):
    """Takes one publication."""

    def render_POST(self, request: Request) -> int:
        cluster = self._reaches_cluster(Query(request))
        publication = in_trace(decode_publication(read_json(request)), header_traceparent(request))
        parent = publication.traceparent
        span = self._tracer.begin("publish", SpanKind.SERVER, parent)

        def taken(sent: Sent) -> bytes:
            (count,), more = sent
            self._published.inc()
            span.note("ws.connections", count)
            return json_body(request, {"sent": count, **more})

        sending = self._send([publication], cluster, span, parent)
        return answer_with(request, ending(span, sending.addCallback(taken)))
