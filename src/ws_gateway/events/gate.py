"""Order between the lanes of one connection, for one sink (contract section 2).

`connected` and `disconnected` stand in the connection's own lane, and so do its messages unless they have an
ordering key. Within the own lane the order is right by itself. A message with an ordering key is *abroad*:

- it waits until the connection's `connected` was accepted or given up;
- the connection's `disconnected` waits until no message of it is abroad any more.

Everybody waits only for older events, so nobody waits for ever.
"""

from __future__ import annotations

from collections.abc import Sequence

from ws_gateway.domain.messages import Envelope, EventType
from ws_gateway.events.lane import Lane

__all__ = ["Gate"]

_CONNECTED = EventType.CONNECTED
_DISCONNECTED = EventType.DISCONNECTED


class Gate:
    """Holds lanes whose head may not be offered yet. Knows only connections with something under way."""

    def __init__(self) -> None:
        self._unannounced: dict[str, list[Lane]] = {}
        self._abroad: dict[str, int] = {}
        self._leaving: dict[str, Lane] = {}

    @property
    def empty(self) -> bool:
        """Whether nothing is remembered of any connection."""
        return not (self._unannounced or self._abroad or self._leaving)

    def entered(self, envelope: Envelope) -> None:
        """An event was taken into a lane."""
        connection_id = envelope.connection_id
        if envelope.type is _CONNECTED:
            self._unannounced[connection_id] = []
        elif envelope.key != connection_id:
            self._abroad[connection_id] = self._abroad.get(connection_id, 0) + 1

    def holds(self, lane: Lane) -> bool:
        """Judge the head of a lane.

        :returns: False if it may be offered. True if it must wait: then the gate keeps the lane, and
            left() will hand it out.
        """
        envelope = lane.head
        connection_id = envelope.connection_id
        if envelope.type is _DISCONNECTED:
            if connection_id in self._abroad:
                self._leaving[connection_id] = lane
                return True
        elif envelope.key != connection_id:
            held = self._unannounced.get(connection_id)
            if held is not None:
                held.append(lane)
                return True
        return False

    def left(self, envelope: Envelope) -> Sequence[Lane]:
        """An event was accepted or given up.

        :returns: the lanes that may go on now.
        """
        connection_id = envelope.connection_id
        if envelope.type is _CONNECTED:
            return self._unannounced.pop(connection_id)
        if envelope.key == connection_id:
            return ()
        count = self._abroad[connection_id] - 1
        if count:
            self._abroad[connection_id] = count
            return ()
        del self._abroad[connection_id]
        lane = self._leaving.pop(connection_id, None)
        return () if lane is None else (lane,)
