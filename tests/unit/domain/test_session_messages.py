"""What a session makes of frames: answers, events, the rate."""

import json

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.domain.sessions import CONSTANT, FACTS, QUIET, START, kinds, message, opened
from ws_gateway.domain import closing as closings
from ws_gateway.domain.effects import (
    SEND_HEARTBEAT_ACK,
    SEND_PONG,
    SEND_RATE_LIMITED,
    Close,
    Send,
)
from ws_gateway.domain.messages import MessageReceived
from ws_gateway.domain.ordering import ordering_rule
from ws_gateway.domain.session import Session, State

OWN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
META = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
SHAKE = "00-11111111111111111111111111111111-2222222222222222-01"

PING = '{"type":"ping"}'
BEAT = '{"type":"heartbeat"}'


class AnswerTests(SynchronousTestCase):
    def test_ping(self) -> None:
        """A ping is answered with the pong frame, and is no event."""
        for text in (PING, ' {"id":1,"type":"ping","payload":{"a":[]}} '):
            self.assertEqual(opened().text(START, text), (SEND_PONG,))
        self.assertEqual(SEND_PONG, Send(b'\x81\x0f{"type":"pong"}'))

    def test_heartbeat(self) -> None:
        """A heartbeat is answered, is no event, and is a sign of life."""
        session = opened()
        self.assertEqual(session.text(START + 3, BEAT), (SEND_HEARTBEAT_ACK,))
        self.assertEqual(SEND_HEARTBEAT_ACK, Send(b'\x81\x18{"type":"heartbeat_ack"}'))
        self.assertEqual(session.last_seen, START + 3)

    def test_signs_of_life(self) -> None:
        """Whatever comes from the client is one, what is over the rate included."""
        session = opened(rate_limit=1, rate_burst=1)
        self.assertEqual(session.last_seen, START)
        session.text(START + 1, "{}")
        self.assertEqual(session.last_seen, START + 1)
        session.text(START + 1.5, "{}")
        self.assertEqual(session.last_seen, START + 1.5)
        session.binary(START + 2, b"")
        self.assertEqual(session.last_seen, START + 2)
        session.pong(START + 3)
        self.assertEqual(session.last_seen, START + 3)

    def test_heartbeats_alone(self) -> None:
        """Where nothing else is to count, heartbeats alone are signs of life, those over the rate not."""
        session = opened(seen_by_anything=False, rate_limit=0.1, rate_burst=0.1)
        session.text(START + 1, "{}")
        session.binary(START + 2, b"")
        session.pong(START + 3)
        session.text(START + 4, PING)
        self.assertEqual(session.last_seen, START)
        session.text(START + 15, BEAT)
        self.assertEqual(session.text(START + 15, BEAT), (SEND_RATE_LIMITED,))
        self.assertEqual(session.last_seen, START + 15)
        session.text(START + 27, BEAT)
        self.assertEqual(session.last_seen, START + 27)


class MessageTests(SynchronousTestCase):
    def test_object(self) -> None:
        """An object is an event: the text as it came, twice."""
        text = '{ "n":1.10, "é":"\\u00e9" }'
        self.assertEqual(
            opened().text(START, text),
            (MessageReceived(FACTS, CONSTANT, 1, text.encode(), text),),
        )

    def test_protocol_types_are_messages(self) -> None:
        """Without protocol 1 no `ws.` type is interpreted."""
        self.assertEqual(message(opened().text(START, '{"type":"ws.refresh"}')).raw, '{"type":"ws.refresh"}')

    def test_raw(self) -> None:
        """Text that is no object is an event too, in the raw object."""
        for text in ("", "hello", "[1]", "null", '"ping"', "NaN", '{"a":1e400}', "\ufeff{}", "{" * 2_000):
            event = message(opened().text(START, text))
            self.assertEqual(json.loads(event.message), {"type": "raw", "payload": text})
            self.assertEqual(event.raw, text)

    def test_binary(self) -> None:
        """A binary frame travels as base64."""
        event = message(opened().binary(START, b"\x00\xff"))
        self.assertEqual(json.loads(event.message), {"type": "raw", "payload": "AP8=", "encoding": "base64"})
        self.assertEqual(event.raw, "AP8=")

    def test_binary_ping_is_none(self) -> None:
        """Only text is interpreted."""
        self.assertEqual(kinds(opened().binary(START, PING.encode())), [MessageReceived])


class TraceTests(SynchronousTestCase):
    def trace(self, text: str, traceparent: str | None = SHAKE) -> str | None:
        return message(opened(traceparent=traceparent).text(START, text)).traceparent

    def test_precedence(self) -> None:
        """The message's own, else the one in its `meta`, else the handshake's."""
        self.assertEqual(self.trace(json.dumps({"traceparent": OWN, "meta": {"traceparent": META}})), OWN)
        self.assertEqual(self.trace(json.dumps({"meta": {"traceparent": META}})), META)
        self.assertEqual(self.trace(json.dumps({"traceparent": "bad", "meta": {"traceparent": META}})), META)
        self.assertEqual(self.trace(json.dumps({"traceparent": "bad", "meta": "bad"})), SHAKE)
        self.assertEqual(self.trace("{}"), SHAKE)
        self.assertIsNone(self.trace("{}", None))

    def test_of_that_message_only(self) -> None:
        """A message's traceparent does not stay."""
        session = opened(traceparent=SHAKE)
        session.text(START, json.dumps({"traceparent": OWN}))
        self.assertEqual(message(session.text(START, "{}")).traceparent, SHAKE)

    def test_raw_and_binary(self) -> None:
        """What cannot be looked into has the handshake's."""
        self.assertEqual(self.trace(f'[{{"traceparent":"{OWN}"}}]'), SHAKE)
        self.assertEqual(message(opened(traceparent=SHAKE).binary(START, b"x")).traceparent, SHAKE)


class OrderingTests(SynchronousTestCase):
    def session(self, strategy: str, source: str = "user") -> Session:
        return opened(
            ordering=ordering_rule(strategy, subject_source=source), ordering_strategy=strategy, **QUIET
        )

    def order(self, session: Session, text: str) -> tuple[str | None, str | None]:
        event = message(session.text(START, text))
        return event.ordering_key, event.ordering_strategy

    def test_none(self) -> None:
        """Without a strategy there is neither key nor strategy."""
        self.assertEqual(self.order(self.session("none"), '{"topic":"t"}'), (None, None))

    def test_topic(self) -> None:
        """A key brings its strategy; no key, no strategy."""
        self.assertEqual(self.order(self.session("topic"), '{"topic":"room:1"}'), ("room:1", "topic"))
        self.assertEqual(self.order(self.session("topic"), '{"a":1}'), (None, None))

    def test_subject(self) -> None:
        """The connection's user and subjects stand in for the message's."""
        self.assertEqual(self.order(self.session("subject"), '{"subject":"s"}'), ("s", "subject"))
        self.assertEqual(self.order(self.session("subject"), "{}"), ("42", "subject"))
        self.assertEqual(self.order(self.session("subject", "subject"), "{}"), ("channel:a", "subject"))

    def test_raw_and_binary(self) -> None:
        """The raw object is a message like others: its type is `raw`, its user is known."""
        self.assertEqual(self.order(self.session("topic"), "hello"), ("raw", "topic"))
        self.assertEqual(self.order(self.session("subject"), "hello"), ("42", "subject"))
        event = message(self.session("subject").binary(START, b"x"))
        self.assertEqual((event.ordering_key, event.ordering_strategy), ("42", "subject"))


class RateTests(SynchronousTestCase):
    def session(self, **rules: float) -> Session:
        return opened(**{"rate_limit": 10, "rate_burst": 20, **QUIET, **rules})

    def test_beyond_the_burst(self) -> None:
        """The burst passes; what is beyond is answered and lost; then it goes on at the rate."""
        session = self.session()
        for _ in range(20):
            self.assertEqual(kinds(session.text(START, "{}")), [MessageReceived])
        for _ in range(3):
            self.assertEqual(session.text(START, "{}"), (SEND_RATE_LIMITED,))
        self.assertEqual(SEND_RATE_LIMITED, Send(b'\x81\x17{"type":"rate_limited"}'))
        self.assertEqual(session.messages, 20)
        for _ in range(10):
            self.assertEqual(kinds(session.text(START + 1, "{}")), [MessageReceived])
        self.assertEqual(session.text(START + 1, "{}"), (SEND_RATE_LIMITED,))

    def test_all_messages_together(self) -> None:
        """Objects, raw text and binary frames draw from one bucket."""
        session = self.session(rate_burst=3)
        for effects in (session.text(START, "{}"), session.text(START, "raw"), session.binary(START, b"")):
            self.assertEqual(kinds(effects), [MessageReceived])
        for effects in (session.text(START, "{}"), session.text(START, "raw"), session.binary(START, b"")):
            self.assertEqual(effects, (SEND_RATE_LIMITED,))

    def test_controls_at_ten_times_the_rate(self) -> None:
        """Pings and heartbeats share a bucket of their own, ten times as large."""
        session = self.session()
        for _ in range(100):
            self.assertEqual(session.text(START, PING), (SEND_PONG,))
            self.assertEqual(session.text(START, BEAT), (SEND_HEARTBEAT_ACK,))
        self.assertEqual(session.text(START, PING), (SEND_RATE_LIMITED,))
        self.assertEqual(session.text(START, BEAT), (SEND_RATE_LIMITED,))
        self.assertEqual(kinds(session.text(START, "{}")), [MessageReceived])
        for _ in range(100):
            self.assertEqual(session.text(START + 1, PING), (SEND_PONG,))
        self.assertEqual(session.text(START + 1, PING), (SEND_RATE_LIMITED,))

    def test_pings_pass_when_messages_do_not(self) -> None:
        """Who sends too many messages can still ping."""
        session = self.session(rate_burst=1)
        session.text(START, "{}")
        session.text(START, "{}")
        self.assertEqual(session.text(START, PING), (SEND_PONG,))

    def test_off(self) -> None:
        """A rate of 0 is no limit, for pings neither."""
        session = self.session(rate_limit=0)
        for _ in range(500):
            self.assertEqual(kinds(session.text(START, "{}")), [MessageReceived])
            self.assertEqual(session.text(START, PING), (SEND_PONG,))

    def test_close_after(self) -> None:
        """So many excess frames in a row close with 4429; each of them was answered."""
        session = self.session(rate_burst=1, rate_close_after=5)
        session.text(START, "{}")
        for give in (
            lambda: session.text(START, "{}"),
            lambda: session.text(START, "raw"),
            lambda: session.binary(START, b""),
            lambda: session.text(START, "{}"),
        ):
            self.assertEqual(give(), (SEND_RATE_LIMITED,))
        self.assertIs(session.state, State.OPEN)
        self.assertEqual(session.text(START, "{}"), (SEND_RATE_LIMITED, Close(closings.RATE_LIMITED)))
        self.assertIs(session.state, State.CLOSING)
        self.assertEqual(session.text(START, "{}"), ())

    def test_in_a_row(self) -> None:
        """A frame within the rate begins the count anew, be it a message or a ping."""
        for good, expected, after in (
            (PING, Send, 0.0),
            (BEAT, Send, 0.0),
            ("{}", MessageReceived, 0.1),
            ("raw", MessageReceived, 0.1),
        ):
            session = self.session(rate_burst=1, rate_close_after=3)
            now = START
            session.text(now, "{}")
            for _ in range(9):
                for _ in range(2):
                    self.assertEqual(session.text(now, "{}"), (SEND_RATE_LIMITED,))
                now += after * 1.01
                self.assertEqual(kinds(session.text(now, good)), [expected])
            self.assertIs(session.state, State.OPEN)

    def test_never_closes(self) -> None:
        """With 0 it is borne for ever."""
        session = self.session(rate_burst=1, rate_close_after=0)
        session.text(START, "{}")
        for _ in range(3_000):
            self.assertEqual(session.text(START, "{}"), (SEND_RATE_LIMITED,))
