"""`POST /internal/publish/batch`: up to 1,000 publications, in order, all or none.

Answers `{"sent": [..]}`, one number for each publication.
"""

from twisted.web.server import Request

from ws_gateway.domain.codec import decode_batch
from ws_gateway.interfaces import ICounter, IDelivery
from ws_gateway.web.answers import answer_with, json_body
from ws_gateway.web.body import BodyResource, read_json
from ws_gateway.web.query import Query
from ws_gateway.web.scope import check_scope

__all__ = ["Batch"]


class Batch(BodyResource):
    """Takes many publications.

    :param published: counts publications that were taken.
    """

    key_in_body = True

    def __init__(self, delivery: IDelivery, published: ICounter, max_bytes: int) -> None:
        super().__init__(max_bytes)
        self._delivery = delivery
        self._published = published

    def render_POST(self, request: Request) -> int:
        check_scope(Query(request))
        publications = decode_batch(read_json(request))

        def taken(counts: list[int]) -> bytes:
            self._published.inc(len(publications))
            return json_body(request, {"sent": counts})

        return answer_with(request, self._delivery.deliver(publications).addCallback(taken))
