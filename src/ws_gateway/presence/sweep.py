"""Sweeps away what dead nodes left in the store, and has the backend told of it if it wants to hear that.

It is done in portions, and no faster than events are taken: with a full pipeline, or a store that refuses
something, it rests.
"""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from ws_gateway.interfaces import IMetrics, IPresenceStore
from ws_gateway.presence.lost import LostConnections

__all__ = ["SWEEP_SECONDS", "Sweep"]

SWEEP_SECONDS = 3.0
"""How often it is looked whether a node died."""


class Sweep:
    """See the module.

    :param lost: tells the backend; None where it hears of no ends.
    """

    def __init__(
        self, store: IPresenceStore, clock: IReactorTime, metrics: IMetrics, lost: LostConnections | None
    ) -> None:
        self._store = store
        self._clock = clock
        self._lost = lost
        self._rests_until = 0.0
        self._looks_at = 0.0
        self._stopped = False
        self._swept = metrics.counter(
            "presence_swept_total", "Connections of dead nodes that this node swept away."
        )

    def rest(self, seconds: float) -> None:
        """Do nothing for a while."""
        self._rests_until = max(self._rests_until, self._clock.seconds() + seconds)

    def stop(self) -> None:
        """Look at nothing more; what is under way is still settled."""
        self._stopped = True

    async def go_on(self) -> bool:
        """One portion, if it is time.

        :returns: whether there may be more at once.
        :raises BrokerDown:
        :raises BrokerRefused:
        """
        if self._clock.seconds() < self._rests_until:
            return False
        try:
            settled = await self.settle()
            return await self._look() or settled
        except BaseException:
            self.rest(SWEEP_SECONDS)
            raise

    async def settle(self) -> bool:
        """Have the store forget what is owed no more; raises like go_on().

        :returns: whether there was something.
        """
        return self._lost is not None and await self._lost.settle()

    async def _look(self) -> bool:
        now = self._clock.seconds()
        lost = self._lost
        if self._stopped or now < self._looks_at or (lost is not None and lost.room <= 0):
            return False
        if lost is None:
            looked_at = await self._store.sweep()
        else:
            claim = await lost.claim()
            if not lost.tell(claim):
                self.rest(SWEEP_SECONDS)
            looked_at = claim.looked_at
        self._swept.inc(looked_at)
        self._looks_at = now if looked_at else now + SWEEP_SECONDS
        return looked_at > 0
