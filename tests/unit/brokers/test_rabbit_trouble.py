"""What is wrong, in one sentence."""

from OpenSSL.SSL import Error as TLSError
from pika.exceptions import (
    AMQPHeartbeatTimeout,
    ChannelClosedByBroker,
    ConnectionClosedByBroker,
    IncompatibleProtocolError,
    StreamLostError,
)
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionRefusedError
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.brokers.rabbitmq.trouble import Lost, one_line, refusal, sentence
from ws_gateway.errors import BrokerDown, BrokerRefused


class SentenceTests(SynchronousTestCase):
    """Whoever failed, an operator can read it."""

    def test_sentences(self) -> None:
        """Each kind of error has one line."""
        for error, expected in (
            (BrokerDown("gone"), "gone"),
            (BrokerRefused("406", "PRECONDITION_FAILED - other"), "PRECONDITION_FAILED - other"),
            (ConnectionClosedByBroker(320, "CONNECTION_FORCED - x\ny"), "CONNECTION_FORCED - x y"),
            (IncompatibleProtocolError("?"), "whoever answers there does not speak AMQP 0-9-1"),
            (AMQPHeartbeatTimeout("?"), "no sign of life from the broker"),
            (StreamLostError("?"), "the connection was lost"),
            (TLSError([("lib", "", "certificate verify failed")]), "TLS failed: certificate verify failed"),
            (TLSError(), "TLS failed: the connection was cut"),
            (CancelledError(), "given up"),
            (KeyError("secret"), "KeyError"),
        ):
            self.assertEqual(sentence(error), expected)
        self.assertIn("refused", sentence(ConnectionRefusedError()))

    def test_one_line(self) -> None:
        """Whatever the other side says, it is one line of bounded length."""
        self.assertEqual(one_line("a\r\nb\x1b[0m\u2028c" + "d" * 1000)[:12], "a  b [0m cdd")
        self.assertEqual(len(one_line("d" * 1000)), 300)

    def test_refusal(self) -> None:
        """A channel that the broker closed is a refusal with its word; one that was lost is not."""
        refused = refusal(ChannelClosedByBroker(404, "NOT_FOUND - no queue 'q' in vhost '/'"))
        assert isinstance(refused, BrokerRefused)
        self.assertEqual((refused.code, refused.detail[:20]), ("NOT_FOUND", "NOT_FOUND - no queue"))
        refused = refusal(ChannelClosedByBroker(504, ""))
        assert isinstance(refused, BrokerRefused)
        self.assertEqual(refused.code, "504")
        self.assertIsInstance(refusal(StreamLostError("?")), Lost)
