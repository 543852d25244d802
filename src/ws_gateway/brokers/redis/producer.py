"""Appending to streams so that a retry appends nothing twice.

Entries come with ids. Several batches may be under way for a stream; when one fails, what became of it and of
those behind it is found out before anything else is appended (`line`, `producer_scripts`). Where scripts are
forbidden, entries are appended by plain commands, at least once; whether they still are is asked again at
each new connection.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime

from ws_gateway.brokers.redis.line import Entry, Line
from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.brokers.redis.writers import BestWriter
from ws_gateway.errors import BrokerDown
from ws_gateway.interfaces import IMetrics

__all__ = ["RedisProducer"]


class RedisProducer:
    """See the module.

    :param link: where entries go; it is nobody's else while order matters.
    :param run_id: names this life of this process; nobody else's.
    :param maxlen: about how many entries a stream keeps; None keeps all.
    """

    def __init__(
        self,
        link: RedisLink,
        run_id: str,
        clock: IReactorTime,
        metrics: IMetrics,
        maxlen: int | None = None,
    ) -> None:
        self._clock = clock
        self._writer = BestWriter(link, run_id, metrics, maxlen)
        self._closed = False
        self._lines: dict[str, Line] = {}

    def append(self, stream: str, entries: Sequence[Entry]) -> Deferred[None]:
        """Append entries, each with the one field `data`, in order.

        After a failure nothing more may be offered for that stream before everything under way has ended;
        then what is not settled is offered again, oldest first, in the same order, with the same ids.

        :raises BrokerDown: (as a failure) not all of them were taken, or nobody knows.
        """
        if self._closed:
            return fail(BrokerDown("the gateway stops"))
        line = self._lines.get(stream)
        if line is None:
            line = self._lines[stream] = Line(stream, self._writer, self._clock)
        return line.offer(entries)

    def close(self) -> None:
        """Give up what is under way: it fails, and nobody knows."""
        self._closed = True
        for line in self._lines.values():
            line.close()
