"""A link to Redis: one connection that comes back by itself.

One connection, so commands keep their order. While it is down every command fails at once: nothing is queued
here, whoever sends decides what to do. It is tried again for ever, whatever the reason was, a refused
password included: passwords are changed on one side first.

A command that is under way when the connection ends fails, and nobody knows whether Redis carried it out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, fail, gatherResults, succeed
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.brokers.redis.connecting import Unfit, Way
from ws_gateway.brokers.redis.protocol import Conversation, Word, reply_or_error
from ws_gateway.brokers.redis.replies import RedisOutage
from ws_gateway.brokers.redis.scripts import Script
from ws_gateway.domain.retry import Backoff
from ws_gateway.dsn import RedisDsn
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IMetrics

__all__ = ["RedisLink", "Script"]

_log = Logger()

_BACKOFF = Backoff(base=0.1, maximum=2.0)
# A connection that lasted as long was a good one: the next try comes soon.
_LASTING_SECONDS = 2.0


class RedisLink(Service):
    """See the module.

    :param reactor: IReactorTCP, IReactorTime and IReactorPluggableNameResolver.
    :param random: a number, 0 <= number < 1, for the waiting times between tries.
    :param purpose: what it is for, in a word: the label of its metrics, and how Redis calls the connection.
    :param ca_file: certificates of the authorities that count (TLS), PEM; None means those of the system.
    :param timeout: seconds for a connect, and for an answer where a command says nothing else.
    :param turned_away: called with a sentence if the first Redis that is reached is not one that we can use
        (a wrong password, a cluster): time does not heal that, so perhaps nobody wants to wait. The link goes
        on.
    """

    def __init__(
        self,
        dsn: RedisDsn,
        reactor: Any,
        random: Callable[[], float],
        metrics: IMetrics,
        purpose: str,
        ca_file: str | None = None,
        timeout: float = 5.0,
        turned_away: Callable[[str], object] | None = None,
    ) -> None:
        self._turned_away = turned_away
        self._trouble = "not connected yet"
        self._dsn = dsn
        self._reactor = reactor
        self._random = random
        self._purpose = purpose
        self._timeout = timeout
        self._way = Way(dsn, reactor, ca_file, timeout, f"ws-gateway-{purpose}")
        self._conversation: Conversation | None = None
        self._subscribers: list[Callable[[], None]] = []
        self._life: Deferred[None] = succeed(None)
        self._last_logged = ""
        labels = {"purpose": purpose}
        self._connections = metrics.counter(
            "redis_connections_total", "Connections to Redis that were made and fit for use.", labels
        )
        self._failed = metrics.counter(
            "redis_commands_failed_total", "Commands that Redis did not carry out, or nobody knows.", labels
        )
        metrics.gauge("redis_up", "Whether the link to Redis is up.", lambda: float(self.is_up), labels)

    @property
    def is_up(self) -> bool:
        """Whether commands go out."""
        return self._conversation is not None and self._conversation.usable

    @property
    def trouble(self) -> str:
        """Why it is not up, in one sentence without secrets; empty when it is up."""
        return self._trouble if self._conversation is None else self._conversation.reason

    def run(self, *words: Word, timeout: float | None = None) -> Deferred[Any]:
        """Have Redis carry out a command. Commands are carried out in the order of the calls.

        :param timeout: seconds without an answer, from when all commands before it are answered, after which
            the connection is given up.
        :returns Deferred: bytes, int, list or None, as Redis sent them. Cancelling only gives up waiting.
        :raises BrokerDown: (as a failure) the link is down, or went down before the answer came, or Redis
            cannot do it now (`RedisOutage`).
        :raises BrokerRefused: (as a failure) Redis will not do it.
        """
        conversation = self._conversation
        if conversation is None or not conversation.usable:
            self._failed.inc()
            return fail(BrokerDown(self.trouble))
        answer = conversation.ask(words, self._timeout if timeout is None else timeout)
        return answer.addCallback(reply_or_error).addErrback(self._note_failure, conversation)

    def run_all(
        self, commands: Sequence[Sequence[Word]], timeout: float | None = None
    ) -> Deferred[list[Any]]:
        """Have Redis carry out commands with none of ours in between.

        :returns Deferred[list]: an answer for each, or the BrokerDown or BrokerRefused that run() would have
            failed with. It does not fail.
        """
        conversation = self._conversation
        if conversation is None or not conversation.usable:
            self._failed.inc(len(commands))
            return succeed([BrokerDown(self.trouble) for _ in commands])
        answers = conversation.ask_all(commands, self._timeout if timeout is None else timeout)
        for answer in answers:
            answer.addCallback(reply_or_error).addErrback(self._note_failure, conversation)
            answer.addErrback(lambda failure: failure.value)
        return gatherResults(answers)

    def run_script(
        self,
        script: Script,
        keys: Sequence[bytes | str],
        arguments: Sequence[Word],
        timeout: float | None = None,
    ) -> Deferred[Any]:
        """Have Redis run a script, which it may have to learn first.

        Returns and raises like run(). A script that Redis has forgotten is run after those that were called
        meanwhile.
        """
        words: tuple[Word, ...] = ("EVALSHA", script.digest, len(keys), *keys, *arguments)

        def teach(failure: Failure) -> Deferred[Any]:
            error = failure.value
            if not isinstance(error, BrokerRefused) or error.code != "NOSCRIPT":
                return fail(failure)
            loaded = self.run("SCRIPT", "LOAD", script.text, timeout=timeout)
            again = self.run(*words, timeout=timeout)
            # Whoever may not load scripts hears that, and not that there is none.
            return loaded.addCallbacks(lambda _: again, lambda why: again.addBoth(lambda _: why))

        return self.run(*words, timeout=timeout).addErrback(teach)

    def subscribe(self, up: Callable[[], None]) -> None:
        """Have something called at every new connection that is fit for use, and now if there is one."""
        self._subscribers.append(up)
        if self.is_up:
            up()

    def reset(self, reason: str) -> None:
        """Give the connection up, because it is of no use, and look anew for where Redis is."""
        if self._conversation is not None:
            self._conversation.give_up(reason)

    def startService(self) -> None:
        super().startService()  # type: ignore[no-untyped-call]
        self._life = Deferred.fromCoroutine(self._live())
        self._life.addErrback(self._not_our_plan)

    def stopService(self) -> Deferred[None]:
        """Hang up.

        :returns Deferred[None]: when the connection is gone.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        life, self._life = self._life, succeed(None)
        life.cancel()
        return life

    async def _live(self) -> None:
        """Connect, wait for the end, and again."""
        failures = 0
        while self.running:
            began = self._reactor.seconds()
            try:
                conversation = await self._way.go()
            except BrokerDown as error:
                self._say(error.detail)
                if isinstance(error, Unfit) and self._turned_away is not None:
                    turned_away, self._turned_away = self._turned_away, None
                    turned_away(error.detail)
            else:
                self._turned_away = None
                began = self._reactor.seconds()
                self._be_up(conversation)
                if not self.running:
                    # Stopped by one of those who were told: what runs cannot be cancelled.
                    self._conversation = None
                    await conversation.end("the gateway stops")
                    return
                try:
                    await conversation.gone()
                except CancelledError:
                    self._trouble = "the gateway stops"
                    await conversation.end(self._trouble)
                    raise
                finally:
                    self._conversation = None
                self._say(f"the connection to Redis was lost: {conversation.reason}")
                if self._reactor.seconds() - began >= _LASTING_SECONDS:
                    failures = 0
            await deferLater(self._reactor, _BACKOFF.delay(failures, self._random()))
            failures += 1

    def _be_up(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self._connections.inc()
        self._last_logged = ""
        _log.info("connected to {dsn} ({purpose})", dsn=str(self._dsn), purpose=self._purpose)
        for up in tuple(self._subscribers):
            try:
                up()
            except Exception:
                _log.failure("whoever uses the link to Redis ({purpose}) failed", purpose=self._purpose)

    def _say(self, trouble: str) -> None:
        """Remember what is wrong, and log it when it is something new."""
        self._trouble = trouble
        if trouble != self._last_logged:
            self._last_logged = trouble
            _log.warn(
                "no link to {dsn} ({purpose}): {trouble}; trying again",
                dsn=str(self._dsn),
                purpose=self._purpose,
                trouble=trouble,
            )

    def _note_failure(self, failure: Failure, conversation: Conversation) -> Failure:
        if failure.check(CancelledError):
            return failure
        self._failed.inc()
        if isinstance(failure.value, RedisOutage) and failure.value.code == "READONLY":
            # It was the master when we came: another one is now.
            conversation.give_up(failure.value.detail)
        return failure

    def _not_our_plan(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("the link to Redis ({purpose}) is over", failure, purpose=self._purpose)
