"""Any sequence of inputs: what holds for every life of a connection."""

from math import inf, isfinite

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.unit.domain.sessions import CONSTANT, FACTS
from ws_gateway.domain import closing as closings
from ws_gateway.domain.closing import Closing
from ws_gateway.domain.effects import DROP, PING, Close, Drop, Effect, Ping, Send
from ws_gateway.domain.messages import Connected, Disconnected, Event, MessageReceived
from ws_gateway.domain.ordering import ordering_rule
from ws_gateway.domain.rules import SessionRules
from ws_gateway.domain.session import Session, State

ENDINGS = [
    closings.SHUTDOWN,
    closings.SLOW_CONSUMER,
    closings.kicked(4403, "bye"),
    closings.violation(1002, "no"),
    closings.violation(1009, "too large"),
]

TEXTS = ['{"type":"ping"}', '{"type":"heartbeat"}', "{}", '{"topic":"t"}', "raw", "[]", ""]


def seconds(least: float) -> st.SearchStrategy[float]:
    """Off, or a time that a setting may hold."""
    return st.just(0.0) | st.floats(least, 100) | st.sampled_from([0.1, 1 / 3, 5.0, 25.0, 86_400.0])


RULES = st.builds(
    SessionRules,
    rate_limit=st.sampled_from([0, 0.5, 2, 10]),
    rate_burst=st.integers(0, 5),
    rate_close_after=st.integers(0, 4),
    ping_interval=seconds(0.05),
    ping_timeout=seconds(0.05),
    close_timeout=seconds(0.05),
    max_age=seconds(0.05),
    ordering=st.sampled_from([None, ordering_rule("topic"), ordering_rule("subject")]),
)

STARTS = st.floats(0, 1e9) | st.sampled_from([0.0, 1e7 + 0.1, 1e9 - 1 / 3])
"""Monotonic clocks count seconds since a machine began: thirty years at most."""

EXPIRES = st.none() | st.floats(-100, 1e12) | st.sampled_from([0.0, 0.1, 60.0, 1e308, inf])


class Life(RuleBasedStateMachine):
    """A session, a clock and what came out so far."""

    @initialize(rules=RULES, now=STARTS, expires_in=EXPIRES, phase=st.floats(0, 1))
    def begin(self, rules: SessionRules, now: float, expires_in: float | None, phase: float) -> None:
        self.now = now
        self.session = Session(FACTS, CONSTANT, rules, now, expires_in, phase)
        self.rules = rules
        self.told: list[Event] = []
        self.was_open = False
        self.closes = 0
        self.drops = 0

    def took(self, before: State, effects: tuple[Effect, ...]) -> None:
        """Judge what one input brought."""
        for effect in effects:
            assert before is not State.GONE
            if isinstance(effect, Event):
                self.told.append(effect)
            elif isinstance(effect, Close):
                assert before is State.OPEN and self.session.state is State.CLOSING
                assert self.session.ending is effect.closing
                self.closes += 1
            elif isinstance(effect, Drop):
                self.drops += 1
            else:
                assert isinstance(effect, Send | Ping)
                assert before is State.OPEN
        order = [State.FRESH, State.OPEN, State.CLOSING, State.GONE]
        assert order.index(self.session.state) >= order.index(before)

    @rule(by=st.floats(0, 120) | st.sampled_from([0.0, 1e-9, 0.25, 1.0]))
    def time_passes(self, by: float) -> None:
        self.now += by

    @rule()
    def opened(self) -> None:
        before = self.session.state
        effects = self.session.opened(self.now)
        self.was_open = self.was_open or before is State.FRESH
        self.took(before, effects)

    @rule(text=st.sampled_from(TEXTS) | st.text(max_size=5))
    def text(self, text: str) -> None:
        before = self.session.state
        self.took(before, self.session.text(self.now, text))
        assert self.session.last_seen <= self.now

    @rule(payload=st.binary(max_size=3))
    def binary(self, payload: bytes) -> None:
        before = self.session.state
        self.took(before, self.session.binary(self.now, payload))

    @rule()
    def pong(self) -> None:
        assert self.session.pong(self.now) == ()

    @rule(code=st.none() | st.sampled_from([1000, 1001, 4000]), reason=st.text(max_size=3))
    def peer_closed(self, code: int | None, reason: str) -> None:
        before, ending = self.session.state, self.session.ending
        assert self.session.peer_closed(self.now, code, reason) == ()
        if before is State.OPEN:
            assert self.session.state is State.CLOSING
        else:
            assert self.session.ending is ending

    @rule(ending=st.sampled_from(ENDINGS))
    def close(self, ending: Closing) -> None:
        before = self.session.state
        self.took(before, self.session.close(self.now, ending))

    @rule()
    def tick_at_any_time(self) -> None:
        before = self.session.state
        self.took(before, self.session.tick(self.now))
        self.judge_tick(before)

    @precondition(lambda self: isfinite(self.session.next_deadline))
    @rule()
    def tick_when_due(self) -> None:
        before, due = self.session.state, self.session.next_deadline
        self.now = max(self.now, due)
        self.took(before, self.session.tick(self.now))
        self.judge_tick(before)

    def judge_tick(self, before: State) -> None:
        """A tick that was due has done something or moved on: no wheel spins for a session."""
        if self.session.state is before:
            assert self.session.next_deadline > self.now

    @rule()
    def until_it_is_over(self) -> None:
        """Left alone, a closing connection is cut: only ticks are needed, and few of them."""
        for _ in range(3):
            if self.session.state is State.CLOSING and isfinite(self.session.next_deadline):
                self.tick_when_due()
        if self.session.state is State.CLOSING:
            assert self.drops == 1
            assert self.session.next_deadline == inf

    @rule()
    def lost(self) -> None:
        before = self.session.state
        self.took(before, self.session.lost(self.now))
        assert self.session.state is State.GONE

    @invariant()
    def events_in_order(self) -> None:
        """Connected first with 0, messages 1.., one Disconnected last, exactly when it was open."""
        assert [event.seq for event in self.told] == list(range(len(self.told)))
        kinds = [type(event) for event in self.told]
        middle = kinds[1:]
        if self.session.state is State.FRESH or not self.was_open:
            assert kinds == []
        elif self.session.state is State.GONE:
            assert kinds[0] is Connected and middle[-1] is Disconnected
            middle = middle[:-1]
            last = self.told[-1]
            assert isinstance(last, Disconnected) and self.session.ending is not None
            assert (last.code, last.reason) == (self.session.ending.code, self.session.ending.reason)
        else:
            assert kinds[0] is Connected
        assert all(kind is MessageReceived for kind in middle)
        assert self.session.messages == len(middle)

    @invariant()
    def at_most_one_close_and_one_drop(self) -> None:
        assert self.closes <= 1
        assert self.drops <= 1

    @invariant()
    def a_close_is_never_waited_for_without_end(self) -> None:
        if self.session.state is State.CLOSING:
            assert self.drops == 1 or isfinite(self.session.next_deadline)
        elif self.session.state in (State.FRESH, State.GONE):
            assert self.session.next_deadline == inf


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=300, stateful_step_count=30, deadline=None)


@settings(max_examples=150, deadline=None)
@given(
    start=STARTS,
    interval=st.floats(0.05, 1_000),
    timeout=st.floats(0.05, 1_000),
    phase=st.floats(0, 1),
    late=st.lists(st.floats(0, 2), min_size=1, max_size=30),
)
def test_pings_go_on_for_a_client_that_answers(
    start: float, interval: float, timeout: float, phase: float, late: list[float]
) -> None:
    """A client that answers at once is pinged at each interval and never dropped, however late ticks come."""
    rules = SessionRules(ping_interval=interval, ping_timeout=timeout)
    session = Session(FACTS, CONSTANT, rules, start, None, phase)
    session.opened(start)
    now = start
    pings = 0
    for delay in late:
        now = session.next_deadline + delay
        effects = session.tick(now)
        assert effects in ((PING,), ())
        pings += len(effects)
        session.pong(now)
    assert 2 * pings >= len(late)


@settings(max_examples=150, deadline=None)
@given(start=STARTS, interval=st.floats(0.05, 1_000), timeout=st.floats(0.05, 1_000), phase=st.floats(0, 1))
def test_a_silent_client_is_dropped_in_time(
    start: float, interval: float, timeout: float, phase: float
) -> None:
    """Without pongs it ends after the first ping's time-out, whatever the two times are."""
    rules = SessionRules(ping_interval=interval, ping_timeout=timeout)
    session = Session(FACTS, CONSTANT, rules, start, None, phase)
    session.opened(start)
    now = session.next_deadline
    assert session.tick(now) == (PING,)
    latest = now + timeout
    effects: tuple[Effect, ...] = ()
    while effects != (DROP,):
        assert now < session.next_deadline <= latest
        now = session.next_deadline
        effects = session.tick(now)
        if timeout / interval > 1_000:
            return
    assert now == latest
