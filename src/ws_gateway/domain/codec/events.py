"""Gateway -> backend: the event document of contract section 2.

The document is put together from pieces that are JSON already: the part that all events of a connection
share is encoded once, and a client's message is embedded as it came, so that its numbers keep their digits.
"""

from typing import Any

import orjson

from ws_gateway.domain.messages import ConnectionFacts, Disconnected, Event, MessageReceived

__all__ = ["encode_event", "encode_facts"]

# Nearly all events are messages, so theirs is put together in one step.
_MESSAGE = (
    b'{"type":"message_received",%b,"event_id":"%b","occurred_at_ms":%d,"seq":%d%b%b,"message":%b,"raw":%b}'
)


def encode_facts(facts: ConnectionFacts) -> bytes:
    """The members that every event of a connection shares, without the braces.

    :raises ValueError: a forwarded claim has no strict JSON form (such as a lone surrogate).
    """
    members: dict[str, Any] = {
        "connection_id": facts.connection_id,
        "user_id": facts.user_id,
        "subjects": facts.subjects,
        "connected_at": facts.connected_at,
        "node_id": facts.node_id,
    }
    if facts.client_ip is not None:
        members["client_ip"] = facts.client_ip
    if facts.claims:
        members["claims"] = dict(facts.claims)
    try:
        return orjson.dumps(members)[1:-1]
    except orjson.JSONEncodeError as error:
        raise ValueError(f"a claim cannot be forwarded: {error}") from None


def encode_event(event: Event, event_id: str, occurred_at_ms: int) -> bytes:
    """The event as the backend gets it.

    :param event_id: trusted text of our own making, unescaped.
    :param occurred_at_ms: Unix milliseconds.
    """
    trace = b"" if event.traceparent is None else b',"traceparent":"%b"' % event.traceparent.encode()
    if isinstance(event, MessageReceived):
        return _MESSAGE % (
            event.constant,
            event_id.encode(),
            occurred_at_ms,
            event.seq,
            trace,
            b"" if event.ordering_key is None else _ordering(event),
            event.message,
            orjson.dumps(event.raw),
        )
    head = b'{"type":"%b",%b,"event_id":"%b","occurred_at_ms":%d,"seq":%b' % (
        event.type.encode(),
        event.constant,
        event_id.encode(),
        occurred_at_ms,
        b"null" if event.seq is None else b"%d" % event.seq,
    )
    if isinstance(event, Disconnected):
        return b'%b%b,"code":%d,"reason":%b,"cause":"%b"}' % (
            head,
            trace,
            event.code,
            orjson.dumps(event.reason),
            event.cause.encode(),
        )
    return b"%b%b}" % (head, trace)


def _ordering(event: MessageReceived) -> bytes:
    return b',"ordering_key":%b,"ordering_strategy":%b' % (
        orjson.dumps(event.ordering_key),
        orjson.dumps(event.ordering_strategy),
    )
