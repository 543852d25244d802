"""Tells the backend of connections that a dead node took along: `disconnected` with the cause `node_lost`.

The store keeps what is owed; here is only what is under way. A connection is settled when its event waits for
no sink any more, be it taken or given up. One that the pipeline refused is still owed.
"""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ws_gateway.domain import closing, codec
from ws_gateway.domain.lost import Claim, LostConnection
from ws_gateway.domain.messages import ConnectionFacts, DisconnectCause, Disconnected, Stamp
from ws_gateway.events.ids import id_of
from ws_gateway.interfaces import IEventEmitter, IMetrics, IPresenceStore

__all__ = ["MOST_UNDER_WAY", "LostConnections"]

_log = Logger()

MOST_UNDER_WAY = 500
"""No more is claimed while so many are not settled: the events of clients need the room, and other nodes may
be faster."""


class LostConnections:
    """See the module.

    :param wall_ms: Unix milliseconds.
    :param with_address: whether events carry the client's address (`EVENTS_CLIENT_IP`).
    """

    def __init__(
        self,
        store: IPresenceStore,
        emitter: IEventEmitter,
        wall_ms: Callable[[], int],
        with_address: bool,
        metrics: IMetrics,
    ) -> None:
        self._store = store
        self._emitter = emitter
        self._wall_ms = wall_ms
        self._with_address = with_address
        self._under_way: set[str] = set()
        self._done: dict[str, None] = {}
        self._named: set[str] = set()
        self._told = metrics.counter(
            "ws_node_lost_total", "Connections of dead nodes whose end this node told the backend."
        )
        self._untold = metrics.counter(
            "ws_node_lost_untold_total", "Connections of dead nodes of which nothing could be told."
        )

    @property
    def room(self) -> int:
        """How many more may be claimed."""
        return MOST_UNDER_WAY - len(self._under_way) - len(self._done)

    def claim(self) -> Deferred[Claim]:
        """Ask the store for some that are to be told."""
        return self._store.claim(self.room, self._wall_ms(), self._idle)

    async def settle(self) -> bool:
        """Have the store forget those that are told.

        :returns: whether there were any.
        :raises BrokerDown:
        :raises BrokerRefused:
        """
        done = list(self._done)
        if not done:
            return False
        await self._store.settle(done)
        for connection_id in done:
            del self._done[connection_id]
        return True

    def tell(self, claim: Claim) -> bool:
        """Hand over an event for each.

        :returns: whether all of them were taken.
        """
        if not claim.looked_at:
            self._named.clear()
        if claim.unreadable:
            self._untold.inc(len(claim.unreadable))
            self._done.update(dict.fromkeys(claim.unreadable))
            _log.warn(
                "nothing can be told of {count} connection(s) of dead nodes: what the store has of them, such"
                " as {example}, is none of ours",
                count=len(claim.unreadable),
                example=claim.unreadable[0],
            )
        return all(self._tell(one) for one in claim.lost)  # after a refusal the others would fare no better

    @property
    def _idle(self) -> bool:
        return not self._under_way and not self._done

    def _tell(self, lost: LostConnection) -> bool:
        self._name(lost.node_id)
        connection_id = lost.connection_id
        self._under_way.add(connection_id)
        taken = self._emitter.emit(self._event(lost), lambda: self._is_done(connection_id))
        if taken:
            self._told.inc()
        else:
            self._done.pop(connection_id, None)
        return taken

    def _is_done(self, connection_id: str) -> None:
        self._under_way.discard(connection_id)
        self._done[connection_id] = None

    def _event(self, lost: LostConnection) -> Disconnected:
        facts = ConnectionFacts(
            lost.connection_id,
            lost.user_id,
            lost.subjects,
            lost.connected_at,
            lost.node_id,
            lost.client_ip if self._with_address else None,
        )
        return Disconnected(
            facts,
            codec.encode_facts(facts),
            None,
            closing.ABNORMAL,
            "",
            DisconnectCause.NODE_LOST,
            stamp=Stamp(id_of(lost.connection_id, lost.lost_at_ms), lost.lost_at_ms),
        )

    def _name(self, node_id: str) -> None:
        """One line for each node that is lost."""
        if node_id not in self._named:
            self._named.add(node_id)
            _log.warn("node {node_id} is lost: the backend is told of its connections", node_id=node_id)
