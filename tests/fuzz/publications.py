"""Bodies of publish calls: any bytes.

- Nothing but PublicationInvalid is raised, with a status and a sentence that fit into an answer.
- What is taken is JSON for a strict parser; what that one refuses, we refuse.
- Subjects are those of the document, and the payload's text is cut out of the body to the digit, also in the
  frame that clients get.
- The spans that `rawjson` measures are those of the members, wherever blanks and escapes stand.
"""

import json
from itertools import pairwise
from typing import Any

from tests.fuzz.strict import NotJson, equal, strict_value, strict_value_of_bytes
from ws_gateway.domain import codec
from ws_gateway.domain.codec import PublicationInvalid
from ws_gateway.domain.codec.rawjson import elements, members
from ws_gateway.domain.messages import Publication

__all__ = ["check"]


def check(data: bytes) -> None:
    """Judge one body.

    :raises AssertionError: something above does not hold.
    """
    try:
        value = strict_value_of_bytes(data)
    except NotJson:
        value = NotJson
    one = _decoded(codec.decode_publication, data)
    if one is not None:
        _same(one, value)
    batch = _decoded(codec.decode_batch, data)
    if batch is not None:
        assert len(batch) == len(value["publications"])
        for publication, source in zip(batch, value["publications"], strict=True):
            _same(publication, source)
    key = codec.body_api_key(data)
    if isinstance(value, dict) and type(value.get("api_key")) is str:
        assert key == value["api_key"]
    else:
        assert key is None
    if value is not NotJson:
        _measure(data.decode("utf-8"), value)


def _decoded(decode: Any, data: bytes) -> Any:
    try:
        return decode(data)
    except PublicationInvalid as error:
        assert error.status in (400, 422)
        assert error.detail
        json.dumps([error.field, error.detail], ensure_ascii=False).encode()
        return None


def _same(publication: Publication, source: Any) -> None:
    assert isinstance(source, dict), "a publication that a strict parser does not see"
    assert list(publication.subjects) == list(dict.fromkeys(source["subjects"]))
    assert all(publication.subjects)
    assert equal(strict_value_of_bytes(publication.payload), source["payload"])
    frame = strict_value(codec.encode_event_frame(publication.payload).decode("utf-8"), 2_000)
    assert equal(frame, {"type": "event", "payload": source["payload"]})
    assert publication.excluded == frozenset(source.get("except") or ())
    assert publication.traceparent in (None, source.get("traceparent"))


def _measure(text: str, value: Any) -> None:
    found: Any
    try:
        if isinstance(value, dict):
            spans = members(text)
            found = {name: strict_value(text[begin:end]) for name, (begin, end) in spans.items()}
        elif isinstance(value, list):
            begins = [*elements(text, len(text) - len(text.lstrip(" \t\r\n"))), len(text)]
            pieces = [text[begin:end] for begin, end in pairwise(begins)]
            decoder = json.JSONDecoder()
            found = [strict_value(piece[: decoder.raw_decode(piece)[1]]) for piece in pieces]
        else:
            return
    except RecursionError:
        return  # deeper than the stack; `_nesting_judged` answers for it where it matters
    assert equal(found, value)
