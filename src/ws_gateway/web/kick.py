"""What a backend may say when it closes a connection: a code of its own range and a short reason.

`code` is 4000 to 4999 and 4403 if absent; `reason` is cut at the 123 bytes that a Close frame can hold.
"""

from typing import Any

import orjson
from attrs import frozen

from ws_gateway.web.problem import Refused
from ws_gateway.web.query import Query

__all__ = ["Kick", "kick_from_body", "kick_from_query"]

KICKED = 4403
LEAST_CODE, MOST_CODE = 4000, 4999
MOST_REASON_BYTES = 123


@frozen
class Kick:
    """How and whom to disconnect.

    :ivar user_id: all connections of this user; None: the call's path says it, or nobody does.
    """

    code: int = KICKED
    reason: str = ""
    user_id: str | None = None
    connection_id: str | None = None


def kick_from_query(query: Query) -> Kick:
    """Code and reason from a query.

    :raises Refused: 422, naming the parameter.
    """
    code = query.integer("code", LEAST_CODE, MOST_CODE)
    return Kick(KICKED if code is None else code, _cut(query.text("reason") or ""))


def kick_from_body(body: bytes) -> Kick:
    """Everything from a JSON object; an empty body is an empty object.

    :raises Refused: 400 or 422, naming the member.
    """
    try:
        document = orjson.loads(body or b"{}")
    except orjson.JSONDecodeError as error:
        raise Refused(400, f"the body is not JSON: {error.msg}") from None
    if not isinstance(document, dict):
        raise Refused(422, "the body must be a JSON object")
    return Kick(
        _code(document),
        _cut(_text(document, "reason") or ""),
        _user_id(document),
        _text(document, "connection_id"),
    )


def _code(document: dict[str, Any]) -> int:
    if document.get("code") is None:
        return KICKED
    code = _whole(document["code"])
    if code is None or not LEAST_CODE <= code <= MOST_CODE:
        raise Refused(422, f"code must be a whole number from {LEAST_CODE} to {MOST_CODE}", "code")
    return code


def _text(document: dict[str, Any], name: str) -> str | None:
    value = document.get(name)
    if value is not None and not isinstance(value, str):
        raise Refused(422, f"{name} must be a string", name)
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


def _cut(reason: str) -> str:
    return reason.encode("utf-8")[:MOST_REASON_BYTES].decode("utf-8", "ignore")
