"""What the backend sends to clients, as the JSON that the gateway takes.

One encoded publication is the body of `POST /internal/publish` and the field `data` of an entry in the stream
`ws.outbox` alike.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Publication", "encode_batch", "encode_publication"]


@dataclass(frozen=True, slots=True)
class Publication:
    """One payload for all connections that listen to any of the subjects; each gets it once.

    :ivar subjects: such as `user:42`, `channel:news`; `*` is everybody.
    :ivar payload: anything that JSON can say.
    :ivar traceparent: W3C trace context.
    :ivar exclude: connection ids that do not get it, such as the sender's.
    """

    subjects: Iterable[str]
    payload: Any = field(repr=False)
    traceparent: str | None = None
    exclude: Iterable[str] = ()


def encode_publication(
    subjects: Iterable[str], payload: Any, *, traceparent: str | None = None, exclude: Iterable[str] = ()
) -> bytes:
    """One publication as UTF-8 JSON.

    :raises TypeError: JSON has no word for a part of the payload, or one text stands where a list belongs.
    :raises ValueError: the payload holds NaN, an infinity or half a surrogate pair, which is no JSON.
    """
    return _encode(_document(Publication(subjects, payload, traceparent, exclude)))


def encode_batch(publications: Iterable[Publication]) -> bytes:
    """The body of `POST /internal/publish/batch`. The gateway takes up to 1,000 publications, all or none.

    :raises TypeError: as `encode_publication`.
    :raises ValueError: as `encode_publication`.
    """
    return _encode({"publications": [_document(publication) for publication in publications]})


def _document(publication: Publication) -> dict[str, Any]:
    document = {"subjects": _listed(publication.subjects, "subjects"), "payload": publication.payload}
    if publication.traceparent is not None:
        document["traceparent"] = publication.traceparent
    if excluded := _listed(publication.exclude, "exclude"):
        document["except"] = excluded
    return document


def _listed(texts: Iterable[str], name: str) -> list[str]:
    # A text is iterable, too: "user:42" would become seven subjects of one letter each.
    if isinstance(texts, str | bytes):
        raise TypeError(f"{name} is a list of texts, not one text")
    return list(texts)


def _encode(document: dict[str, Any]) -> bytes:
    # Not escaped to ASCII: smaller, and half a surrogate pair is refused here instead of by the gateway.
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
