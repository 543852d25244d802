"""What a client that asked for protocol 1 (query `v=1`) and the gateway say to each other.

| gateway | when |
|---|---|
| `{"type":"ws.welcome","connection_id","user_id","subjects","refused","node_id","expires_at"}` | first |
| `{"type":"ws.refreshed","expires_at"}` | a new token was accepted |
| `{"type":"ws.error","error"}` | a command did nothing; `error` is a CommandError |

| client | asks |
|---|---|
| `{"type":"ws.refresh","token"}` | to go on under a new token of the same user |

Times are Unix seconds, null for never.
"""

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import Any

import orjson

from ws_gateway.domain.messages import ConnectionFacts

__all__ = [
    "CommandError",
    "encode_error",
    "encode_refreshed",
    "encode_welcome",
    "is_command",
    "refresh_token",
]

_PREFIX = "ws."
_REFRESH = "ws.refresh"


class CommandError(StrEnum):
    """Why a command did nothing."""

    UNKNOWN_TYPE = "unknown_type"
    MALFORMED = "malformed"
    BUSY = "busy"
    TRY_LATER = "try_later"


def is_command(message: Mapping[str, Any]) -> bool:
    """Does the message's type belong to the gateway?"""
    kind = message.get("type")
    return type(kind) is str and kind.startswith(_PREFIX)


def refresh_token(command: Mapping[str, Any]) -> str | CommandError:
    """The token of a refresh, or what is wrong with the command."""
    if command["type"] != _REFRESH:
        return CommandError.UNKNOWN_TYPE
    token = command.get("token")
    return token if type(token) is str and token else CommandError.MALFORMED


def encode_welcome(facts: ConnectionFacts, refused: Sequence[str], expires_at: float | None) -> bytes:
    """The greeting."""
    return orjson.dumps(
        {
            "type": "ws.welcome",
            "connection_id": facts.connection_id,
            "user_id": facts.user_id,
            "subjects": facts.subjects,
            "refused": refused,
            "node_id": facts.node_id,
            "expires_at": _seconds(expires_at),
        }
    )


def encode_refreshed(expires_at: float | None) -> bytes:
    """The answer to a refresh that was accepted."""
    return orjson.dumps({"type": "ws.refreshed", "expires_at": _seconds(expires_at)})


def encode_error(error: CommandError) -> bytes:
    """The answer to a command that did nothing."""
    return orjson.dumps({"type": "ws.error", "error": error.value})


def _seconds(moment: float | None) -> int | None:
    return None if moment is None else int(moment)
