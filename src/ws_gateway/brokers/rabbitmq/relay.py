"""From one node to all of them: documents to the exchange of the outbox, each confirmed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from uuid import uuid4

from twisted.internet.defer import Deferred, TimeoutError, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from ws_gateway.brokers.rabbitmq.link import RabbitLink
from ws_gateway.brokers.rabbitmq.names import RabbitNames
from ws_gateway.brokers.rabbitmq.publisher import Message, Outcome, Publisher
from ws_gateway.brokers.rabbitmq.topology import Exchange, establish
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IRelay

if TYPE_CHECKING:
    from ws_gateway.brokers.rabbitmq.wire import Wire

__all__ = ["RabbitRelay"]

_NAMES = RabbitNames()


@implementer(IRelay)
class RabbitRelay:
    """See the module. It joins the link at once. Somebody waits for each call, so during an alarm of the
    broker calls fail instead of waiting.

    :param patience: seconds for a call.
    """

    def __init__(
        self,
        link: RabbitLink,
        clock: IReactorTime,
        chance: Callable[[], float],
        names: RabbitNames = _NAMES,
        patience: float = 10.0,
    ) -> None:
        self._link = link
        self._clock = clock
        self._name = names.outbox
        self._patience = patience
        self._publisher = Publisher(link, clock, chance, "publications to RabbitMQ", self._declare)
        self._publisher.open()

    def settled(self) -> Deferred[None]:
        """Wait until documents can be relayed, or until it is clear that they cannot."""
        return self._publisher.settled()

    def close(self) -> None:
        """Relay nothing any more; calls that are under way fail with BrokerDown. Idempotent."""
        self._publisher.close()

    @property
    def usable(self) -> bool:
        return self._publisher.is_up and not self._link.blocked

    def relay(self, documents: Sequence[bytes]) -> Deferred[None]:
        if not documents:
            return succeed(None)
        if self._link.blocked:
            return fail(BrokerDown("the broker takes no messages for now (alarm)"))
        messages = [Message(self._name, self._name, document, uuid4().hex) for document in documents]
        relayed = self._publisher.publish(messages)
        relayed.addTimeout(self._patience, self._clock)
        return relayed.addCallbacks(self._judge, self._too_long)

    def _judge(self, outcomes: list[Outcome]) -> None:
        found = set(outcomes)
        if found & {Outcome.UNKNOWN, Outcome.UNSENT}:
            raise BrokerDown(self._publisher.trouble or "the connection was lost")
        if Outcome.NACKED in found:
            raise BrokerRefused("NACK", "RabbitMQ could not take it: a queue is full or broken")
        if Outcome.UNROUTABLE in found:
            raise BrokerRefused("NO_ROUTE", f"no queue is bound to exchange {self._name}: no node is there")

    def _too_long(self, failure: Failure) -> None:
        failure.trap(TimeoutError)
        raise BrokerDown(f"no confirm within {self._patience:.0f} s: nobody knows whether it was written")

    async def _declare(self, wire: Wire) -> None:
        wrong = await establish(wire, [Exchange(self._name)])
        if wrong:
            raise BrokerRefused("NOT_AS_IT_SHOULD_BE", "; ".join(wrong.values()))
