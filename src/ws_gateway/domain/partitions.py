"""The partition of a message, part of the names of streams and routing keys (contract section 5).

    ws.inbox + ordering key "room:1"  ->  ws.inbox.room:1

- Each character outside `[A-Za-z0-9._:-]` becomes `_`. Keys that differ in nothing else share a partition.
- A key of more than `ORDERING_PARTITION_MAX_LEN` characters becomes the SHA-1 of its UTF-8, in hexadecimal.
  What is counted are the characters of the key as the client wrote it: each becomes one byte of the name.
- Clients choose keys, so there are at most `ORDERING_PARTITION_MAX_KEYS` partitions, first come, first
  served, and none is given up: otherwise a key could overtake itself. All further keys share `overflow`. A
  client that calls its key `overflow` gets into the same partition; that takes nothing from anybody.
- No name is empty: a key has a character, and every character leaves one. A message without an ordering key
  has no partition, nor has one whose key is the id of its own connection, for that means the same.
"""

from __future__ import annotations

import re
from hashlib import sha1

from ws_gateway.domain.messages import Envelope
from ws_gateway.interfaces import IMetrics

__all__ = ["OVERFLOW", "Partitions"]

OVERFLOW = "overflow"

REMEMBERED = 4
"""So many keys are remembered for each partition that there may be: two keys may have the same one."""

_UNFIT = re.compile(r"[^A-Za-z0-9._:-]")


class Partitions:
    """Call it for the partition of an event. All sinks share one, so that a key has one on all of them.

    :param max_length: `ORDERING_PARTITION_MAX_LEN`.
    :param max_keys: `ORDERING_PARTITION_MAX_KEYS`.
    """

    def __init__(self, max_length: int, max_keys: int, metrics: IMetrics) -> None:
        self._max_length = max_length
        self._max_keys = max_keys
        self._max_remembered = max_keys * REMEMBERED
        self._partitions: set[str] = set()
        self._by_key: dict[str, str] = {}
        self._overflowed = metrics.counter(
            "ordering_overflow_total", "Messages whose ordering key got no partition of its own."
        )
        metrics.gauge("ordering_partitions", "Partitions in use.", lambda: len(self._partitions))

    def __call__(self, envelope: Envelope) -> str | None:
        """The partition, or None for an event without an ordering key. Always the same for the same key."""
        key = envelope.key
        if key == envelope.connection_id:
            return None
        return self._by_key.get(key) or self._look_up(key)

    def _look_up(self, key: str) -> str | None:
        name = self._name(key)
        if not name or name == OVERFLOW:
            return name or None
        if name not in self._partitions:
            if len(self._partitions) >= self._max_keys:
                self._overflowed.inc()
                return OVERFLOW
            self._partitions.add(name)
        if len(key) <= self._max_length:
            if len(self._by_key) >= self._max_remembered:
                self._by_key.clear()
            self._by_key[key] = name
        return name

    def _name(self, key: str) -> str:
        if len(key) > self._max_length:
            return sha1(key.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
        return _UNFIT.sub("_", key)
