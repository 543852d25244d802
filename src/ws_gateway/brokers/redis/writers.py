"""The two ways of appending to a stream: by script, nothing twice; where scripts are forbidden, in plain
transactions, at least once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.brokers.redis.producer_scripts import APPEND, FENCE, KEY_SECONDS, PROBE
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IMetrics

__all__ = ["BestWriter"]

_log = Logger()


def _is_forbidden(error: BaseException | None) -> bool:
    """Whether an answer says that a command must not be used here."""
    if not isinstance(error, BrokerRefused):
        return False
    return error.code == "NOPERM" or (error.code == "ERR" and error.detail.startswith("unknown command"))


def _as_outage(failure: Failure, stream: str) -> Failure:
    """A refusal in words of the one failure that writers have."""
    error = failure.value
    if not isinstance(error, BrokerRefused):
        return failure
    if error.code == "WRONGTYPE":
        return Failure(BrokerDown(f"the key {stream} of Redis is no stream (WRONGTYPE)"))
    return Failure(BrokerDown(f"Redis refuses what is written to {stream} ({error})"))


class _ScriptWriter:
    """See `producer_scripts`.

    :param run_id: names this life of this process; nobody else's.
    :param maxlen: about how many entries a stream keeps; None keeps all.
    :param forbidden: told for which stream and why, when Redis does not let us run scripts.
    """

    def __init__(
        self, link: RedisLink, run_id: str, maxlen: int | None, forbidden: Callable[[str, str], None]
    ) -> None:
        self._link = link
        self._run_id = run_id
        self._maxlen = "" if maxlen is None else str(maxlen)
        self._forbidden = forbidden

    def learn(self) -> None:
        """Have Redis learn the script before the first batch. One that forgot it, as after a restart, would
        refuse what is under way batch by batch, and what comes meanwhile would overtake it: a gap."""
        learnt = self._link.run("SCRIPT", "LOAD", APPEND.text)
        # Where it is forbidden, or the link is lost, the first batch says so.
        learnt.addErrback(lambda failure: failure.trap(BrokerDown, BrokerRefused))

    def append(self, stream: str, epoch: int, number: int, data: Sequence[bytes]) -> Deferred[None]:
        keys = (stream, self._key(stream, epoch))
        answer = self._link.run_script(APPEND, keys, (number, KEY_SECONDS, self._maxlen, *data))
        return answer.addCallbacks(lambda _: None, self._judge, (), {}, (stream,), {})

    def fence(self, stream: str, epoch: int) -> Deferred[int]:
        answer = self._link.run_script(FENCE, (self._key(stream, epoch),), (KEY_SECONDS,))
        return answer.addErrback(self._judge, stream)

    def _key(self, stream: str, epoch: int) -> str:
        return f"ws:writer:{self._run_id}:{stream}:{epoch}"

    def _judge(self, failure: Failure, stream: str) -> Failure:
        if _is_forbidden(failure.value):
            self._forbidden(stream, str(failure.value))
        return _as_outage(failure, stream)


class _PlainWriter:
    """A transaction a batch, one after the other, so that a batch that fails is not overtaken; where
    transactions are forbidden, too, single commands. What nobody knows about is written again.

    :param maxlen: about how many entries a stream keeps; None keeps all.
    """

    def __init__(self, link: RedisLink, maxlen: int | None) -> None:
        self._link = link
        self._options: tuple[str, ...] = () if maxlen is None else ("MAXLEN", "~", str(maxlen))

    def append(self, stream: str, data: Sequence[bytes]) -> Deferred[None]:
        commands: list[tuple[bytes | str, ...]] = [("MULTI",)]
        commands += [("XADD", stream, *self._options, "*", "data", entry) for entry in data]
        answers = self._link.run_all([*commands, ("EXEC",)])
        return answers.addCallback(self._check).addErrback(_as_outage, stream)

    def _check(self, answers: list[Any]) -> None:
        """All entries were added, or the first reason why not.

        :raises BrokerDown: one was not, or nobody knows.
        :raises BrokerRefused: Redis does not want one.
        """
        transaction, *added, executed = answers
        if not isinstance(transaction, BrokerRefused):
            # Within a transaction each answer is but a promise; the errors of some commands stand there.
            added += executed if isinstance(executed, list) else [executed]
        for answer in added:
            if isinstance(answer, Exception):
                raise answer


class BestWriter:
    """By script where Redis lets us, a stream at a time; asked again at each new connection.

    :param run_id: names this life of this process; nobody else's.
    :param maxlen: about how many entries a stream keeps; None keeps all.
    """

    def __init__(self, link: RedisLink, run_id: str, metrics: IMetrics, maxlen: int | None) -> None:
        self._link = link
        self._by_script = _ScriptWriter(link, run_id, maxlen, self._forbid)
        self._plainly = _PlainWriter(link, maxlen)
        self._plain: set[str] = set()
        self._said = False
        self._fences = metrics.counter(
            "redis_fences_total", "Times that it had to be found out which batches Redis had taken."
        )
        metrics.gauge(
            "redis_plain_streams",
            "Streams to which we may not append by script, so that entries may stand there twice.",
            lambda: float(len(self._plain)),
        )
        link.subscribe(self._ask_again)

    def side_by_side(self, stream: str) -> bool:
        return stream not in self._plain

    def append(self, stream: str, epoch: int, number: int, data: Sequence[bytes]) -> Deferred[None]:
        if stream in self._plain:
            return self._plainly.append(stream, data)
        return self._by_script.append(stream, epoch, number, data)

    def fence(self, stream: str, epoch: int) -> Deferred[int]:
        self._fences.inc()
        if stream in self._plain:
            return succeed(0)
        return self._by_script.fence(stream, epoch)

    def _forbid(self, stream: str, why: str) -> None:
        self._plain.add(stream)
        if not self._said:
            self._said = True
            _log.warn(
                "Redis does not let us append to {stream} by script ({why}): plain commands are used, and an"
                " event may stand in a stream twice after a lost connection",
                stream=stream,
                why=why,
            )

    def _ask_again(self) -> None:
        """Whoever may run scripts may try with all streams again."""
        self._by_script.learn()
        if self._plain:
            asked = self._link.run_script(PROBE, (), ())
            asked.addCallbacks(lambda _: self._plain.clear(), self._still_forbidden)

    def _still_forbidden(self, failure: Failure) -> None:
        failure.trap(BrokerDown, BrokerRefused)
