"""What only clients hear that asked for protocol 1."""

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.domain.sessions import CONSTANT, FACTS, QUIET, START, kinds, message, opened
from ws_gateway.domain import closing
from ws_gateway.domain.codec import CommandError, encode_error
from ws_gateway.domain.effects import SEND_RATE_LIMITED, Close, Effect, Refresh, Send
from ws_gateway.domain.messages import Connected
from ws_gateway.domain.outgoing import text_frame
from ws_gateway.domain.rules import SessionRules
from ws_gateway.domain.session import Session, State

GREETING = b"greeting"
REFRESH = '{"type":"ws.refresh","token":"new"}'


def speaking(expires_in: float | None = None, **rules: float) -> Session:
    """An open session that speaks protocol 1."""
    session = Session(
        FACTS, CONSTANT, SessionRules(**{**QUIET, **rules}), START, expires_in, greeting=GREETING
    )
    session.opened(START)
    return session


def error(name: CommandError) -> tuple[Effect, ...]:
    """The answer to a command that does nothing."""
    return (Send(text_frame(encode_error(name))),)


class GreetingTests(SynchronousTestCase):
    def test_greeted(self) -> None:
        """The greeting follows `connected`."""
        session = Session(FACTS, CONSTANT, SessionRules(), START, greeting=GREETING)
        connected, greeting = session.opened(START)
        self.assertIsInstance(connected, Connected)
        self.assertEqual(greeting, Send(GREETING))

    def test_not_asked(self) -> None:
        """Without `v=1` nobody is greeted, and no type is the gateway's: `ws.refresh` is a message."""
        session = opened()
        self.assertEqual(message(session.text(START, REFRESH)).raw, REFRESH)


class CommandTests(SynchronousTestCase):
    def test_refresh(self) -> None:
        """A refresh asks to have the token judged, and the token stands in no repr."""
        (effect,) = speaking().text(START, REFRESH)
        self.assertEqual(effect, Refresh("new"))
        self.assertNotIn("new", repr(effect))

    def test_other_messages(self) -> None:
        """Types that do not begin with `ws.` are messages as ever."""
        self.assertEqual(message(speaking().text(START, '{"type":"wsx"}')).seq, 1)

    def test_unknown(self) -> None:
        """An unknown command is an error and no event."""
        self.assertEqual(speaking().text(START, '{"type":"ws.x"}'), error(CommandError.UNKNOWN_TYPE))

    def test_malformed(self) -> None:
        """A refresh without a token that is a text is an error."""
        for text in (
            '{"type":"ws.refresh"}',
            '{"type":"ws.refresh","token":1}',
            '{"type":"ws.refresh","token":""}',
        ):
            self.assertEqual(speaking().text(START, text), error(CommandError.MALFORMED))

    def test_one_at_a_time(self) -> None:
        """While a token is judged another one is not; afterwards it is."""
        session = speaking()
        session.text(START, REFRESH)
        self.assertEqual(session.text(START, REFRESH), error(CommandError.BUSY))
        session.refreshed(START, b"answer", None)
        self.assertEqual(kinds(session.text(START, REFRESH)), [Refresh])
        session.unrefreshed(START, refused=False)
        self.assertEqual(kinds(session.text(START, REFRESH)), [Refresh])

    def test_limited(self) -> None:
        """Commands count like pings: against ten times the rate."""
        session = speaking(rate_limit=1, rate_burst=1)
        for _ in range(10):
            self.assertEqual(session.text(START, '{"type":"ws.x"}'), error(CommandError.UNKNOWN_TYPE))
        self.assertEqual(session.text(START, '{"type":"ws.x"}'), (SEND_RATE_LIMITED,))


class RefreshTests(SynchronousTestCase):
    def test_later_expiry(self) -> None:
        """The new token's end counts from now on, and the client is told."""
        session = speaking(expires_in=10)
        self.assertEqual(session.refreshed(START + 5, b"answer", 60), (Send(b"answer"),))
        self.assertEqual(session.next_deadline, START + 65)
        self.assertEqual(session.tick(START + 11), ())
        self.assertEqual(session.tick(START + 65), (Close(closing.TOKEN_EXPIRED),))

    def test_no_expiry(self) -> None:
        """A new token without an end lets the connection stay."""
        session = speaking(expires_in=10)
        session.refreshed(START + 5, b"answer", None)
        self.assertEqual(session.next_deadline, float("inf"))

    def test_refused(self) -> None:
        """A token that is not accepted ends the connection."""
        session = speaking(expires_in=10)
        self.assertEqual(session.unrefreshed(START, refused=True), (Close(closing.TOKEN_REFUSED),))
        self.assertIs(session.state, State.CLOSING)

    def test_not_now(self) -> None:
        """A token that cannot be judged now changes nothing; the old one still counts."""
        session = speaking(expires_in=10)
        self.assertEqual(session.unrefreshed(START, refused=False), error(CommandError.TRY_LATER))
        self.assertEqual(session.next_deadline, START + 10)
