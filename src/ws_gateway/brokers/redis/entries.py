"""What a batch of a stream holds: documents, and entries that hold none."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from attrs import frozen

from ws_gateway.brokers.redis.streams import EntryId, parse_id

__all__ = ["BatchSize", "Entries", "Unusable", "sort_out"]

_FIELD = b"data"
_FIRST_COUNT = 100


@frozen
class Unusable:
    """An entry without a document.

    :ivar raw: its fields, as JSON.
    """

    entry_id: str
    reason: str
    raw: bytes


@frozen
class Entries:
    """A batch, in order.

    :ivar ids: of all entries.
    :ivar documents: those that there are, each with its entry's id in `document_ids`.
    :ivar size: bytes of all documents.
    """

    ids: Sequence[EntryId]
    document_ids: Sequence[str]
    documents: Sequence[bytes]
    unusable: Sequence[Unusable]
    size: int


def sort_out(entries: Sequence[Any]) -> Entries:
    """Read the entries of an answer to XREAD.

    :param entries: at least one; pairs of an id and a flat list of fields and values.
    """
    ids: list[EntryId] = []
    document_ids: list[str] = []
    documents: list[bytes] = []
    unusable: list[Unusable] = []
    for entry_id, fields in entries:
        ids.append(parse_id(entry_id))
        document = fields[1] if fields[0] == _FIELD else _search(fields)
        if document is None:
            unusable.append(Unusable(entry_id.decode(), "the entry has no field named data", _show(fields)))
        else:
            document_ids.append(entry_id.decode())
            documents.append(document)
    return Entries(ids, document_ids, documents, unusable, sum(map(len, documents)))


class BatchSize:
    """How many entries are asked for at once, so that an answer has about so many bytes at most.

    :param most: entries.
    :param most_bytes: of all their documents.
    :ivar count: what to ask for next.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most = most
        self._most_bytes = most_bytes
        self.count = min(_FIRST_COUNT, most)

    def learn(self, count: int, size: int) -> None:
        """An answer had so many entries, of so many bytes."""
        fitting = self._most_bytes * count // max(size, 1)
        self.count = max(1, min(fitting, 2 * self.count, self._most))


def _search(fields: Sequence[bytes]) -> bytes | None:
    for at in range(0, len(fields) - 1, 2):
        if fields[at] == _FIELD:
            return fields[at + 1]
    return None


def _show(fields: Sequence[bytes]) -> bytes:
    texts = [field.decode(errors="replace") for field in fields]
    return orjson.dumps(dict(zip(texts[::2], texts[1::2], strict=False)))
