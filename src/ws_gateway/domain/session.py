"""One connection's life, without a socket: every input takes `now` and returns effects.

| state | means |
|---|---|
| FRESH | admitted, the handshake is not answered yet |
| OPEN | frames flow |
| CLOSING | a Close frame was sent or came; frames still arrive and are ignored |
| GONE | the transport is lost; nothing happens any more |

Each state is a row of functions, one for each input, so the table is total by construction: a row with a
hole cannot be built.

The module is long because the machine is one: a third of it is the list of inputs and the table.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from math import inf
from typing import Any

from attrs import frozen

from ws_gateway.domain import closing as closings
from ws_gateway.domain import codec
from ws_gateway.domain.closing import Closing
from ws_gateway.domain.effects import (
    DROP,
    NOTHING,
    PING,
    SEND_HEARTBEAT_ACK,
    SEND_PONG,
    SEND_RATE_LIMITED,
    Close,
    Effect,
    Refresh,
    Send,
)
from ws_gateway.domain.limits import TokenBucket
from ws_gateway.domain.messages import (
    Connected,
    ConnectionFacts,
    DisconnectCause,
    Disconnected,
    MessageReceived,
)
from ws_gateway.domain.outgoing import text_frame
from ws_gateway.domain.rules import SessionRules
from ws_gateway.domain.trace import message_traceparent
from ws_gateway.domain.views import Deadline, SessionView

__all__ = ["Session", "SessionRules", "State"]

Effects = tuple[Effect, ...]

CONTROL_FACTOR = 10
"""Pings and heartbeats count against ten times the rate (contract section 1)."""


class State(Enum):
    """Where a connection is in its life."""

    FRESH = "fresh"
    OPEN = "open"
    CLOSING = "closing"
    GONE = "gone"


class Session:
    """See the module.

    :param constant: `codec.encode_facts(facts)`.
    :param expires_in: seconds until the token expires, None if never.
    :param phase: 0 to 1, random: spreads the first pings of many connections over the interval.
    :param traceparent: the handshake's.
    :param greeting: the frame that greets a client which speaks protocol 1; None for all others.
    :ivar next_deadline: monotonic seconds at which `tick` wants to be called, `inf` for never.
    """

    __slots__ = (
        "_constant",
        "_control_bucket",
        "_drop_at",
        "_ending",
        "_excess",
        "_expires_at",
        "_greeting",
        "_last_heartbeat",
        "_last_sign",
        "_message_bucket",
        "_ping_at",
        "_pong_by",
        "_refreshing",
        "_row",
        "_rules",
        "_seq",
        "_speaks_1",
        "_too_old_at",
        "_traceparent",
        "facts",
        "next_deadline",
        "state",
    )

    def __init__(
        self,
        facts: ConnectionFacts,
        constant: bytes,
        rules: SessionRules,
        now: float,
        expires_in: float | None = None,
        phase: float = 0.0,
        traceparent: str | None = None,
        greeting: bytes | None = None,
    ) -> None:
        self.facts = facts
        self._constant = constant
        self._rules = rules
        self._traceparent = traceparent
        self._seq = 0
        self._excess = 0
        self._message_bucket = TokenBucket(rules.rate_limit, rules.rate_burst, now)
        self._control_bucket = TokenBucket(
            rules.rate_limit * CONTROL_FACTOR, rules.rate_burst * CONTROL_FACTOR, now
        )
        self._ending: Closing | None = None
        self._greeting = greeting
        self._speaks_1 = greeting is not None
        self._refreshing = False
        self._too_old_at = now + rules.max_age if rules.max_age else inf
        self._expires_at = inf if expires_in is None else now + expires_in
        # The first ping comes after half an interval to a whole one, so that pings do not come in waves.
        self._ping_at = now + rules.ping_interval * (1 - phase / 2) if rules.ping_interval else inf
        self._pong_by = inf
        self._drop_at = inf
        self._last_sign = now
        self._last_heartbeat = now
        self.next_deadline = inf
        self._enter(State.FRESH)

    # Inputs. Each is answered by the row of the state.

    def opened(self, now: float) -> Effects:
        """The handshake is answered: frames may flow."""
        return self._row.opened(self, now)

    def text(self, now: float, text: str) -> Effects:
        """A complete text message came."""
        return self._row.text(self, now, text)

    def binary(self, now: float, payload: bytes) -> Effects:
        """A complete binary message came."""
        return self._row.binary(self, now, payload)

    def pong(self, now: float) -> Effects:
        """A pong came, asked for or not."""
        return self._row.pong(self, now)

    def peer_closed(self, now: float, code: int | None, reason: str) -> Effects:
        """A Close frame came; the protocol layer answers it."""
        return self._row.peer_closed(self, now, code, reason)

    def refreshed(self, now: float, answer: bytes, expires_in: float | None) -> Effects:
        """A new token was accepted.

        :param answer: the frame that tells the client.
        :param expires_in: seconds until it expires, None if never.
        """
        return self._row.refreshed(self, now, answer, expires_in)

    def unrefreshed(self, now: float, refused: bool) -> Effects:
        """A new token was refused, or could not be judged now."""
        return self._row.unrefreshed(self, now, refused)

    def close(self, now: float, ending: Closing) -> Effects:
        """We want to end it, for whatever reason."""
        return self._row.close(self, now, ending)

    def tick(self, now: float) -> Effects:
        """`next_deadline` has come."""
        return self._row.tick(self, now)

    def lost(self, now: float) -> Effects:
        """The transport is gone. The last input that does anything."""
        return self._row.lost(self, now)

    # Answers.

    def _ignore(self, now: float, *_: object) -> Effects:
        return NOTHING

    def _open(self, now: float) -> Effects:
        self._enter(State.OPEN)
        connected = Connected(self.facts, self._constant, self._traceparent)
        greeting, self._greeting = self._greeting, None
        return (connected,) if greeting is None else (connected, Send(greeting))

    def _take_text(self, now: float, text: str) -> Effects:
        self._last_sign = now
        message = codec.read_object(text)
        if message is None:
            if not self._message_bucket.take(now):
                return self._too_many(now)
            return self._message(codec.RAW_FIELDS, codec.encode_raw(text), text)
        kind = codec.control_kind(message)
        if kind is not None:
            if not self._control_bucket.take(now):
                return self._too_many(now)
            self._excess = 0
            if kind is codec.ControlKind.PING:
                return _PONG
            self._last_heartbeat = now
            return _HEARTBEAT_ACK
        if self._speaks_1 and codec.is_command(message):
            return self._take_command(now, message)
        if not self._message_bucket.take(now):
            return self._too_many(now)
        return self._message(message, text.encode(), text)

    def _take_command(self, now: float, command: Mapping[str, Any]) -> Effects:
        if not self._control_bucket.take(now):
            return self._too_many(now)
        self._excess = 0
        token = codec.refresh_token(command)
        if isinstance(token, codec.CommandError):
            return _ERRORS[token]
        if self._refreshing:
            return _ERRORS[codec.CommandError.BUSY]
        self._refreshing = True
        return (Refresh(token),)

    def _accept_refresh(self, now: float, answer: bytes, expires_in: float | None) -> Effects:
        self._refreshing = False
        self._expires_at = inf if expires_in is None else now + expires_in
        self._rearm()
        return (Send(answer),)

    def _refuse_refresh(self, now: float, refused: bool) -> Effects:
        self._refreshing = False
        if refused:
            return self._begin_close(now, closings.TOKEN_REFUSED)
        return _ERRORS[codec.CommandError.TRY_LATER]

    def _take_binary(self, now: float, payload: bytes) -> Effects:
        self._last_sign = now
        if not self._message_bucket.take(now):
            return self._too_many(now)
        message, raw = codec.encode_binary(payload)
        return self._message(codec.RAW_FIELDS, message, raw)

    def _message(self, fields: Mapping[str, Any], message: bytes, raw: str) -> Effects:
        """:param fields: what the message says of its order and its trace."""
        self._excess = 0
        self._seq += 1
        facts, ordering = self.facts, self._rules.ordering
        key = None if ordering is None else ordering(fields, facts.user_id, facts.subjects)
        strategy = None if key is None else self._rules.ordering_strategy
        traceparent = self._traceparent
        if "traceparent" in fields or "meta" in fields:
            traceparent = message_traceparent(fields) or traceparent
        return (MessageReceived(facts, self._constant, self._seq, message, raw, traceparent, key, strategy),)

    def _too_many(self, now: float) -> Effects:
        self._excess += 1
        limit = self._rules.rate_close_after
        if limit and self._excess >= limit:
            return _RATE_LIMITED + self._begin_close(now, closings.RATE_LIMITED)
        return _RATE_LIMITED

    def _take_pong(self, now: float) -> Effects:
        self._last_sign = now
        self._pong_by = inf
        return NOTHING

    def _peer_closes(self, now: float, code: int | None, reason: str) -> Effects:
        self._ending = Closing(closings.NO_CODE if code is None else code, reason, DisconnectCause.CLIENT)
        self._drop_at = now + self._rules.close_timeout
        self._enter(State.CLOSING)
        return NOTHING

    def _begin_close(self, now: float, ending: Closing) -> Effects:
        self._ending = ending
        self._drop_at = now + self._rules.close_timeout
        self._enter(State.CLOSING)
        return (Close(ending),)

    def _tick_open(self, now: float) -> Effects:
        if now >= min(self._expires_at, self._too_old_at):
            first = closings.TOKEN_EXPIRED if self._expires_at <= self._too_old_at else closings.TOO_OLD
            return self._begin_close(now, first)
        if now >= self._pong_by:
            # Nobody is there to read a Close frame.
            self._ending = closings.PING_TIMEOUT
            self._drop_at = inf
            self._enter(State.CLOSING)
            return _DROP
        if now >= self._ping_at:
            self._ping_at = now + self._rules.ping_interval
            if self._rules.ping_timeout and self._pong_by == inf:
                self._pong_by = now + self._rules.ping_timeout
            self._rearm()
            return _PING
        self._rearm()
        return NOTHING

    def _tick_closing(self, now: float) -> Effects:
        if now < self._drop_at:
            return NOTHING
        self._drop_at = inf
        self._rearm()
        return _DROP

    def _lose(self, now: float) -> Effects:
        ending = self._ending or Closing(closings.ABNORMAL, "", DisconnectCause.CLIENT)
        self._ending = ending
        self._enter(State.GONE)
        return (
            Disconnected(
                self.facts,
                self._constant,
                self._seq + 1,
                ending.code,
                ending.reason,
                ending.cause,
                self._traceparent,
            ),
        )

    def _vanish(self, now: float) -> Effects:
        """Lost before it was open: nobody was told of it, so nobody is told of its end."""
        self._enter(State.GONE)
        return NOTHING

    # Where we are.

    @property
    def ending(self) -> Closing | None:
        """How it ends, once that is known."""
        return self._ending

    @property
    def last_seen(self) -> float:
        """Monotonic seconds of the client's last sign of life, whatever counts as one."""
        return self._last_sign if self._rules.seen_by_anything else self._last_heartbeat

    @property
    def messages(self) -> int:
        """How many messages became events."""
        return self._seq

    def describe(self, now: float) -> SessionView:
        """Where it is, for operators. Changes nothing."""
        armed = [
            ("token_expires", self._expires_at),
            ("too_old", self._too_old_at),
            ("ping", self._ping_at),
            ("pong", self._pong_by),
        ]
        if self.state is not State.OPEN:
            armed = [("drop", self._drop_at)]
        deadlines = sorted((at - now, name) for name, at in armed if at < inf)
        return SessionView(
            state=self.state.value,
            protocol=int(self._speaks_1),
            expires_in=None if self._expires_at == inf else self._expires_at - now,
            messages=self._seq,
            message_rate=self._message_bucket.describe(now),
            control_rate=self._control_bucket.describe(now),
            excess=self._excess,
            max_excess=self._rules.rate_close_after,
            deadlines=tuple(Deadline(name, round(seconds, 1)) for seconds, name in deadlines),
        )

    def _enter(self, state: State) -> None:
        self.state = state
        self._row = TABLE[state]
        self._rearm()

    def _rearm(self) -> None:
        if self.state is State.OPEN:
            self.next_deadline = min(self._expires_at, self._too_old_at, self._ping_at, self._pong_by)
        elif self.state is State.CLOSING:
            self.next_deadline = self._drop_at
        else:
            self.next_deadline = inf


_PONG: Effects = (SEND_PONG,)
_HEARTBEAT_ACK: Effects = (SEND_HEARTBEAT_ACK,)
_RATE_LIMITED: Effects = (SEND_RATE_LIMITED,)
_PING: Effects = (PING,)
_DROP: Effects = (DROP,)
_ERRORS: dict[codec.CommandError, Effects] = {
    error: (Send(text_frame(codec.encode_error(error))),) for error in codec.CommandError
}


@frozen
class Row:
    """How one state answers each input."""

    opened: Callable[[Session, float], Effects]
    text: Callable[[Session, float, str], Effects]
    binary: Callable[[Session, float, bytes], Effects]
    pong: Callable[[Session, float], Effects]
    peer_closed: Callable[[Session, float, int | None, str], Effects]
    refreshed: Callable[[Session, float, bytes, float | None], Effects]
    unrefreshed: Callable[[Session, float, bool], Effects]
    close: Callable[[Session, float, Closing], Effects]
    tick: Callable[[Session, float], Effects]
    lost: Callable[[Session, float], Effects]


TABLE: dict[State, Row] = {
    State.FRESH: Row(
        opened=Session._open,
        text=Session._ignore,
        binary=Session._ignore,
        pong=Session._ignore,
        peer_closed=Session._ignore,
        refreshed=Session._ignore,
        unrefreshed=Session._ignore,
        close=Session._ignore,
        tick=Session._ignore,
        lost=Session._vanish,
    ),
    State.OPEN: Row(
        opened=Session._ignore,
        text=Session._take_text,
        binary=Session._take_binary,
        pong=Session._take_pong,
        peer_closed=Session._peer_closes,
        refreshed=Session._accept_refresh,
        unrefreshed=Session._refuse_refresh,
        close=Session._begin_close,
        tick=Session._tick_open,
        lost=Session._lose,
    ),
    State.CLOSING: Row(
        opened=Session._ignore,
        text=Session._ignore,
        binary=Session._ignore,
        pong=Session._ignore,
        peer_closed=Session._ignore,
        refreshed=Session._ignore,
        unrefreshed=Session._ignore,
        close=Session._ignore,
        tick=Session._tick_closing,
        lost=Session._lose,
    ),
    State.GONE: Row(
        opened=Session._ignore,
        text=Session._ignore,
        binary=Session._ignore,
        pong=Session._ignore,
        peer_closed=Session._ignore,
        refreshed=Session._ignore,
        unrefreshed=Session._ignore,
        close=Session._ignore,
        tick=Session._ignore,
        lost=Session._ignore,
    ),
}
