"""What the two calls that publish have in common."""

from collections.abc import Sequence

from attrs import evolve
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from ws_gateway.domain.codec import encode_publication
from ws_gateway.domain.messages import Publication
from ws_gateway.domain.spans import UNTRACED
from ws_gateway.interfaces import IConnectionDirectory, ICounter, IDelivery, IRelay, ISpan, ITracer
from ws_gateway.web.body import BodyResource
from ws_gateway.web.query import Query
from ws_gateway.web.scope import reaches_cluster

__all__ = ["PublishingResource", "Sent"]

Sent = tuple[list[int], dict[str, bool]]
"""What became of publications: a number for each, and what else the answer has to say."""

_TURN_SECONDS = 0.010
"""How long counting may hold the loop: a batch may name a million subjects."""


class PublishingResource(BodyResource):
    """Hands publications to the delivery of this node, or to the outbox that all nodes read.

    :param directory: tells how many listen here to what is relayed.
    :param relay: the way to all nodes; None: there are no others.
    :param clock: lets other work in between.
    :param published: counts publications that were taken.
    :param tracer: sees each call as a span.
    """

    # Existing bundles send the key there (contract section 6).
    key_in_body = True

    def __init__(
        self,
        delivery: IDelivery,
        directory: IConnectionDirectory,
        relay: IRelay | None,
        clock: IReactorTime,
        published: ICounter,
        max_bytes: int,
        tracer: ITracer = UNTRACED,
    ) -> None:
        super().__init__(max_bytes)
        self._delivery = delivery
        self._directory = directory
        self._relay = relay
        self._clock = clock
        self._published = published
        self._tracer = tracer

    def _reaches_cluster(self, query: Query) -> bool:
        return reaches_cluster(query, self._relay is not None)

    def _send(
        self, publications: Sequence[Publication], cluster: bool, span: ISpan, parent: str | None
    ) -> Deferred[Sent]:
        """Send publications on their way.

        :param span: what the call is seen as; `parent` is what it goes on from.
        :returns Deferred[Sent]: to how many connections of this node each was queued, or will be when the
            outbox brings it.
        """
        if cluster and self._relay is not None:
            passed_on = [_within(one, span, parent) for one in publications]
            return Deferred.fromCoroutine(self._through(self._relay, passed_on))
        return self._delivery.deliver(publications).addCallback(lambda counts: (counts, {}))

    async def _through(self, relay: IRelay, publications: Sequence[Publication]) -> Sent:
        await relay.relay([encode_publication(one) for one in publications])
        counts: list[int] = []
        until = self._clock.seconds() + _TURN_SECONDS
        for publication in publications:
            counts.append(self._directory.listening(publication.subjects, publication.excluded))
            if self._clock.seconds() >= until:
                await deferLater(self._clock, 0)
                until = self._clock.seconds() + _TURN_SECONDS
        return counts, {"relayed": True}


def _within(publication: Publication, span: ISpan, parent: str | None) -> Publication:
    """The publication as others get it: what belongs to the trace of the call goes on from its span."""
    if span.traceparent is None or publication.traceparent != parent:
        return publication
    return evolve(publication, traceparent=span.traceparent)
