"""Frames of a client: any text and any bytes, through a session into the event's document.

- Nothing is raised.
- A text is an object for us exactly if it is one for a strict parser.
- The document reads back as what was sent, to the digit, and so does `raw`.
- What of a message goes into other members (trace, ordering key) cannot break out of them.
"""

from base64 import b64encode
from typing import Any

from tests.fuzz.strict import MAX_DEPTH, NotJson, equal, strict_value
from tests.unit.domain.sessions import FACTS, QUIET, START, events, opened
from ws_gateway.domain import codec
from ws_gateway.domain.effects import Send
from ws_gateway.domain.messages import MessageReceived
from ws_gateway.domain.ordering import ordering_rule
from ws_gateway.domain.trace import valid_traceparent

__all__ = ["check"]

_ANSWERS = {"ping": codec.PONG, "heartbeat": codec.HEARTBEAT_ACK}


def check(data: bytes) -> None:
    """Judge one frame.

    :raises AssertionError: something above does not hold.
    """
    # The odd and the even take different ways; the seeds have both.
    strategy = "topic" if len(data) % 2 else "subject"
    session = opened(rate_limit=0, ordering=ordering_rule(strategy), ordering_strategy=strategy, **QUIET)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        encoded = b64encode(data).decode()
        message = {"type": "raw", "payload": encoded, "encoding": "base64"}
        _judge(session.binary(START, data), message, encoded, strategy)
        return
    try:
        value = strict_value(text)
    except NotJson:
        value = None
    effects = session.text(START, text)
    if not isinstance(value, dict):
        _judge(effects, {"type": "raw", "payload": text}, text, strategy)
        return
    kind = value.get("type")
    answer = _ANSWERS.get(kind) if type(kind) is str else None
    if answer is not None:
        (effect,) = effects
        assert isinstance(effect, Send) and effect.frame.endswith(answer), effects
        return
    _judge(effects, value, text, strategy)


def _judge(effects: Any, message: Any, raw: str, strategy: str) -> None:
    (event,) = events(effects)
    assert isinstance(event, MessageReceived)
    body = codec.encode_event(event, "e-1", 1).decode("utf-8")
    document = strict_value(body, MAX_DEPTH + 1)
    assert equal(document.pop("message"), message)
    assert document.pop("raw") == raw
    key = document.pop("ordering_key", None)
    assert document.pop("ordering_strategy", None) == (strategy if key is not None else None)
    assert key is None or (type(key) is str and key.strip())
    trace = document.pop("traceparent", None)
    assert trace is None or trace == valid_traceparent(trace)
    known = {"type", "connection_id", "user_id", "subjects", "connected_at", "node_id"}
    assert set(document) == known | {"event_id", "occurred_at_ms", "seq"}, document
    assert document["type"] == "message_received"
    assert document["connection_id"] == FACTS.connection_id
