"""Backend -> gateway: orders to close connections, by HTTP (contract section 6) and in the outbox (4).

`{"user_id"?,"connection_id"?,"code"?,"reason"?}`; in the outbox with `"op":"disconnect"`. `code` is 4000 to
4999 and 4403 if absent; `reason` is cut at the 123 bytes that a Close frame can hold.
"""

from typing import Any

import orjson

from ws_gateway.domain.closing import KICKED_CODE, cut_reason
from ws_gateway.domain.codec.publications import PublicationInvalid, load_object
from ws_gateway.domain.messages import Kick

__all__ = ["LEAST_CODE", "MOST_CODE", "OP_DISCONNECT", "decode_kick", "encode_kick", "kick_of"]

LEAST_CODE, MOST_CODE = 4000, 4999

OP_DISCONNECT = "disconnect"


def decode_kick(body: bytes) -> Kick:
    """The order in a body; an empty one is an empty object.

    :raises PublicationInvalid: with the field and what is allowed.
    """
    return kick_of(load_object(body or b"{}")[1])


def kick_of(document: dict[str, Any]) -> Kick:
    """The order in a document. Whether it names anybody is for the caller to judge.

    :raises PublicationInvalid: with the field and what is allowed.
    """
    return Kick(
        _code(document),
        cut_reason(_text(document, "reason") or ""),
        _user_id(document),
        _text(document, "connection_id"),
    )


def encode_kick(kick: Kick) -> bytes:
    """The order as it stands in the outbox."""
    document: dict[str, object] = {"op": OP_DISCONNECT}
    if kick.user_id is not None:
        document["user_id"] = kick.user_id
    if kick.connection_id is not None:
        document["connection_id"] = kick.connection_id
    return orjson.dumps({**document, "code": kick.code, "reason": kick.reason})


def _code(document: dict[str, Any]) -> int:
    if document.get("code") is None:
        return KICKED_CODE
    code = _whole(document["code"])
    if code is None or not LEAST_CODE <= code <= MOST_CODE:
        sentence = f"code must be a whole number from {LEAST_CODE} to {MOST_CODE}"
        raise PublicationInvalid(422, "code", sentence)
    return code


def _text(document: dict[str, Any], name: str) -> str | None:
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise PublicationInvalid(422, name, f"{name} must be a string")
    return value


def _user_id(document: dict[str, Any]) -> str | None:
    """A user id may be written as an integer, as in tokens; its decimal text is meant."""
    number = _whole(document.get("user_id"))
    return _text(document, "user_id") if number is None else str(number)


def _whole(value: object) -> int | None:
    """A whole number of JSON, which has one kind of number only: `4001.0` is the same as `4001`.

    From 2^53 on, a number that was read as a float may have lost digits, and stand for somebody else.
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    return value if type(value) is int else None
