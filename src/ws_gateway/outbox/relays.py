"""Several ways to all nodes: every node reads all of them, so one is enough."""

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from zope.interface import implementer

from ws_gateway.interfaces import IRelay

__all__ = ["FirstUsable"]


@implementer(IRelay)
class FirstUsable:
    """Relays by the first way that is usable; by the first of all if none is, which then says why.

    A call that fails is not repeated by another way: perhaps it was relayed, and nothing is to come twice.

    :param relays: at least one, the preferred one first.
    """

    def __init__(self, relays: Sequence[IRelay]) -> None:
        self._relays = tuple(relays)

    @property
    def usable(self) -> bool:
        return any(relay.usable for relay in self._relays)

    def relay(self, documents: Sequence[bytes]) -> Deferred[None]:
        for relay in self._relays:
            if relay.usable:
                return relay.relay(documents)
        return self._relays[0].relay(documents)
