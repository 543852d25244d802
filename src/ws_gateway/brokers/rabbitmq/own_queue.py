"""The queue of this node: every publication comes through it, in order, and only through it.

What one turn of the reactor brings goes to the taker as one batch. A batch is acknowledged when it and all
before it were taken, on the channel that it came by, together with all that a turn has settled; what a lost
channel leaves unacknowledged, the broker brings again. So after a lost connection publications may come twice
(at least once), never too few.

Many may be under way, for the more go out together the less each costs, and while some go out the next ones
come. Large ones are held back by their bytes: while too many are with us, nothing is read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from attrs import define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ws_gateway.brokers.counts import SourceCounts
from ws_gateway.brokers.rabbitmq.kept import KeptChannel
from ws_gateway.brokers.rabbitmq.link import RabbitLink
from ws_gateway.brokers.rabbitmq.topology import Binding, Exchange, Item, Queue, establish, is_there
from ws_gateway.errors import BrokerRefused
from ws_gateway.interfaces import IMetrics, IPublicationTaker

if TYPE_CHECKING:
    from ws_gateway.brokers.rabbitmq.wire import Channel, Wire

__all__ = ["OwnQueue", "OwnQueueRules"]

_log = Logger()


@frozen
class OwnQueueRules:
    """How the queue is made and read.

    :ivar expire_seconds: how long it outlives its node.
    :ivar max_length: publications that wait in it; then the oldest is dropped ..
    :ivar max_bytes: .. and how many bytes.
    :ivar prefetch: how many may be with us unacknowledged ..
    :ivar in_hand_bytes: .. and how many bytes, and one publication more, before reading pauses.
    """

    expire_seconds: int = 600
    max_length: int = 100_000
    max_bytes: int = 256 * 1024 * 1024
    prefetch: int = 3000
    in_hand_bytes: int = 8 * 1024 * 1024


@define(eq=False)
class _Batch:
    last_tag: int
    taken: bool = False


class OwnQueue:
    """See the module.

    :param outbox: the exchange.
    :param name: the queue's, new at every start of the node.
    :param canary: called with the body of each canary that comes back.
    :param ready: called when it is consumed, with True, and when it is not any more.
    """

    def __init__(
        self,
        link: RabbitLink,
        clock: IReactorTime,
        chance: Callable[[], float],
        outbox: str,
        name: str,
        rules: OwnQueueRules,
        canary: Callable[[bytes], None],
        ready: Callable[[bool], None],
        counts: SourceCounts,
        metrics: IMetrics,
    ) -> None:
        self._clock = clock
        self._outbox = outbox
        self._name = name
        self._rules = rules
        self._canary = canary
        self._ready = ready
        self._counts = counts
        self._kept = KeptChannel(link, clock, chance, "the outbox of RabbitMQ", self._consume, self._lost)
        self._taker: IPublicationTaker | None = None
        self._was_there = False
        self._wire: Wire | None = None
        self._channel: Channel | None = None
        self._documents: list[bytes] = []
        self._bytes = 0
        self._last_tag = 0
        self._batches: deque[_Batch] = deque()
        self._end_of_turn: IDelayedCall | None = None
        self._acknowledging: IDelayedCall | None = None
        self._heard_at = self._busy_until = clock.seconds()
        self._gone = metrics.counter(
            "outbox_position_lost_total",
            "How often the outbox was not what it was when it was read last.",
            {"reason": "queue_gone"},
        )

    @property
    def trouble(self) -> str:
        """Why nothing is consumed; empty while something is, or while there is no connection."""
        return self._kept.trouble

    @property
    def is_consumed(self) -> bool:
        """Whether publications arrive."""
        return self._kept.channel is not None

    @property
    def busy(self) -> bool:
        """Whether the taker has something in hand."""
        return bool(self._batches or self._documents)

    def idle_for(self) -> float:
        """Seconds since the taker had something in hand; 0 while it has."""
        return 0.0 if self.busy else self._clock.seconds() - self._busy_until

    def silent_for(self) -> float:
        """Seconds since anything came."""
        return self._clock.seconds() - self._heard_at

    def open(self, taker: IPublicationTaker) -> None:
        """Begin."""
        self._taker = taker
        self._kept.open()

    def close(self) -> None:
        """Take nothing any more. What was not acknowledged stays in the queue, until that expires."""
        self._kept.close()
        self._forget()

    def again(self, why: str) -> None:
        """Declare it and consume it again."""
        self._kept.again(why)

    def settled(self) -> Deferred[None]:
        """Wait until it is consumed, or until an attempt to get there has failed."""
        return self._kept.settled()

    async def _consume(self, wire: Wire, channel: Channel) -> None:
        rules, outbox, name = self._rules, self._outbox, self._name
        arguments = {
            "x-expires": rules.expire_seconds * 1000,
            "x-max-length": rules.max_length,
            "x-max-length-bytes": rules.max_bytes,
            "x-overflow": "drop-head",
        }
        queue = Queue(name, arguments)
        if self._was_there and not await is_there(wire, queue):
            self._gone.inc()
            _log.warn("the queue {queue} is gone, and what was published meanwhile with it", queue=name)
        bindings = [Binding(name, outbox, key) for key in (outbox, name)]
        items: list[Item] = [Exchange(outbox), queue, *bindings]
        wrong = await establish(wire, items)
        if wrong:
            raise BrokerRefused("NOT_AS_IT_SHOULD_BE", "; ".join(wrong.values()))
        self._was_there = True
        self._forget()
        self._wire, self._channel = wire, channel
        await channel.consume(name, rules.prefetch, self._delivered, self._cancelled)
        # Said one turn later, when the channel is kept.
        self._clock.callLater(0, self._say_ready, channel)

    def _say_ready(self, channel: Channel) -> None:
        if self._kept.channel is channel:
            self._heard_at = self._clock.seconds()
            self._ready(True)

    def _lost(self, why: str) -> None:
        self._forget()
        self._ready(False)

    def _cancelled(self) -> None:
        self._kept.again(f"the broker has ended the consumer of queue {self._name}")

    def _forget(self) -> None:
        """Tags mean nothing without their channel."""
        self._channel = None
        self._let_go(sum(map(len, self._documents)))
        self._documents = []
        self._batches = deque()
        for call in (self._end_of_turn, self._acknowledging):
            if call is not None:
                call.cancel()
        self._end_of_turn = self._acknowledging = None

    def _delivered(self, tag: int, key: str, body: bytes) -> None:
        self._last_tag = tag
        if key == self._name:
            self._canary(body)
        else:
            self._documents.append(body)
            self._bytes += len(body)
            if self._bytes > self._rules.in_hand_bytes and self._wire is not None:
                self._wire.pause()
        if self._end_of_turn is None:
            self._end_of_turn = self._clock.callLater(0, self._hand_over)

    def _let_go(self, size: int) -> None:
        """So many bytes are not with us any more."""
        self._bytes -= size
        if self._wire is not None and self._bytes <= self._rules.in_hand_bytes // 2:
            self._wire.resume()

    def _hand_over(self) -> None:
        self._end_of_turn = None
        self._heard_at = self._clock.seconds()
        documents, self._documents = self._documents, []
        batch, batches = _Batch(self._last_tag), self._batches
        batches.append(batch)

        def taken(reasons: list[str | None]) -> None:
            unusable = len(documents) - reasons.count(None)
            if unusable:
                self._counts.dead_letters.inc(unusable)
            batch.taken = True
            self._let_go(sum(map(len, documents)))
            # What was forgotten meanwhile is not acknowledged: the broker brings it again.
            if batches is self._batches and self._acknowledging is None:
                self._acknowledging = self._clock.callLater(0, self._acknowledge)

        if not documents:
            taken([])
            return
        assert self._taker is not None
        self._counts.received.inc(len(documents))
        answer: Deferred[Any] = self._taker.take(documents)
        answer.addCallback(taken)
        answer.addErrback(lambda failure: _log.failure("publications could not be taken", failure))

    def _acknowledge(self) -> None:
        self._acknowledging = None
        self._busy_until = self._clock.seconds()
        done = 0
        while self._batches and self._batches[0].taken:
            done = self._batches.popleft().last_tag
        if done and self._channel is not None:
            self._channel.ack(done)
