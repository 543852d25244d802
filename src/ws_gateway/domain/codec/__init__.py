"""The only place that knows wire field names (contract sections 1, 2, 4 and 6)."""

from ws_gateway.domain.codec.client import (
    HEARTBEAT_ACK,
    PONG,
    RATE_LIMITED,
    RAW_FIELDS,
    ControlKind,
    control_kind,
    encode_binary,
    encode_event_frame,
    encode_raw,
    read_object,
)
from ws_gateway.domain.codec.events import encode_event, encode_facts
from ws_gateway.domain.codec.kicks import LEAST_CODE, MOST_CODE, decode_kick, encode_kick
from ws_gateway.domain.codec.outbox import decode_order, encode_publication
from ws_gateway.domain.codec.protocol1 import (
    CommandError,
    encode_error,
    encode_refreshed,
    encode_welcome,
    is_command,
    refresh_token,
)
from ws_gateway.domain.codec.publications import (
    PublicationInvalid,
    body_api_key,
    decode_batch,
    decode_publication,
)

__all__ = [
    "HEARTBEAT_ACK",
    "LEAST_CODE",
    "MOST_CODE",
    "PONG",
    "RATE_LIMITED",
    "RAW_FIELDS",
    "CommandError",
    "ControlKind",
    "PublicationInvalid",
    "body_api_key",
    "control_kind",
    "decode_batch",
    "decode_kick",
    "decode_order",
    "decode_publication",
    "encode_binary",
    "encode_error",
    "encode_event",
    "encode_event_frame",
    "encode_facts",
    "encode_kick",
    "encode_publication",
    "encode_raw",
    "encode_refreshed",
    "encode_welcome",
    "is_command",
    "read_object",
    "refresh_token",
]
