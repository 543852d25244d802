"""Client <-> gateway: what a text frame says, and what the gateway answers.

| client sends | meaning |
|---|---|
| object with `type` = `ping` | answered with PONG |
| object with `type` = `heartbeat` | answered with HEARTBEAT_ACK |
| any other object | an event |
| anything that is no JSON object, and binary | an event whose message is the `raw` object |

A publication reaches the client as `{"type":"event","payload":<payload>}`.
"""

from base64 import b64encode
from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType
from typing import Any

import orjson

__all__ = [
    "HEARTBEAT_ACK",
    "PONG",
    "RATE_LIMITED",
    "RAW_FIELDS",
    "ControlKind",
    "control_kind",
    "encode_binary",
    "encode_event_frame",
    "encode_raw",
    "read_object",
]

PONG = b'{"type":"pong"}'
HEARTBEAT_ACK = b'{"type":"heartbeat_ack"}'
RATE_LIMITED = b'{"type":"rate_limited"}'

RAW_FIELDS: Mapping[str, Any] = MappingProxyType({"type": "raw"})
"""The members of a `raw` object that ordering may look at, the same for all of them."""


class ControlKind(Enum):
    """What the gateway answers by itself."""

    PING = "ping"
    HEARTBEAT = "heartbeat"


_KINDS = {kind.value: kind for kind in ControlKind}


def read_object(text: str) -> dict[str, Any] | None:
    """The JSON object that a text is, or None for everything else.

    orjson is strict: `NaN`, `1e400`, lone surrogates, a byte order mark and nesting over 1,024 are no JSON.
    """
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    return value if type(value) is dict else None


def control_kind(message: dict[str, Any]) -> ControlKind | None:
    """What the object's `type` asks of the gateway; None: it is a message for the backend."""
    kind = message.get("type")
    return _KINDS.get(kind) if type(kind) is str else None


def encode_raw(text: str) -> bytes:
    """The message that stands for a text that is no JSON object."""
    return b'{"type":"raw","payload":%b}' % orjson.dumps(text)


def encode_binary(payload: bytes) -> tuple[bytes, str]:
    """The message that stands for a binary frame, and the same base64 as `raw` text."""
    encoded = b64encode(payload)
    return b'{"type":"raw","payload":"%b","encoding":"base64"}' % encoded, encoded.decode("ascii")


def encode_event_frame(payload: bytes) -> bytes:
    """The text of a publication for the client; the payload's JSON goes in as it came."""
    return b'{"type":"event","payload":%b}' % payload
