"""Events from queues of RabbitMQ.

What was brought and not acknowledged comes again when the channel is gone, and then the delivery tags that we
have mean nothing. So for everything that comes again it is asked whether we know it, by its `message_id` and
its content:

| what we know of it | what happens |
|---|---|
| the application is done with it | acknowledged, not handed out |
| it is in hand | its new tag takes the place of the old one |
| nothing | it is handed out |

An event whose acknowledgement was lost, or which the gateway published twice, is so done once, as long as it
comes to the same consumer and among the last some thousand events.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING
from uuid import uuid4

from attrs import define, field, frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from ws_gateway.brokers.rabbitmq.kept import KeptChannel
from ws_gateway.brokers.rabbitmq.link import RabbitLink
from ws_gateway.brokers.rabbitmq.names import RabbitNames
from ws_gateway.brokers.rabbitmq.publisher import Message, Outcome, Publisher
from ws_gateway.brokers.rabbitmq.topology import Binding, Exchange, Item, Queue, establish
from ws_gateway.domain.messages import Entry
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IInbox

if TYPE_CHECKING:
    from ws_gateway.brokers.rabbitmq.wire import Channel, Delivery, Wire

__all__ = ["Queues", "RabbitInbox"]

_log = Logger()

_REMEMBERED = 10_000
_MOST_REASON = 500
_NAMES = RabbitNames()

Identity = tuple[str, int]


@frozen
class Queues:
    """What is read.

    :ivar inbox: the queue for messages, or None.
    :ivar events: the queue for the other events, or None; may be the same.
    :ivar prefetch: how many events of each queue wait here at most.
    """

    inbox: str | None
    events: str | None
    names: RabbitNames = _NAMES
    prefetch: int = 100


@define(eq=False)
class _Held:
    """An event that is here.

    :ivar tag: how the channel calls it.
    :ivar channel: what it came by last; None when that is gone.
    """

    entry: Entry
    identity: Identity | None
    tag: int
    channel: Channel | None = field(repr=False)


@implementer(IInbox)
class RabbitInbox(Service):
    """See the module.

    :param reading: a link that nobody else uses.
    :param writing: another one, for dead letters: while the broker has an alarm it reads nothing from a
        connection that publishes, acknowledgements included.
    :param chance: a random number, 0 <= chance < 1.
    """

    name = "rabbitmq"

    def __init__(
        self,
        reading: RabbitLink,
        writing: RabbitLink,
        clock: IReactorTime,
        chance: Callable[[], float],
        queues: Queues,
    ) -> None:
        self._reading = reading
        self._writing = writing
        self._clock = clock
        self._queues = queues
        self._kept = KeptChannel(reading, clock, chance, "events of RabbitMQ", self._consume, self._lost)
        self._publisher = Publisher(
            writing, clock, chance, "dead letters to RabbitMQ", self._declare_dead_letters
        )
        self._channel: Channel | None = None
        self._channels = 0
        # Everything that came by this channel and is not acknowledged, in order.
        self._open: dict[int, None] = {}
        self._buffer: deque[_Held] = deque()
        self._in_hand: dict[bytes, _Held] = {}
        self._done: OrderedDict[Identity, None] = OrderedDict()
        self._takers: deque[tuple[Deferred[list[Entry]], int]] = deque()

    # For whoever consumes.

    def next(self, most: int) -> Deferred[list[Entry]]:
        """See IInbox."""

        def forget(taker: Deferred[list[Entry]]) -> None:
            if (taker, most) in self._takers:
                self._takers.remove((taker, most))

        taker: Deferred[list[Entry]] = Deferred(forget)
        self._takers.append((taker, most))
        self._serve()
        return taker

    def acknowledge(self, entries: Sequence[Entry]) -> Deferred[None]:
        """See IInbox."""
        return Deferred.fromCoroutine(self._acknowledge(entries))

    def give_up(self, entry: Entry, reason: str) -> Deferred[None]:
        """See IInbox."""
        name = self._queues.names.dead_letters
        headers = {"reason": reason[:_MOST_REASON], "queue": entry.source}
        letter = Message(name, name, entry.body, uuid4().hex, headers)

        def judge(outcomes: list[Outcome]) -> Deferred[None]:
            [outcome] = outcomes
            if outcome is Outcome.CONFIRMED:
                return self.acknowledge([entry])
            if outcome is Outcome.UNROUTABLE:
                return fail(BrokerRefused("NO_ROUTE", f"no queue is bound to exchange {name}"))
            if outcome is Outcome.NACKED:
                return fail(BrokerRefused("NACK", "RabbitMQ could not take it: a queue is full or broken"))
            return fail(BrokerDown(self._publisher.trouble or "the connection was lost"))

        return self._publisher.publish([letter]).addCallback(judge)

    # The life of it.

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        for link in (self._reading, self._writing):
            link.startService()
        self._kept.open()
        self._publisher.open()

    def stopService(self) -> Deferred[None]:
        """Read nothing more; what is not acknowledged is the others' at once.

        :returns Deferred[None]: when the connections are gone.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        self._kept.close()
        self._publisher.close()
        self._lost("")
        return Deferred.fromCoroutine(self._leave())

    async def _leave(self) -> None:
        await self._reading.stopService()
        await self._writing.stopService()

    async def _consume(self, wire: Wire, channel: Channel) -> None:
        """Have the queues there, and consume them."""
        names = self._queues.names
        wanted = {names.inbox: self._queues.inbox, names.events: self._queues.events}
        items: list[Item] = []
        for exchange, queue in wanted.items():
            if queue is not None:
                items += [Exchange(exchange), Queue(queue, as_it_is=True), Binding(queue, exchange, exchange)]
        wrong = await establish(wire, items)
        missing = [why for item, why in wrong.items() if isinstance(item, Queue)]
        if missing:
            raise BrokerRefused("NOT_AS_IT_SHOULD_BE", "; ".join(missing))
        for why in wrong.values():
            _log.warn("events of RabbitMQ: {detail}", detail=why)
        self._lost("")
        self._channel = channel
        self._channels += 1
        named = dict.fromkeys(queue for queue in wanted.values() if queue is not None)
        for queue in named:
            arrived = partial(self._delivered, channel, queue)
            await channel.receive(queue, self._queues.prefetch, arrived, self._cancelled)
        _log.info("reading {queues}", queues=", ".join(named))

    async def _declare_dead_letters(self, wire: Wire) -> None:
        name = self._queues.names.dead_letters
        wrong = await establish(wire, [Exchange(name), Queue(name, as_it_is=True), Binding(name, name, name)])
        for why in wrong.values():
            _log.warn("dead letters to RabbitMQ: {detail}", detail=why)

    def _cancelled(self) -> None:
        self._kept.again("the broker has ended the consumer of a queue")

    def _lost(self, why: str) -> None:
        """The channel is gone: what waits here comes again, and tags mean nothing."""
        self._channel = None
        self._open.clear()
        self._buffer.clear()
        for held in self._in_hand.values():
            held.channel = None

    def _delivered(self, channel: Channel, queue: str, delivery: Delivery) -> None:
        if channel is not self._channel:
            return
        tag = delivery.tag
        self._open[tag] = None
        identity = (delivery.message_id, hash(delivery.body)) if delivery.message_id else None
        if delivery.again and identity is not None:
            for held in self._in_hand.values():
                if held.identity == identity and held.channel is None:
                    held.tag, held.channel = tag, channel
                    return
        position = f"{self._channels}.{tag}".encode()
        # It does not say how often.
        entry = Entry(queue, position, delivery.body, 2 if delivery.again else 1)
        self._buffer.append(_Held(entry, identity, tag, channel))
        self._serve()

    def _serve(self) -> None:
        while self._takers and self._buffer:
            taker, most = self._takers[0]
            entries: list[Entry] = []
            while self._buffer and len(entries) < most:
                held = self._buffer.popleft()
                if held.identity in self._done:
                    _log.debug("an event that is done came again", message_id=held.identity)
                    self._close([held])
                else:
                    self._in_hand[held.entry.position] = held
                    entries.append(held.entry)
            if entries:
                self._takers.popleft()
                taker.callback(entries)

    async def _acknowledge(self, entries: Sequence[Entry]) -> None:
        held = [self._in_hand.pop(entry.position) for entry in entries]
        for one in held:
            if one.identity is not None:
                self._done[one.identity] = None
        while len(self._done) > _REMEMBERED:
            self._done.popitem(last=False)
        self._close(held)
        if any(one.channel is None for one in held):
            raise BrokerDown("the connection was lost meanwhile")
        # Written to the socket at the end of the next turn of the reactor; nobody confirms it.
        for _ in range(2):
            await deferLater(self._clock, 0)

    def _close(self, held: Sequence[_Held]) -> None:
        """Acknowledge what can be acknowledged, by one frame where nothing before it is open."""
        tags = [one.tag for one in held if one.channel is not None and one.channel is self._channel]
        if not tags or self._channel is None:
            return
        for tag in tags:
            self._open.pop(tag, None)
        last = max(tags)
        if next(iter(self._open), last + 1) > last:
            self._channel.ack(last)
        else:
            for tag in tags:
                self._channel.ack(tag, multiple=False)
