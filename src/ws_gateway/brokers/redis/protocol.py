"""One connection to Redis: commands out, answers in the same order.

txredisapi's protocol keeps the order of answers. What it lacks is here: bounds on what waits for an answer,
a time limit that ends the connection (an answer that comes too late would be taken for that of the next
command), and commands packed and answers read by hiredis without a detour. Its own life begins with AUTH and
SELECT and gives up for good when they fail; ours begins with nothing, and `connecting` does the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

import hiredis
from OpenSSL.SSL import Error as TLSError
from service_identity import VerificationError
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ConnectError, ConnectionClosed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from txredisapi import ConnectionError as NoConnection
from txredisapi import InvalidData, RedisProtocol, ResponseError

from ws_gateway.brokers.redis.replies import judge_error
from ws_gateway.errors import BrokerDown

__all__ = ["Conversation", "Word", "describe_loss", "reply_or_error"]

Word = bytes | str | int | float
"""What a command consists of."""

_MOST_COMMANDS = 10_000
_MOST_BYTES = 64 * 1024 * 1024
_MOST_DETAIL = 200


def reply_or_error(reply: Any) -> Any:
    """An answer as it is, or the exception that it stands for.

    :raises BrokerDown: Redis cannot do it now.
    :raises BrokerRefused: Redis will not do it.
    """
    if isinstance(reply, ResponseError):
        raise judge_error(str(reply))
    if isinstance(reply, BrokerDown):
        raise reply
    return reply


def describe_loss(error: BaseException | None) -> str:
    """In a few words why a connection was lost or not made, without anything that the other side sent."""
    if isinstance(error, TLSError):
        reasons = error.args[0] if error.args and isinstance(error.args[0], list) else []
        return f"TLS: {reasons[0][-1]}" if reasons else "TLS: the other side hung up or speaks no TLS"
    if isinstance(error, VerificationError):
        return "TLS: the certificate is for another host"
    if isinstance(error, ConnectError | ConnectionClosed | OSError):
        return str(error).rstrip(".")[:_MOST_DETAIL]
    return type(error).__name__


class Conversation(RedisProtocol):
    """See the module.

    :param clock: for the time limits.
    :ivar reason: why it is over, in a few words; empty while it lasts.
    """

    factory: Any

    def __init__(self, clock: IReactorTime) -> None:
        super().__init__(charset=None, convertNumbers=False)
        self.reason = ""
        self._clock = clock
        # Of each command without answer: seconds that it may take once it is the oldest one, and its size.
        self._waiting: deque[tuple[float, int]] = deque()
        self._bytes = 0
        self._oldest_since = 0.0
        self._alarm: IDelayedCall | None = None
        self._gone: list[Deferred[None]] = []

    @property
    def usable(self) -> bool:
        """Whether commands can be sent."""
        return bool(self.connected) and not self.reason

    def ask(self, words: Sequence[Word], timeout: float) -> Deferred[Any]:
        """Send a command.

        :param timeout: seconds without an answer, from when all commands before it are answered, after which
            the connection is given up.
        :returns Deferred: what Redis answered; an error answer as a value (`reply_or_error`), and a
            BrokerDown, as a value too, if it was not sent or the connection ends before.
        """
        return self.ask_all([words], timeout)[0]

    def ask_all(self, commands: Sequence[Sequence[Word]], timeout: float) -> list[Deferred[Any]]:
        """Send several commands, with nothing in between: all of them or none. See ask()."""
        trouble = "" if self.usable else self.reason or "the connection is not up"
        # The stub speaks of tuples of one word.
        packed: list[bytes] = [hiredis.pack_command(tuple(words)) for words in commands]  # type: ignore[arg-type]
        size = sum(map(len, packed))
        if self._waiting and (
            len(self._waiting) + len(packed) > _MOST_COMMANDS or self._bytes + size > _MOST_BYTES
        ):
            trouble = trouble or "too much waits for an answer of Redis"
        if trouble:
            return [succeed(BrokerDown(trouble)) for _ in packed]
        idle = not self._waiting
        answers = []
        for command in packed:
            self._waiting.append((timeout, len(command)))
            answers.append(self.replyQueue.get())
        self._bytes += size
        if idle:
            self._oldest_since = self._clock.seconds()
            self._watch()
        self.transport.write(packed[0] if len(packed) == 1 else b"".join(packed))
        return answers

    def give_up(self, reason: str) -> None:
        """End the connection at once, whatever waits."""
        if self.usable:
            self.reason = reason
            self.transport.abortConnection()

    async def end(self, reason: str) -> None:
        """Give it up, and wait until it is gone."""
        self.give_up(reason)
        await self.gone()

    def gone(self) -> Deferred[None]:
        """Wait for the end of the connection; cancelling gives up waiting, nothing else."""
        if not self.connected:
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._gone.remove)
        self._gone.append(waiting)
        return waiting

    def connectionMade(self) -> None:
        # Not the inherited one: that logs in by itself, and stops for good if it fails.
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)

    def dataReceived(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            reply = self._reader.gets()
            while reply is not False:
                self.replyReceived(reply)
                reply = self._reader.gets()
        except InvalidData:
            self.give_up("what answers is no Redis")

    def replyReceived(self, reply: Any) -> None:
        if not self._waiting:
            # Nobody asked: Redis says why it hangs up.
            text = str(judge_error(str(reply))) if isinstance(reply, ResponseError) else "an answer too many"
            self.give_up(text)
            return
        self._bytes -= self._waiting.popleft()[1]
        self._oldest_since = self._clock.seconds()
        if self._waiting and not self.reason:
            self._watch()
        if isinstance(reply, NoConnection):
            reply = BrokerDown(f"the connection to Redis was lost: {self.reason}")
        super().replyReceived(reply)

    def connectionLost(self, why: Failure = connectionDone) -> None:
        self.reason = self.reason or describe_loss(why.value)
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        # Everything that waits fails in here, before anybody hears of the end.
        super().connectionLost(why)
        waiting, self._gone = self._gone, []
        for deferred in waiting:
            deferred.callback(None)

    def _watch(self) -> None:
        """Have the time of the oldest command run; one alarm serves all of them."""
        ends = self._oldest_since + self._waiting[0][0]
        seconds = max(0.0, ends - self._clock.seconds())
        if self._alarm is None:
            self._alarm = self._clock.callLater(seconds, self._ring)
        elif self._alarm.getTime() > ends:
            self._alarm.reset(seconds)

    def _ring(self) -> None:
        self._alarm = None
        if not self._waiting or not self.usable:
            return
        timeout = self._waiting[0][0]
        if self._clock.seconds() >= self._oldest_since + timeout:
            self.give_up(f"no answer within {timeout:g} s")
        else:
            self._watch()
