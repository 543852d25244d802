"""What the tests of the session share."""

from collections.abc import Sequence
from typing import Any

from ws_gateway.domain.codec import encode_facts
from ws_gateway.domain.effects import Effect
from ws_gateway.domain.messages import ConnectionFacts, Event, MessageReceived
from ws_gateway.domain.rules import SessionRules
from ws_gateway.domain.session import Session

FACTS = ConnectionFacts("c-1", "42", ("user:42", "channel:a"), 1_700_000_000, "node-1")
CONSTANT = encode_facts(FACTS)

START = 1_000.0
"""When the sessions of the tests begin."""

QUIET: dict[str, Any] = {"ping_interval": 0, "max_age": 0}
"""Rules under which nothing happens by itself."""


def fresh(expires_in: float | None = None, traceparent: str | None = None, **rules: Any) -> Session:
    """A session that was not opened yet."""
    return Session(FACTS, CONSTANT, SessionRules(**rules), START, expires_in, 0.0, traceparent)


def opened(expires_in: float | None = None, traceparent: str | None = None, **rules: Any) -> Session:
    """A session that is open."""
    session = fresh(expires_in, traceparent, **rules)
    session.opened(START)
    return session


def events(effects: Sequence[Effect]) -> list[Event]:
    """What the backend is told."""
    return [effect for effect in effects if isinstance(effect, Event)]


def message(effects: Sequence[Effect]) -> MessageReceived:
    """The one message among the effects."""
    (event,) = events(effects)
    assert isinstance(event, MessageReceived)
    return event


def kinds(effects: Sequence[Effect]) -> list[type[Effect]]:
    """The effects by kind."""
    return [type(effect) for effect in effects]
