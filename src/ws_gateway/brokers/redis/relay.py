"""From one node to all of them: documents into the outbox stream, which every node reads.

Calls that are made while one is under way go together in the next one: they keep their order whatever Redis
does, and a node that publishes much asks little.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred, FirstError, fail, gatherResults, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ws_gateway.brokers.redis.link import RedisLink, Script
from ws_gateway.brokers.redis.protocol import Word
from ws_gateway.brokers.redis.streams import OutboxStreams, words_of_trim
from ws_gateway.brokers.redis.writing import ScriptOrNot
from ws_gateway.errors import BrokerDown
from ws_gateway.interfaces import IRelay

__all__ = ["RedisRelay"]

_log = Logger()

# Joined calls stay below these; one call that is larger goes alone.
_DOCUMENTS_AT_ONCE = 500
_BYTES_AT_ONCE = 1024 * 1024
_MOST_BYTES = 16 * 1024 * 1024

# The last argument is the most that is kept, or empty. Only the first XADD may fail: all or none.
_APPEND = Script("""
local most = ARGV[#ARGV]
for at = 1, #ARGV - 1 do
  if most == '' then
    redis.call('XADD', KEYS[1], '*', 'data', ARGV[at])
  else
    redis.call('XADD', KEYS[1], 'MAXLEN', '~', most, '*', 'data', ARGV[at])
  end
end
return #ARGV - 1
""")


@frozen
class _Call:
    documents: tuple[bytes, ...]
    size: int
    answer: Deferred[None]


@implementer(IRelay)
class RedisRelay:
    """See the module.

    :param link: to write by; while it is down every call fails at once.
    """

    def __init__(self, link: RedisLink, streams: OutboxStreams) -> None:
        self._link = link
        self._streams = streams
        self._append = ScriptOrNot(link, _APPEND, "publications are relayed", self._append_by_steps)
        self._waiting: deque[_Call] = deque()
        self._bytes = 0
        self._busy = False

    @property
    def usable(self) -> bool:
        return self._link.is_up

    def relay(self, documents: Sequence[bytes]) -> Deferred[None]:
        if not documents:
            return succeed(None)
        if not self._link.is_up:
            return fail(BrokerDown(self._link.trouble))
        size = sum(map(len, documents))
        if self._waiting and self._bytes + size > _MOST_BYTES:
            return fail(BrokerDown("too many publications wait to be relayed"))
        # Whoever gives up waiting does not take back what was relayed.
        answer: Deferred[None] = Deferred()
        self._waiting.append(_Call(tuple(documents), size, answer))
        self._bytes += size
        if not self._busy:
            self._busy = True
            relaying = Deferred.fromCoroutine(self._relay_all())
            relaying.addErrback(lambda failure: _log.failure("publications are not relayed", failure))
        return answer

    async def _relay_all(self) -> None:
        try:
            while self._waiting:
                calls = self._next()
                documents = [document for call in calls for document in call.documents]
                maxlen = self._streams.maxlen
                try:
                    await self._append.run(
                        (self._streams.outbox,), (*documents, "" if maxlen is None else maxlen)
                    )
                except Exception:
                    failure = Failure()
                    for call in calls:
                        call.answer.errback(failure)
                else:
                    for call in calls:
                        call.answer.callback(None)
        finally:
            self._busy = False

    def _next(self) -> list[_Call]:
        """As many calls as go together."""
        calls = [self._waiting.popleft()]
        count, size = len(calls[0].documents), calls[0].size
        while self._waiting:
            count += len(self._waiting[0].documents)
            size += self._waiting[0].size
            if count > _DOCUMENTS_AT_ONCE or size > _BYTES_AT_ONCE:
                break
            calls.append(self._waiting.popleft())
        self._bytes -= sum(call.size for call in calls)
        return calls

    def _append_by_steps(self, keys: Sequence[bytes | str], arguments: Sequence[Word]) -> Deferred[Any]:
        words = (*words_of_trim(self._streams.maxlen), "*", "data")
        steps = [self._link.run("XADD", keys[0], *words, document) for document in arguments[:-1]]
        answers: Deferred[Any] = gatherResults(steps, consumeErrors=True)
        return answers.addErrback(_first_of_them)


def _first_of_them(failure: Failure) -> Failure:
    """What went wrong, out of what gatherResults() makes of it."""
    failure.trap(FirstError)
    assert isinstance(failure.value, FirstError)
    return failure.value.subFailure
