"""What is wrong with a RabbitMQ, in one sentence: pika's errors, Twisted's and the broker's own words."""

from __future__ import annotations

from OpenSSL.SSL import Error as TLSError
from pika.exceptions import (
    AMQPHeartbeatTimeout,
    ChannelClosed,
    ConnectionClosed,
    IncompatibleProtocolError,
    StreamLostError,
)
from service_identity import VerificationError
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectError
from twisted.internet.error import ConnectionClosed as TransportClosed

from ws_gateway.errors import BrokerDown, BrokerRefused

__all__ = ["Lost", "is_final", "one_line", "refusal", "sentence"]

_MAX_LENGTH = 300
# ACCESS_REFUSED and NOT_ALLOWED (AMQP 0-9-1, section 1.2 of the reference): who we are, and where we may go.
_NOT_FOR_US = frozenset({403, 530})
_TELLING = (ConnectError, TransportClosed, OSError, VerificationError)


class Lost(BrokerDown):
    """The connection or the channel is gone, and with it the answer."""


def one_line(text: str) -> str:
    """Text of somebody else's, as a log may show it: one line, not too long."""
    return "".join(letter if letter.isprintable() else " " for letter in text)[:_MAX_LENGTH].strip()


def sentence(error: BaseException) -> str:
    """What went wrong. Holds no password: neither side ever repeats one."""
    if isinstance(error, BrokerDown | BrokerRefused):
        return error.detail
    if isinstance(error, IncompatibleProtocolError):
        return "whoever answers there does not speak AMQP 0-9-1"
    if isinstance(error, ConnectionClosed | ChannelClosed):
        return one_line(error.reply_text)
    if isinstance(error, AMQPHeartbeatTimeout):
        return "no sign of life from the broker"
    if isinstance(error, StreamLostError):
        return "the connection was lost"
    if isinstance(error, TLSError):
        return one_line(f"TLS failed: {_reasons(error)}")
    if isinstance(error, CancelledError):
        return "given up"
    return one_line(f"{error}") if isinstance(error, _TELLING) else type(error).__name__


def is_final(error: BaseException | None) -> bool:
    """Whether a connection was refused for a reason that lasts until somebody changes something."""
    if isinstance(error, ConnectionClosed):
        return error.reply_code in _NOT_FOR_US
    return isinstance(error, BrokerRefused)


def refusal(error: BaseException) -> BrokerRefused | Lost:
    """Why a channel is closed, as an error of our own: the broker's word, or the loss of the connection."""
    if isinstance(error, ChannelClosed):
        word = error.reply_text.partition(" - ")[0]
        return BrokerRefused(one_line(word) or str(error.reply_code), sentence(error))
    return Lost(sentence(error))


def _reasons(error: TLSError) -> str:
    listed = error.args[0] if error.args else ()
    if isinstance(listed, list | tuple):
        return ", ".join(str(entry[-1]) for entry in listed if entry) or "the connection was cut"
    return str(listed)
