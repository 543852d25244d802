"""The queue `ws.outbox`, which existing bundles declare and bind: all nodes together keep it empty.

Nothing is delivered from here. Each publication in it is judged by one node, so that what nobody can use
becomes one dead letter for the whole cluster; it is acknowledged only when the dead letter is confirmed.

Clients come first: while publications wait for them nothing is acknowledged here, so the broker brings no
more than a prefetch of what is only to be thrown away. That lasts as long as a burst does. Where there is no
end of it, the queue is read like any other: nobody else empties it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ws_gateway.brokers.rabbitmq.kept import KeptChannel
from ws_gateway.brokers.rabbitmq.link import RabbitLink
from ws_gateway.brokers.rabbitmq.names import RabbitNames
from ws_gateway.brokers.rabbitmq.publisher import Message, Outcome, Publisher
from ws_gateway.brokers.rabbitmq.topology import Binding, Exchange, Item, Queue, establish
from ws_gateway.domain.throttle import Throttle
from ws_gateway.errors import BrokerRefused
from ws_gateway.interfaces import IPublicationTaker

if TYPE_CHECKING:
    from ws_gateway.brokers.rabbitmq.wire import Channel, Wire

__all__ = ["SharedQueue"]

_log = Logger()

PREFETCH = 500
"""How many may be with us unacknowledged."""

LOOK_SECONDS = 0.05
"""How often it is looked whether clients are still to come first."""

QUIET_SECONDS = 0.5
"""They are, until for so long nothing waited for them: bursts have gaps, and what was sent is still read."""

DEFER_SECONDS = 2.0
"""How long they may while more waits here, too."""

_PAUSE = 2.0
_LOG_INTERVAL = 60.0
_MAX_REASON = 500


class SharedQueue:
    """See the module.

    :param publisher: to publish dead letters with; its owner has declared where they go.
    :param idle_for: seconds since publications waited for clients; 0 while some do.
    :ivar unwritten: why a dead letter cannot be written at the moment; empty when all are.
    """

    def __init__(
        self,
        link: RabbitLink,
        publisher: Publisher,
        clock: IReactorTime,
        chance: Callable[[], float],
        names: RabbitNames,
        idle_for: Callable[[], float],
    ) -> None:
        self._publisher = publisher
        self._idle_for = idle_for
        self._clock = clock
        self._names = names
        self._kept = KeptChannel(
            link, clock, chance, "the shared queue of RabbitMQ", self._consume, self._lost
        )
        self._throttle = Throttle(_LOG_INTERVAL)
        self._taker: IPublicationTaker | None = None
        self._channel: Channel | None = None
        self._last_tag = 0
        # Tags of what is becoming a dead letter: nothing from the first of them on may be acknowledged.
        self._unwritten: dict[int, bytes] = {}
        self._writing: set[int] = set()
        self._end_of_turn: IDelayedCall | None = None
        self._pause: IDelayedCall | None = None
        self._look: IDelayedCall | None = None
        # Since when more may wait here than was brought, and clients come first.
        self._deferring_since: float | None = None
        self._acknowledged = 0
        self.unwritten = ""

    @property
    def trouble(self) -> str:
        """What is wrong, in a sentence."""
        return self._kept.trouble or self.unwritten

    def open(self, taker: IPublicationTaker) -> None:
        """Begin."""
        self._taker = taker
        self._kept.open()

    def settled(self) -> Deferred[None]:
        """Wait until it is consumed, or until an attempt to get there has failed."""
        return self._kept.settled()

    def again(self, why: str) -> None:
        """Declare it and consume it again."""
        self._kept.again(why)

    def close(self) -> None:
        """End it; what was not acknowledged is another node's."""
        self._kept.close()
        self._forget()

    async def _consume(self, wire: Wire, channel: Channel) -> None:
        outbox = self._names.outbox
        # As it is: existing gateways declare it with arguments of their own.
        items: list[Item] = [Exchange(outbox), Queue(outbox, as_it_is=True), Binding(outbox, outbox, outbox)]
        wrong = await establish(wire, items)
        if wrong:
            raise BrokerRefused("NOT_AS_IT_SHOULD_BE", "; ".join(wrong.values()))
        self._forget()
        self._channel = channel
        await channel.consume(outbox, PREFETCH, self._delivered, self._cancelled)

    def _lost(self, why: str) -> None:
        self._forget()

    def _cancelled(self) -> None:
        self._kept.again(f"the broker has ended the consumer of queue {self._names.outbox}")

    def _forget(self) -> None:
        self._channel = None
        self._unwritten = {}
        self._writing = set()
        self._acknowledged = self._last_tag = 0
        self.unwritten = ""
        for call in (self._end_of_turn, self._pause, self._look):
            if call is not None:
                call.cancel()
        self._end_of_turn = self._pause = self._look = None
        self._deferring_since = None

    def _delivered(self, tag: int, key: str, body: bytes) -> None:
        assert self._taker is not None
        self._last_tag = tag
        if self._taker.judge(body) is not None:
            self._unwritten[tag] = body
        if self._end_of_turn is None:
            self._end_of_turn = self._clock.callLater(0, self._turn_ended)

    def _turn_ended(self) -> None:
        self._end_of_turn = None
        self._write()
        if self._look is None:
            self._acknowledge_or_wait()

    def _acknowledge_or_wait(self) -> None:
        """Let clients go first, for a while."""
        now = self._clock.seconds()
        if self._idle_for() >= QUIET_SECONDS:
            self._deferring_since = None
        elif self._deferring_since is None:
            self._deferring_since = now
        if self._deferring_since is not None and now - self._deferring_since < DEFER_SECONDS:
            self._look = self._clock.callLater(LOOK_SECONDS, self._look_again, self._last_tag)
        else:
            self._acknowledge()

    def _look_again(self, last_tag: int) -> None:
        self._look = None
        if self._last_tag == last_tag and last_tag - self._acknowledged < PREFETCH:
            # More could have come and did not: the queue is empty, so nothing is put off.
            self._deferring_since = None
            self._acknowledge()
        else:
            self._acknowledge_or_wait()

    def _acknowledge(self) -> None:
        safe = min(self._unwritten) - 1 if self._unwritten else self._last_tag
        if safe > self._acknowledged and self._channel is not None:
            self._acknowledged = safe
            self._channel.ack(safe)

    def _write(self) -> None:
        """Publish the dead letters that are not under way."""
        tags = [tag for tag in self._unwritten if tag not in self._writing]
        if not tags:
            return
        self._writing.update(tags)
        writing = self._publisher.publish([self._dead_letter(self._unwritten[tag]) for tag in tags])
        writing.addCallback(self._written, tags, self._channel)
        writing.addErrback(lambda failure: _log.failure("dead letters could not be published", failure))

    def _dead_letter(self, body: bytes) -> Message:
        assert self._taker is not None
        reason = self._taker.judge(body) or "unusable"
        name = self._names.dead_letters
        return Message(name, name, body, uuid4().hex, {"reason": reason[:_MAX_REASON]})

    def _written(self, outcomes: list[Outcome], tags: list[int], channel: Any) -> None:
        if channel is not self._channel:
            return
        for tag, outcome in zip(tags, outcomes, strict=True):
            self._writing.discard(tag)
            if outcome is Outcome.CONFIRMED:
                self._unwritten.pop(tag, None)
        if self._unwritten.keys() - self._writing:
            self._wait(set(outcomes) - {Outcome.CONFIRMED})
        else:
            self.unwritten = ""
        self._acknowledge()

    def _wait(self, outcomes: set[Outcome]) -> None:
        name = self._names.dead_letters
        if Outcome.UNROUTABLE in outcomes:
            self.unwritten = f"dead letters wait: no queue is bound to exchange {name}"
        else:
            self.unwritten = (
                f"dead letters wait: {self._publisher.trouble or 'the broker does not take them'}"
            )
        suppressed = self._throttle.admit(self._clock.seconds())
        if suppressed is not None:
            _log.warn("{detail}", detail=self.unwritten, suppressed=suppressed)
        if self._pause is None:
            self._pause = self._clock.callLater(_PAUSE, self._try_again)

    def _try_again(self) -> None:
        self._pause = None
        self._write()
