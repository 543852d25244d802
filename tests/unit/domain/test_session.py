"""One connection's life: every state, every input, every way to end."""

from collections.abc import Callable

import attrs
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.domain.sessions import CONSTANT, FACTS, QUIET, START, events, fresh, kinds, opened
from ws_gateway.domain import closing as closings
from ws_gateway.domain.closing import Closing, kicked, violation
from ws_gateway.domain.effects import DROP, Close, Drop, Effect, Send
from ws_gateway.domain.messages import Connected, DisconnectCause, Disconnected, MessageReceived
from ws_gateway.domain.rules import SessionRules
from ws_gateway.domain.session import TABLE, Row, Session, State

INPUTS: dict[str, Callable[[Session], tuple[Effect, ...]]] = {
    "opened": lambda session: session.opened(START),
    "text": lambda session: session.text(START, '{"a":1}'),
    "binary": lambda session: session.binary(START, b"x"),
    "pong": lambda session: session.pong(START),
    "peer_closed": lambda session: session.peer_closed(START, 1000, "bye"),
    "close": lambda session: session.close(START, kicked(4403, "")),
    "refreshed": lambda session: session.refreshed(START, b"frame", None),
    "unrefreshed": lambda session: session.unrefreshed(START, True),
    "tick": lambda session: session.tick(START),
    "lost": lambda session: session.lost(START),
}


def in_state(state: State) -> Session:
    """A session that came to a state by its inputs."""
    session = fresh(**QUIET)
    if state is not State.FRESH:
        session.opened(START)
    if state in (State.CLOSING, State.GONE):
        session.close(START, closings.SHUTDOWN)
    if state is State.GONE:
        session.lost(START)
    assert session.state is state
    return session


class TableTests(SynchronousTestCase):
    """Every pair of state and input."""

    EXPECTED: dict[tuple[State, str], tuple[State, list[type]]] = {
        (State.FRESH, "opened"): (State.OPEN, [Connected]),
        (State.FRESH, "lost"): (State.GONE, []),
        (State.OPEN, "text"): (State.OPEN, [MessageReceived]),
        (State.OPEN, "binary"): (State.OPEN, [MessageReceived]),
        (State.OPEN, "peer_closed"): (State.CLOSING, []),
        (State.OPEN, "close"): (State.CLOSING, [Close]),
        (State.OPEN, "refreshed"): (State.OPEN, [Send]),
        (State.OPEN, "unrefreshed"): (State.CLOSING, [Close]),
        (State.OPEN, "lost"): (State.GONE, [Disconnected]),
        (State.CLOSING, "lost"): (State.GONE, [Disconnected]),
    }
    """What does something. Every other pair leaves all as it is."""

    def test_every_pair(self) -> None:
        """Each input in each state does what the table above says, and nothing else."""
        for state in State:
            for name, give in INPUTS.items():
                session = in_state(state)
                before = (session.ending, session.messages, session.last_seen, session.next_deadline)
                effects = give(session)
                then, expected = self.EXPECTED.get((state, name), (state, []))
                self.assertEqual((session.state, kinds(effects)), (then, expected), (state, name))
                if (state, name) not in self.EXPECTED:
                    after = (session.ending, session.messages, session.last_seen, session.next_deadline)
                    self.assertEqual(after, before, (state, name))

    def test_total(self) -> None:
        """There is a row for each state, and each of its places is an input that the session offers."""
        self.assertEqual(set(TABLE), set(State))
        self.assertEqual({place.name for place in attrs.fields(Row)}, set(INPUTS))

    def test_no_holes(self) -> None:
        """A row with a hole cannot be built."""
        with self.assertRaises(TypeError):
            Row(opened=Session._ignore)  # type: ignore[call-arg]


class OpeningTests(SynchronousTestCase):
    def test_connected(self) -> None:
        """Opening tells the backend, with number 0 and the handshake's traceparent."""
        (event,) = events(fresh(traceparent="t").opened(START))
        self.assertEqual(event, Connected(FACTS, CONSTANT, "t", 0))

    def test_lost_before_open(self) -> None:
        """Who was never announced is not signed off either."""
        session = fresh()
        self.assertEqual(session.lost(START), ())
        self.assertEqual(session.opened(START), ())
        self.assertIs(session.state, State.GONE)

    def test_nothing_due_before_open(self) -> None:
        """Deadlines of the front door count until then, not those of the session."""
        session = fresh(expires_in=1, max_age=1, ping_interval=1)
        self.assertEqual(session.next_deadline, float("inf"))
        self.assertEqual(session.tick(START + 5), ())
        session.opened(START + 5)
        self.assertEqual(session.next_deadline, START + 1)


class EndingTests(SynchronousTestCase):
    """How it ends, and what the backend is told of it."""

    def end(self, session: Session) -> Disconnected:
        (event,) = events(session.lost(START + 1))
        assert isinstance(event, Disconnected)
        return event

    def told(self, session: Session) -> tuple[int, str, DisconnectCause]:
        event = self.end(session)
        return event.code, event.reason, event.cause

    def test_cut(self) -> None:
        """A connection that is cut ends with 1006, by the client."""
        session = opened()
        self.assertIsNone(session.ending)
        self.assertEqual(self.told(session), (1006, "", DisconnectCause.CLIENT))
        self.assertEqual(session.ending, Closing(1006, "", DisconnectCause.CLIENT))

    def test_peer_closed(self) -> None:
        """A client's Close is told with its code and reason; 1005 stands for none."""
        for code, reason, shown in (
            (1000, "bye", 1000),
            (1001, "", 1001),
            (4999, "é", 4999),
            (None, "", 1005),
        ):
            session = opened()
            self.assertEqual(session.peer_closed(START, code, reason), ())
            self.assertEqual(self.told(session), (shown, reason, DisconnectCause.CLIENT))

    def test_own_close(self) -> None:
        """What we close for is what is told, whatever the client answers."""
        for ending in (
            kicked(4403, "bye"),
            violation(1002, "bad"),
            violation(1007, "no UTF-8"),
            violation(1009, "too large"),
            closings.SHUTDOWN,
            closings.SLOW_CONSUMER,
            closings.TOKEN_EXPIRED,
        ):
            session = opened()
            self.assertEqual(session.close(START, ending), (Close(ending),))
            self.assertIs(session.ending, ending)
            self.assertEqual(session.peer_closed(START, 1000, "as you wish"), ())
            self.assertEqual(self.told(session), (ending.code, ending.reason, ending.cause))

    def test_first_close_counts(self) -> None:
        """A second close, whoever wants it, changes nothing."""
        session = opened()
        session.close(START, closings.SLOW_CONSUMER)
        self.assertEqual(session.close(START, closings.SHUTDOWN), ())
        self.assertEqual(self.told(session), (4408, "too slow", DisconnectCause.SLOW_CONSUMER))
        session = opened()
        session.peer_closed(START, 1000, "")
        self.assertEqual(session.close(START, closings.SHUTDOWN), ())
        self.assertEqual(self.told(session), (1000, "", DisconnectCause.CLIENT))

    def test_frames_after_close(self) -> None:
        """Frames after Close are ignored: no answer, no event, no sign of life."""
        session = opened()
        session.close(START, closings.SHUTDOWN)
        for effects in (
            session.text(START + 1, '{"type":"ping"}'),
            session.text(START + 1, '{"a":1}'),
            session.binary(START + 1, b"x"),
            session.pong(START + 1),
        ):
            self.assertEqual(effects, ())
        self.assertEqual((session.messages, session.last_seen), (0, START))

    def test_lost_once(self) -> None:
        """The end is told once."""
        session = opened()
        self.end(session)
        self.assertEqual(session.lost(START + 2), ())

    def test_numbers_without_gaps(self) -> None:
        """Connected is 0, messages count from 1, disconnected is the last; only events take numbers."""
        session = fresh(rate_limit=1, rate_burst=3, **QUIET)
        told = events(session.opened(START))
        for text in (
            '{"a":1}',
            '{"type":"ping"}',
            "raw",
            '{"type":"heartbeat"}',
            '{"a":2}',
            '{"over":"the rate"}',
        ):
            told += events(session.text(START, text))
        session.pong(START)
        told += events(session.binary(START + 1, b"\x00"))
        told += events(session.lost(START + 1))
        self.assertEqual([event.seq for event in told], [0, 1, 2, 3, 4, 5])
        self.assertEqual(session.messages, 4)

    def test_disconnected_event(self) -> None:
        """The last event carries the connection's facts and the handshake's traceparent."""
        event = self.end(opened(traceparent="t"))
        self.assertEqual(event, Disconnected(FACTS, CONSTANT, 1, 1006, "", DisconnectCause.CLIENT, "t"))


class UnendingCloseTests(SynchronousTestCase):
    """A close that is not completed in time is cut, whoever began it."""

    def cut(self, session: Session) -> None:
        deadline = START + 5
        self.assertEqual(session.next_deadline, deadline)
        self.assertEqual(session.tick(deadline - 0.001), ())
        self.assertEqual(session.next_deadline, deadline)
        self.assertEqual(session.tick(deadline), (DROP,))
        self.assertEqual(session.tick(deadline + 100), ())
        self.assertEqual(session.next_deadline, float("inf"))
        self.assertEqual(kinds(session.lost(deadline)), [Disconnected])

    def test_ours(self) -> None:
        """We sent Close and the client never answers."""
        session = opened(close_timeout=5)
        session.close(START, closings.SHUTDOWN)
        self.cut(session)

    def test_theirs(self) -> None:
        """The client sent Close and does not read what is pending."""
        session = opened(close_timeout=5)
        session.peer_closed(START, 1000, "")
        self.cut(session)

    def test_not_prolonged(self) -> None:
        """Neither frames nor further closes put the cut off."""
        session = opened(close_timeout=5)
        session.close(START, closings.SHUTDOWN)
        for later in range(1, 5):
            session.text(START + later, "{}")
            session.close(START + later, closings.SHUTDOWN)
            session.peer_closed(START + later, 1000, "")
        self.cut(session)

    def test_zero(self) -> None:
        """With a time-out of 0 a close is not waited for; it is never waited for without end."""
        session = opened(close_timeout=0)
        session.close(START, closings.SHUTDOWN)
        self.assertEqual(session.next_deadline, START)
        self.assertEqual(kinds(session.tick(START)), [Drop])

    def test_rules_as_the_contract_has_them(self) -> None:
        """The defaults are the contract's."""
        rules = SessionRules()
        self.assertEqual((rules.rate_limit, rules.rate_burst, rules.rate_close_after), (10, 20, 1000))
        self.assertEqual((rules.ping_interval, rules.ping_timeout), (25, 20))
        self.assertEqual((rules.close_timeout, rules.max_age), (5, 0))
        self.assertIsNone(rules.ordering)
