"""A sink that writes one line for each event: to watch a gateway without a backend."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ws_gateway.domain.messages import Envelope, Receipt
from ws_gateway.interfaces import IEventSink

__all__ = ["LogSink"]

_log = Logger()
_RECEIPT = Receipt()


@implementer(IEventSink)
class LogSink:
    """Accepts everything. The line carries no body: what clients say does not belong in a log."""

    name = "log"
    max_batch = 100

    def deliver(self, envelopes: Sequence[Envelope]) -> Deferred[list[Receipt | Failure]]:
        for envelope in envelopes:
            _log.info(
                "event {event_type} {event_id} of connection {connection_id}",
                event_type=envelope.type.value,
                event_id=envelope.event_id,
                connection_id=envelope.connection_id,
                size=len(envelope.body),
            )
        return succeed([_RECEIPT] * len(envelopes))

    def close(self) -> Deferred[None]:
        return succeed(None)
