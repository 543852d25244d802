"""Exchanges and queues that are kept as they should be: declared on each connection, and again after a while
as long as something is wrong with one. Whatever is wrong keeps nothing else from being there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.brokers.rabbitmq.link import RabbitLink
from ws_gateway.brokers.rabbitmq.topology import Item, establish
from ws_gateway.domain.retry import Backoff
from ws_gateway.errors import BrokerDown

if TYPE_CHECKING:
    from ws_gateway.brokers.rabbitmq.wire import Wire

__all__ = ["Upkeep"]

_log = Logger()

_BACKOFF = Backoff(0.5, 15.0)


class Upkeep:
    """See the module.

    :param purpose: what the items are for, in log lines.
    :ivar wrong: what is not as it should be, and why, in a sentence.
    """

    def __init__(
        self,
        link: RabbitLink,
        clock: IReactorTime,
        chance: Callable[[], float],
        purpose: str,
        items: Sequence[Item],
    ) -> None:
        self._link = link
        self._clock = clock
        self._chance = chance
        self._purpose = purpose
        self._items = items
        self._failures = 0
        self._timer: IDelayedCall | None = None
        self._repairing: Deferred[None] | None = None
        self._closed = False
        self.wrong: dict[Item, str] = {}

    async def establish(self, wire: Wire) -> None:
        """Declare everything.

        :raises Lost: the connection is gone.
        """
        before, self.wrong = self.wrong, await establish(wire, self._items)
        if not self.wrong:
            self._failures = 0
            return
        for item, why in self.wrong.items():
            if before.get(item) != why:
                _log.warn("{purpose}: {detail}", purpose=self._purpose, detail=why)
        self.again()

    def again(self) -> None:
        """Declare everything again, soon."""
        if self._timer is None and self._repairing is None and not self._closed:
            pause = _BACKOFF.delay(self._failures, self._chance())
            self._failures += 1
            self._timer = self._clock.callLater(pause, self._repair)

    def close(self) -> None:
        """Declare nothing any more. Idempotent."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._repairing is not None:
            self._repairing.cancel()

    def _repair(self) -> None:
        self._timer = None
        wire = self._link.wire
        if wire is None:
            # A new connection declares everything anyway.
            return
        repairing: Deferred[None] = Deferred.fromCoroutine(self.establish(wire))
        if not repairing.called:
            self._repairing = repairing
        repairing.addBoth(self._repaired)

    def _repaired(self, result: Failure | None) -> None:
        self._repairing = None
        if isinstance(result, Failure):
            if not result.check(BrokerDown, CancelledError):
                _log.failure("exchanges and queues could not be declared again", result)
        elif self.wrong:
            self.again()
