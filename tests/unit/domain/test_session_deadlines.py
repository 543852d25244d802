"""What happens to a session by itself: pings, expiry, age."""

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.domain.sessions import CONSTANT, FACTS, START, events, opened
from ws_gateway.domain import closing as closings
from ws_gateway.domain.effects import DROP, PING, Close
from ws_gateway.domain.messages import DisconnectCause, Disconnected
from ws_gateway.domain.rules import SessionRules
from ws_gateway.domain.session import Session, State

NEVER = float("inf")


class PingTests(SynchronousTestCase):
    def test_first_ping_spread(self) -> None:
        """The first ping comes after half an interval to a whole one, by the connection's own phase."""
        for phase, after in ((0.0, 25.0), (0.5, 18.75), (1.0, 12.5)):
            session = Session(FACTS, CONSTANT, SessionRules(), START, phase=phase)
            session.opened(START)
            self.assertEqual(session.next_deadline, START + after)
            self.assertEqual(session.tick(START + after - 0.01), ())
            self.assertEqual(session.tick(START + after), (PING,))

    def test_every_interval(self) -> None:
        """Pings go on as long as pongs come, counted from the last ping that was sent."""
        session = opened()
        now = START
        for late in (0.0, 0.2, 3.0, 0.0):
            now = session.next_deadline + late
            self.assertEqual(session.tick(now), (PING,))
            session.pong(now + 0.1)
            self.assertEqual(session.tick(session.next_deadline), ())
            self.assertEqual(session.next_deadline, now + 25)

    def test_no_pong(self) -> None:
        """Without a pong in time the connection is dropped: nobody is there to read a Close."""
        session = opened()
        session.tick(START + 25)
        self.assertEqual(session.next_deadline, START + 45)
        self.assertEqual(session.tick(START + 44.9), ())
        self.assertEqual(session.tick(START + 45), (DROP,))
        self.assertEqual(session.next_deadline, NEVER)
        self.assertEqual(session.tick(START + 500), ())
        (event,) = events(session.lost(START + 45))
        assert isinstance(event, Disconnected)
        self.assertEqual((event.code, event.cause), (1006, DisconnectCause.PING_TIMEOUT))

    def test_other_frames_are_no_pong(self) -> None:
        """Only a pong answers a ping."""
        session = opened()
        session.tick(START + 25)
        session.text(START + 30, '{"type":"ping"}')
        session.binary(START + 31, b"")
        self.assertEqual(session.tick(START + 45), (DROP,))

    def test_longer_timeout_than_interval(self) -> None:
        """Further pings do not put off the deadline of the first one."""
        session = opened(ping_interval=10, ping_timeout=35)
        for at in (10, 20, 30, 40):
            self.assertEqual(session.next_deadline, START + at)
            self.assertEqual(session.tick(START + at), (PING,))
        self.assertEqual(session.next_deadline, START + 45)
        self.assertEqual(session.tick(START + 45), (DROP,))

    def test_late_pong(self) -> None:
        """A pong just before the deadline is in time."""
        session = opened()
        session.tick(START + 25)
        session.pong(START + 44.99)
        self.assertEqual(session.tick(START + 45), ())
        self.assertEqual(session.tick(START + 50), (PING,))

    def test_unasked_pong(self) -> None:
        """A pong that nobody asked for changes nothing but the last sign of life."""
        session = opened()
        self.assertEqual(session.pong(START + 1), ())
        self.assertEqual((session.next_deadline, session.last_seen), (START + 25, START + 1))

    def test_no_timeout(self) -> None:
        """With a ping time-out of 0 pings go out, and a missing pong does no harm."""
        session = opened(ping_timeout=0)
        for number in range(1, 10):
            self.assertEqual(session.next_deadline, START + 25 * number)
            self.assertEqual(session.tick(START + 25 * number), (PING,))

    def test_off(self) -> None:
        """With an interval of 0 nothing is ever due."""
        session = opened(ping_interval=0)
        self.assertEqual(session.next_deadline, NEVER)
        self.assertEqual(session.tick(START + 1e9), ())


class ExpiryTests(SynchronousTestCase):
    def test_expired(self) -> None:
        """When the token expires the connection closes with 4401."""
        session = opened(expires_in=7.5)
        self.assertEqual(session.next_deadline, START + 7.5)
        self.assertEqual(session.tick(START + 7.4), ())
        self.assertEqual(session.tick(START + 7.5), (Close(closings.TOKEN_EXPIRED),))
        self.assertIs(session.state, State.CLOSING)
        self.assertEqual(session.next_deadline, START + 12.5)

    def test_already_expired(self) -> None:
        """A token that expired on the way in is closed at the first tick."""
        for expires_in in (0, -3600):
            session = opened(expires_in=expires_in)
            self.assertLessEqual(session.next_deadline, START)
            self.assertEqual(session.tick(START), (Close(closings.TOKEN_EXPIRED),))

    def test_far_years(self) -> None:
        """A token of a far year is like one that never expires: pings go on, nothing else is due."""
        for expires_in in (1e11, 1e18, 1e308, NEVER, None):
            session = opened(expires_in=expires_in)
            self.assertEqual(session.next_deadline, START + 25)
            self.assertEqual(session.tick(START + 25), (PING,))
            session = opened(expires_in=expires_in, ping_interval=0)
            self.assertEqual(session.tick(START + 1e9), ())
            self.assertGreater(session.next_deadline, START + 1e9)

    def test_before_ping_timeout(self) -> None:
        """Who is due for both gets the Close."""
        session = opened(expires_in=45)
        session.tick(START + 25)
        self.assertEqual(session.tick(START + 45), (Close(closings.TOKEN_EXPIRED),))


class AgeTests(SynchronousTestCase):
    def test_too_old(self) -> None:
        """A connection that reached its age closes with 1012, by the server."""
        session = opened(max_age=60, ping_interval=0)
        self.assertEqual(session.next_deadline, START + 60)
        self.assertEqual(session.tick(START + 59.9), ())
        self.assertEqual(session.tick(START + 60), (Close(closings.TOO_OLD),))

    def test_whichever_comes_first(self) -> None:
        """Age and expiry do not hide each other."""
        self.assertEqual(
            opened(expires_in=30, max_age=60).tick(START + 100), (Close(closings.TOKEN_EXPIRED),)
        )
        self.assertEqual(opened(expires_in=60, max_age=30).tick(START + 100), (Close(closings.TOO_OLD),))
