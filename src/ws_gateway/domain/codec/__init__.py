"""The only place that knows wire field names (contract sections 1, 2 and 6)."""

from ws_gateway.domain.codec.client import (
    HEARTBEAT_ACK,
    PONG,
    RATE_LIMITED,
    RAW_FIELDS,
    ClientKind,
    client_kind,
    encode_binary,
    encode_event_frame,
    encode_raw,
    read_object,
)
from ws_gateway.domain.codec.events import encode_event, encode_facts
from ws_gateway.domain.codec.publications import (
    PublicationInvalid,
    body_api_key,
    decode_batch,
    decode_publication,
)

__all__ = [
    "HEARTBEAT_ACK",
    "PONG",
    "RATE_LIMITED",
    "RAW_FIELDS",
    "ClientKind",
    "PublicationInvalid",
    "body_api_key",
    "client_kind",
    "decode_batch",
    "decode_publication",
    "encode_binary",
    "encode_event",
    "encode_event_frame",
    "encode_facts",
    "encode_raw",
    "read_object",
]
