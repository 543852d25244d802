"""The chat: events come in, publications go out, and the last message stays to be looked at.

Publications, as clients get them in `payload`:
- `{"type":"chat","user":"user:ID","text":T,"ts":seconds}` to everybody online and the sender, for a message
  `{"type":"chat","text":T}` (a string `payload` is taken in place of `text`);
- `{"type":"presence","users":["user:ID",..],"ts":seconds}` to everybody, whenever somebody comes or goes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.logger import Logger

from ws_gateway.backend import Calls, Connected, Disconnected, Event, MessageReceived
from ws_gateway.demo.publisher import Publisher
from ws_gateway.demo.roster import Roster

__all__ = ["Heard", "Room", "RoomFull"]

_log = Logger()
_EVERYBODY = "*"
_MOST_SUBJECTS = 1000


@dataclass(frozen=True, slots=True)
class Heard:
    """The last message and when it came (Unix seconds)."""

    event: MessageReceived = field(repr=False)
    received_at: int


class RoomFull(Exception):
    """Too many publications wait already; nothing was done, and the same event may come again later."""


class Room:
    """One chat room for all users of the gateway."""

    def __init__(
        self, roster: Roster, calls: Calls, publisher: Publisher, clock: Callable[[], float]
    ) -> None:
        """
        :param clock: Unix seconds.
        """
        self._calls = calls
        self._roster = roster
        self._publisher = publisher
        self._clock = clock
        self.last: Heard | None = None

    def hear(self, event: Event) -> None:
        """Act on an event.

        :raises RoomFull: there is no room for what would have to be published.
        """
        self._publisher.nudge()
        if self._publisher.full:
            raise RoomFull
        _log.info(
            "{type} from {user} on {connection_id}",
            type=event.type,
            user=event.user_id,
            connection_id=event.connection_id,
        )
        if isinstance(event, Disconnected):
            self._roster.left(event.connection_id)
            self.announce()
        elif isinstance(event, Connected):
            self._roster.joined(event.connection_id, event.user_id)
            self.announce()
        else:
            self._roster.joined(event.connection_id, event.user_id)
            self.last = Heard(event, int(self._clock()))
            self._chat(event)

    def announce(self) -> None:
        """Tell everybody who is online."""
        users = [f"user:{user_id}" for user_id in self._roster.users]
        presence = {"type": "presence", "users": users, "ts": int(self._clock())}
        self._publisher.submit(self._calls.publish([_EVERYBODY], presence), replaces="presence")

    def _chat(self, event: MessageReceived) -> None:
        text = _chat_text(event.message)
        if not text:
            return
        sender = f"user:{event.user_id}"
        # The sender is among them: who speaks is online.
        listeners = [f"user:{user_id}" for user_id in self._roster.users]
        if len(listeners) > _MOST_SUBJECTS:
            listeners = [_EVERYBODY]
        chat = {"type": "chat", "user": sender, "text": text, "ts": int(self._clock())}
        try:
            self._publisher.submit(self._calls.publish(listeners, chat))
        except ValueError as error:
            # Half a character, as JavaScript allows: no other client could read it.
            _log.warn("not published: {detail}", detail=str(error))


def _chat_text(message: Mapping[str, Any]) -> str:
    """What was said, trimmed; empty if this is no chat message."""
    if message.get("type") != "chat":
        return ""
    text = message.get("text", message.get("payload"))
    return text.strip() if isinstance(text, str) else ""
