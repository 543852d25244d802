"""What a Python backend needs beside the gateway: verify a webhook, parse an event, publish.

Standard library only, and nothing of the gateway's own code: the folder may be copied into a project and
imported there under any name (which is why its modules import each other relatively).

    verify(body, headers, secrets)                     # or SignatureInvalid
    event = parse_event(body)                          # or EventInvalid
    with handled.once(event.event_id) as first:        # handled = ReplayWindow()
        if first:
            gateway.publish(["user:42"], {"hello": "world"})
"""

from .calls import Call, Calls, Connection, GatewayError, GatewayUnreachable
from .events import Connected, Disconnected, Event, EventInvalid, EventUnknown, MessageReceived, parse_event
from .gateway import Gateway
from .publication import Publication, encode_batch, encode_publication
from .replay import EventInProgress, ReplayWindow
from .signature import Reason, SignatureInvalid, sign, verify

__all__ = [
    "Call",
    "Calls",
    "Connected",
    "Connection",
    "Disconnected",
    "Event",
    "EventInProgress",
    "EventInvalid",
    "EventUnknown",
    "Gateway",
    "GatewayError",
    "GatewayUnreachable",
    "MessageReceived",
    "Publication",
    "Reason",
    "ReplayWindow",
    "SignatureInvalid",
    "encode_batch",
    "encode_publication",
    "parse_event",
    "sign",
    "verify",
]
