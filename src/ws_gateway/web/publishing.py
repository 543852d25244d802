"""What the two calls that publish have in common."""

from ws_gateway.domain.spans import UNTRACED
from ws_gateway.interfaces import ICounter, IDelivery, ITracer
from ws_gateway.web.body import BodyResource

__all__ = ["PublishingResource"]


class PublishingResource(BodyResource):
    """Hands publications to the delivery.

    :param published: counts publications that were taken.
    :param tracer: sees each call as a span.
    """

    # Existing bundles send the key there (contract section 6).
    key_in_body = True

    def __init__(
        self, delivery: IDelivery, published: ICounter, max_bytes: int, tracer: ITracer = UNTRACED
    ) -> None:
        super().__init__(max_bytes)
        self._delivery = delivery
        self._published = published
        self._tracer = tracer
