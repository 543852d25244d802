"""Streams of Redis as the gateway has them: their names, and what Redis tells of one."""

from __future__ import annotations

from typing import Any

from attrs import frozen

from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.errors import BrokerRefused

__all__ = [
    "BEGINNING",
    "EntryId",
    "OutboxStreams",
    "StreamInfo",
    "look_at",
    "parse_id",
    "show_id",
    "words_of_trim",
]

EntryId = tuple[int, int]
"""Milliseconds and a number within them; compares as Redis compares."""

BEGINNING: EntryId = (0, 0)


@frozen
class OutboxStreams:
    """The streams that publications come by.

    :ivar outbox: where backends and relays write.
    :ivar dead_letters: where publications go that nobody could use.
    :ivar maxlen: about how many entries are kept of what we write to; None trims nothing.
    """

    outbox: str = "ws.outbox"
    dead_letters: str = "ws.dlq"
    maxlen: int | None = None


@frozen
class StreamInfo:
    """What `XINFO STREAM` says.

    :ivar last: the id that was given last; stays when entries are deleted.
    :ivar first: the id of the oldest entry, None without entries.
    :ivar added: how many entries were ever added, None before Redis 7.
    """

    length: int
    last: EntryId
    first: EntryId | None
    added: int | None


def parse_id(text: bytes) -> EntryId:
    """`1700000000000-0` as numbers."""
    milliseconds, _, number = text.partition(b"-")
    return int(milliseconds), int(number or b"0")


def show_id(entry: EntryId) -> str:
    """The reverse."""
    return f"{entry[0]}-{entry[1]}"


def words_of_trim(maxlen: int | None) -> tuple[str | int, ...]:
    """What an XADD says about trimming, after the name of the stream."""
    return () if maxlen is None else ("MAXLEN", "~", maxlen)


async def look_at(link: RedisLink, stream: str) -> StreamInfo | None:
    """Ask Redis about a stream.

    :returns: None if there is none.
    :raises BrokerDown:
    :raises BrokerRefused: the key is no stream, or we may not look.
    """
    try:
        reply: list[Any] = await link.run("XINFO", "STREAM", stream)
    except BrokerRefused as error:
        if error.code == "ERR" and "no such key" in error.detail:
            return None
        raise
    told = dict(zip(reply[::2], reply[1::2], strict=True))
    first = told[b"first-entry"]
    return StreamInfo(
        told[b"length"],
        parse_id(told[b"last-generated-id"]),
        parse_id(first[0]) if first else None,
        told.get(b"entries-added"),
    )
