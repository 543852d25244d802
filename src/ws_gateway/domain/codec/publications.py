"""Backend -> gateway: publications as they come by HTTP (contract section 6) and from the outbox (section 4).

One publication is `{"subjects":[..],"payload":any,"traceparent"?,"except"?}`; unknown members are ignored. A
batch is `{"publications":[..]}`.

Most publications are written in one and the same way: `subjects`, `payload`, perhaps `traceparent`, nothing
escaped in between. Those are taken apart by their looks, and only the payload is parsed, for its strictness;
everything else goes the long way. Both ways find the same.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson

from ws_gateway.domain.codec.rawjson import elements, members
from ws_gateway.domain.messages import Publication
from ws_gateway.domain.subjects import MAX_PREFIX_BYTES, MAX_SUBJECT_BYTES, subject_problem
from ws_gateway.domain.trace import valid_traceparent
from ws_gateway.errors import GatewayError

__all__ = [
    "MAX_BATCH",
    "MAX_SUBJECTS",
    "PublicationInvalid",
    "body_api_key",
    "decode_batch",
    "decode_publication",
    "load_object",
    "plain_publication",
    "whole_publication",
]

MAX_SUBJECTS = 1_000
"""Subjects that one publication may name."""

MAX_PUBLISHED_SUBJECT_BYTES = MAX_SUBJECT_BYTES + MAX_PREFIX_BYTES
"""A user id may have 512 bytes of its own, and a user with the longest one must be reachable, too."""

MAX_BATCH = 1_000
"""Publications in one batch."""

MAX_EXCLUDED = 1_000
"""Connections that one publication may leave out."""

MAX_PLAIN_BRACKETS = 600
"""With more of them it could be nested more deeply than the long way allows."""

_NAME = rb'"[^"\\\x00-\x1f]+"'
_HEAD = re.compile(rb'\{"subjects": ?\[(%b(?:, ?%b)*)\], ?"payload": ?' % (_NAME, _NAME))
_BETWEEN = re.compile('", ?"')
_TRACED = re.compile(rb', ?"traceparent": ?"([0-9a-f-]{55})"\}\Z')
_TRACED_BYTES = 80
_QUOTE, _CLOSING = b'"}'
_BLANKS = frozenset(b" \t\n\r")


class PublicationInvalid(GatewayError):
    """The backend's document cannot be used.

    :ivar status: 400 if it is no JSON that we accept, 422 if a value is not allowed.
    :ivar field: what is wrong, such as `subjects` or `publications[3].payload`; empty for the whole body.
    :ivar detail: one sentence.
    """

    def __init__(self, status: int, field: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.field = field
        self.detail = detail


def decode_publication(body: bytes) -> Publication:
    """One publication.

    :raises PublicationInvalid: with the field and what is allowed.
    """
    return plain_publication(body) or whole_publication(*load_object(body))


def plain_publication(body: bytes) -> Publication | None:
    """A publication that is written as most are; None if it is not, or may not be right."""
    head = _HEAD.match(body)
    if head is None or body[-1] != _CLOSING:
        return None
    begin, end = head.end(), len(body) - 1
    traceparent = None
    if body[end - 1] == _QUOTE:
        traced = _TRACED.search(body, max(begin, end - _TRACED_BYTES))
        if traced is not None:
            end, traceparent = traced.start(), valid_traceparent(traced[1].decode("ascii"))
    payload = body[begin:end]
    try:
        # What stands around the payload is known, so if it is one JSON value, the whole is JSON, too.
        orjson.loads(payload)
        named = head[1][1:-1].decode("utf-8")
    except ValueError:
        return None
    names = _BETWEEN.split(named) if '"' in named else [named]
    if (
        payload[0] in _BLANKS
        or payload[-1] in _BLANKS
        or payload.count(b"[") + payload.count(b"{") > MAX_PLAIN_BRACKETS
        or len(names) > MAX_SUBJECTS
    ):
        return None
    for name in names:
        if subject_problem(name, MAX_PUBLISHED_SUBJECT_BYTES) is not None:
            return None
    return Publication(tuple(names if len(names) == 1 else dict.fromkeys(names)), payload, traceparent)


def whole_publication(text: str, document: dict[str, Any]) -> Publication:
    """The publication that a whole document is.

    :param text: the document's text.
    :raises PublicationInvalid: with the field and what is allowed.
    """
    with _nesting_judged():
        return _publication(text, 0, document, "")


def decode_batch(body: bytes) -> list[Publication]:
    """All publications of a batch, in order.

    :raises PublicationInvalid: of the first one that is not right, its index in the field.
    """
    text, document = load_object(body)
    if "publications" not in document:
        raise PublicationInvalid(422, "publications", "publications is missing")
    items = document["publications"]
    if not isinstance(items, list):
        raise PublicationInvalid(422, "publications", "publications must be a list")
    if not 1 <= len(items) <= MAX_BATCH:
        raise PublicationInvalid(422, "publications", f"publications must hold 1 to {MAX_BATCH} entries")
    with _nesting_judged():
        starts = elements(text, members(text)["publications"][0])
        return [
            _publication(text, start, item, f"publications[{index}]")
            for index, (start, item) in enumerate(zip(starts, items, strict=True))
        ]


def body_api_key(body: bytes) -> str | None:
    """The member `api_key` of a body, or None where there is no such text."""
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError:
        return None
    key = document.get("api_key") if isinstance(document, dict) else None
    return key if isinstance(key, str) else None


def load_object(body: bytes) -> tuple[str, dict[str, Any]]:
    """A JSON object, as its text and as what that says.

    :raises PublicationInvalid: it is none.
    """
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise PublicationInvalid(400, "", f"the body is not JSON: {_harmless(error)}") from None
    if not isinstance(document, dict):
        raise PublicationInvalid(422, "", "the body must be a JSON object")
    return body.decode("utf-8"), document


@contextmanager
def _nesting_judged() -> Iterator[None]:
    """The measuring scanner nests on the interpreter's stack, a little less deep than the strict parser."""
    try:
        yield
    except RecursionError:
        raise PublicationInvalid(400, "", "the body is nested too deeply") from None


def _harmless(error: orjson.JSONDecodeError) -> str:
    """The parser's message; it names a position and never quotes the document."""
    return error.msg


def _publication(text: str, start: int, document: Any, where: str) -> Publication:
    prefix = f"{where}." if where else ""
    if not isinstance(document, dict):
        raise PublicationInvalid(422, where, f"{where} must be a JSON object")
    subjects = _texts(document, "subjects", prefix, MAX_SUBJECTS)
    if not subjects:
        raise PublicationInvalid(422, f"{prefix}subjects", f"{prefix}subjects must not be empty")
    for index, subject in enumerate(subjects):
        problem = subject_problem(subject, MAX_PUBLISHED_SUBJECT_BYTES)
        if problem is not None:
            name = f"{prefix}subjects[{index}]"
            raise PublicationInvalid(422, name, f"{name} {problem}")
    if "payload" not in document:
        raise PublicationInvalid(422, f"{prefix}payload", f"{prefix}payload is missing")
    begin, end = members(text, start)["payload"]
    traceparent = document.get("traceparent")
    if traceparent is not None and not isinstance(traceparent, str):
        raise PublicationInvalid(422, f"{prefix}traceparent", f"{prefix}traceparent must be a string")
    excluded = _texts(document, "except", prefix, MAX_EXCLUDED) if document.get("except") is not None else ()
    return Publication(
        subjects=tuple(dict.fromkeys(subjects)),
        payload=text[begin:end].encode("utf-8"),
        traceparent=valid_traceparent(traceparent),
        excluded=frozenset(excluded),
    )


def _texts(document: dict[str, Any], name: str, prefix: str, most: int) -> list[str]:
    if name not in document:
        raise PublicationInvalid(422, f"{prefix}{name}", f"{prefix}{name} is missing")
    values = document[name]
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise PublicationInvalid(422, f"{prefix}{name}", f"{prefix}{name} must be a list of strings")
    if len(values) > most:
        raise PublicationInvalid(422, f"{prefix}{name}", f"{prefix}{name} must hold at most {most} entries")
    return values
