"""What a component needs to be there: exchanges, queues, bindings. All durable, exchanges direct.

A refusal closes the channel on which it was asked for. So nobody else's channel is used, and a new one takes
its place: one exchange of another type does not keep the others from being there.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from ws_gateway.errors import BrokerRefused

if TYPE_CHECKING:
    from ws_gateway.brokers.rabbitmq.wire import Channel, Wire

__all__ = ["Binding", "Exchange", "Item", "Queue", "establish", "is_there"]

_DIFFERENCE = re.compile(r"inequivalent arg .*")


@frozen
class Exchange:
    """A direct, durable exchange."""

    name: str

    @property
    def about(self) -> str:
        return f"exchange {self.name}"

    async def declare(self, channel: Channel, passive: bool) -> None:
        await channel.declare_exchange(self.name, "direct", passive)


@frozen
class Queue:
    """A durable queue.

    :ivar as_it_is: whether one that is there is used whatever its arguments are.
    """

    name: str
    arguments: Mapping[str, Any] = field(factory=dict, hash=False)
    as_it_is: bool = False

    @property
    def about(self) -> str:
        return f"queue {self.name}"

    async def declare(self, channel: Channel, passive: bool) -> None:
        await channel.declare_queue(self.name, passive, self.arguments or None)


@frozen
class Binding:
    """A queue gets what an exchange is given with a routing key."""

    queue: str
    exchange: str
    key: str

    @property
    def about(self) -> str:
        return f"binding of queue {self.queue} to exchange {self.exchange}"

    async def declare(self, channel: Channel, passive: bool) -> None:
        if not passive:
            await channel.bind(self.queue, self.exchange, self.key)


Item = Exchange | Queue | Binding


async def establish(wire: Wire, items: Sequence[Item]) -> dict[Item, str]:
    """Declare everything, in order.

    What the user may not declare is only looked for: a user without the permission to configure may use what
    others have declared for it. (A binding that may not be made is taken to be there; `mandatory` tells.)

    :returns: what is not there or not as it should be, and why, in a sentence.
    :raises Lost: the connection is gone.
    """
    wrong: dict[Item, str] = {}
    channel = await wire.channel()
    try:
        for item in items:
            attempts = (True, False) if isinstance(item, Queue) and item.as_it_is else (False,)
            for passive in attempts:
                refused, channel = await _attempt(wire, channel, item, passive)
                if refused is not None and not passive and refused.code == "ACCESS_REFUSED":
                    refused, channel = await _forbidden(wire, channel, item, refused)
                if refused is None:
                    wrong.pop(item, None)
                    break
                wrong[item] = _describe(item, refused)
    finally:
        channel.close()
    return wrong


async def is_there(wire: Wire, queue: Queue) -> bool:
    """Whether a queue exists.

    :raises Lost: the connection is gone.
    """
    refused, channel = await _attempt(wire, await wire.channel(), queue, passive=True)
    channel.close()
    return refused is None


async def _attempt(
    wire: Wire, channel: Channel, item: Item, passive: bool
) -> tuple[BrokerRefused | None, Channel]:
    """Declare; a new channel takes the place of one that a refusal has closed."""
    try:
        await item.declare(channel, passive)
    except BrokerRefused as refused:
        return refused, await wire.channel()
    return None, channel


async def _forbidden(
    wire: Wire, channel: Channel, item: Item, refused: BrokerRefused
) -> tuple[BrokerRefused | None, Channel]:
    missing, channel = await _attempt(wire, channel, item, passive=True)
    return (refused if missing is not None else None), channel


def _describe(item: Item, refused: BrokerRefused) -> str:
    difference = _DIFFERENCE.search(refused.detail)
    if difference is not None:
        return f"{item.about} is not as it should be: {difference[0]}"
    return f"{item.about}: {refused.detail}"
