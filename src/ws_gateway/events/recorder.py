"""What operators may still look at: the last events of the node, in one bounded ring for all connections.

An event costs one tuple and one append. Of a message only its beginning is kept, so that the ring is bounded
in bytes, too, and nothing of it is looked at before somebody asks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterator

from ws_gateway.domain.messages import Event, EventType
from ws_gateway.domain.views import RecordedEvent

__all__ = ["NOT_SENT", "TAKEN", "EventRecorder"]

TEXT_CHARACTERS = 200
"""How much of a message is kept."""

NOT_SENT = "not_sent"
TAKEN = "taken"

_WAITING = "waiting"
_DEAD_LETTER = "dead_letter"
_MESSAGE = EventType.MESSAGE_RECEIVED

_Entry = tuple[int, str, int, str, str, EventType, int | None, int, str | None]


class EventRecorder:
    """See the module.

    :param size: how many events are remembered, of all connections together.
    """

    def __init__(self, size: int) -> None:
        self._entries: deque[_Entry] = deque(maxlen=size)

    def __len__(self) -> int:
        return len(self._entries)

    def record(self, event: Event, outcome: str, at_ms: int, event_id: str = "", number: int = 0) -> None:
        """Remember an event.

        :param outcome: what is known already: TAKEN means that the sinks have or will have it.
        :param number: by which the pipeline knows it while it waits.
        """
        size, text = 0, None
        if event.type is _MESSAGE:
            raw = event.raw  # type: ignore[union-attr]
            size, text = len(raw), raw[:TEXT_CHARACTERS]
        self._entries.append(
            (at_ms, event_id, number, outcome, event.facts.connection_id, event.type, event.seq, size, text)
        )

    def last(
        self,
        connection_id: str,
        limit: int,
        waiting: Collection[int],
        dead: Collection[str],
        with_text: bool,
    ) -> tuple[RecordedEvent, ...]:
        """The last events of a connection, the newest last.

        :param waiting: numbers of the events that wait for a sink.
        :param dead: ids of the dead letters.
        """
        found = list(self._newest_first(connection_id, limit, waiting, dead, with_text))
        return tuple(reversed(found))

    def _newest_first(
        self,
        connection_id: str,
        limit: int,
        waiting: Collection[int],
        dead: Collection[str],
        with_text: bool,
    ) -> Iterator[RecordedEvent]:
        left = limit
        for at_ms, event_id, number, outcome, owner, kind, seq, size, text in reversed(self._entries):
            if owner != connection_id:
                continue
            if left <= 0:
                return
            left -= 1
            if number in waiting:
                outcome = _WAITING
            elif event_id in dead:
                outcome = _DEAD_LETTER
            yield RecordedEvent(
                at_ms, event_id, owner, kind.value, seq, size, outcome, text if with_text else None
            )
