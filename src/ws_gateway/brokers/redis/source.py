"""Publications out of a stream of Redis, to every node (contract section 4).

A connection of its own waits in XREAD. What it brings goes to the taker at once and the next XREAD follows,
so that reading and delivering overlap; a few batches may be with the taker, then reading waits. The position
moves as a batch is handed over: a taker never fails, so nothing has to be read again, and nothing is
delivered twice. It outlives connections; every new connection begins with a look at the stream (`position`).

The canary goes the same way: written by the other link into a stream of this node, read by the same XREAD.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.application.service import MultiService
from twisted.internet.defer import CancelledError, Deferred, gatherResults, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ws_gateway.brokers.canary import Canary, Flight
from ws_gateway.brokers.counts import SourceCounts
from ws_gateway.brokers.redis.dead_letters import DeadLetters
from ws_gateway.brokers.redis.entries import BatchSize, Entries, sort_out
from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.brokers.redis.position import LossReason, StreamPosition
from ws_gateway.brokers.redis.streams import OutboxStreams, show_id
from ws_gateway.domain.retry import Backoff
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IMetrics, IPublicationSource, IPublicationTaker, IReadiness

__all__ = ["ReadingRules", "RedisSource"]

_log = Logger()

_BACKOFF = Backoff(base=0.1, maximum=5.0)
_GLANCE_SECONDS = 0.05


@frozen
class ReadingRules:
    """How it is read.

    :ivar batch: entries at once.
    :ivar batch_bytes: about so many bytes at once; a single entry may be larger.
    :ivar window: how many batches may be with the taker.
    :ivar block_seconds: how long one XREAD waits.
    :ivar answer_seconds: how much longer an answer may take before the connection is given up.
    :ivar look_seconds: how often the stream is looked at while it is read.
    :ivar canary_seconds: how often a canary flies; 0 = never.
    :ivar canary_patience: after how many seconds it is given up.
    :ivar canary_key_seconds: how long its stream lives after it.
    """

    batch: int = 500
    batch_bytes: int = 2 * 1024 * 1024
    window: int = 4
    block_seconds: float = 5.0
    answer_seconds: float = 5.0
    look_seconds: float = 15.0
    canary_seconds: float = 5.0
    canary_patience: float = 5.0
    canary_key_seconds: int = 60


@implementer(IPublicationSource, IReadiness)
class RedisSource(MultiService):
    """See the module.

    :param reading: a link that nobody else uses; started and stopped with the source.
    :param writing: the link that dead letters and canaries go by; somebody else starts and stops it.
    :param node_run: new at every start of the node; part of the canary's key.
    :param reactor: IReactorTime.
    :param random: numbers from 0 up to 1.
    """

    name = "redis"

    def __init__(
        self,
        reading: RedisLink,
        writing: RedisLink,
        streams: OutboxStreams,
        node_run: str,
        reactor: Any,
        random: Callable[[], float],
        metrics: IMetrics,
        rules: ReadingRules = ReadingRules(),
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        reading.setServiceParent(self)  # type: ignore[no-untyped-call]
        self._reading = reading
        self._writing = writing
        self._streams = streams
        self._reactor = reactor
        self._random = random
        self._rules = rules
        self._counts = SourceCounts(metrics, self.name)
        self._losses = {
            reason: metrics.counter(
                "outbox_position_lost_total",
                "How often the outbox was not what it was when it was read last.",
                {"reason": reason.value},
            )
            for reason in LossReason
        }
        metrics.gauge(
            "outbox_batches_under_way",
            "Batches of publications that are being delivered.",
            lambda: self._under_way,
            {"broker": self.name},
        )
        self._dead = DeadLetters(writing, streams, reactor, random, metrics)
        self._canary_key = f"ws:canary:{node_run}".encode()
        self._canary_last = b"0-0"
        self._canary = Canary(
            rules.canary_seconds,
            rules.canary_patience,
            reactor,
            self._send_canary,
            lambda: self._is_reading and self._reading.is_up,
            self._canary_silent,
            self._counts,
        )
        self._position = StreamPosition(streams.outbox)
        self._size = BatchSize(rules.batch, rules.batch_bytes)
        self._taker: IPublicationTaker | None = None
        self._trouble = ""
        # What the link says before it has tried.
        self._untried = reading.trouble
        self._is_reading = False
        self._reads_canary = rules.canary_seconds > 0
        self._logged = ""
        self._looked_at = 0.0
        self._failures = 0
        self._under_way = 0
        self._life: Deferred[None] = succeed(None)
        self._up: Deferred[None] | None = None
        self._room: Deferred[None] | None = None
        self._idle: Deferred[None] | None = None
        self._waiting: list[Deferred[None]] = []
        self._glance: IDelayedCall | None = None
        reading.subscribe(self._link_is_up)
        writing.subscribe(self._canary.hurry)

    def feed(self, taker: IPublicationTaker) -> None:
        self._taker = taker

    def positioned(self) -> Deferred[None]:
        if self._is_clear():
            return succeed(None)
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        if self._glance is None:
            self._glance_again()
        return waiting

    def readiness(self) -> tuple[str, str, str]:
        trouble = self._trouble
        if not self._reading.is_up:
            trouble = f"publications are not read: {self._reading.trouble}"
        elif not trouble and not self._writing.is_up:
            trouble = f"canaries and dead letters cannot be written: {self._writing.trouble}"
        trouble = trouble or self._canary.trouble or self._dead.trouble
        return "redis_outbox", "degraded" if trouble else "ok", trouble

    def startService(self) -> None:
        """Connect, and read for as long as the service runs."""
        assert self._taker is not None, "feed() comes first"
        super().startService()  # type: ignore[no-untyped-call]
        self._life = Deferred.fromCoroutine(self._live())
        self._life.addErrback(self._not_our_plan)
        if self._rules.canary_seconds:
            self._canary.start()

    def stopService(self) -> Deferred[None]:
        """Cut off the XREAD and bring nothing any more.

        :returns Deferred[None]: when the connection is gone and the taker has answered for what it has.
        """
        self._canary.stop()
        if self._glance is not None:
            self._glance.cancel()
            self._glance = None
        life, self._life = self._life, succeed(None)
        life.cancel()
        hung_up = maybeDeferred(super().stopService)
        self._tell_waiting()
        idle: Deferred[None] = succeed(None)
        if self._under_way:
            idle = self._idle = Deferred()
        idle.addCallback(lambda _: self._dead.stop())
        return gatherResults([life, hung_up, idle], consumeErrors=True).addCallback(lambda _: None)

    async def _live(self) -> None:
        # A taker may stop us while it takes: nothing waits then that could be cancelled.
        while self.running:
            try:
                await self._until_up()
                await self._look()
                self._trouble = ""
                await self._read_on()
            except BrokerDown as error:
                self._complain(f"publications are not read: {error.detail}")
            except BrokerRefused as error:
                self._complain(f"the stream {self._streams.outbox} cannot be read: {error}")
            finally:
                self._is_reading = False
            if self.running:
                await deferLater(self._reactor, _BACKOFF.delay(self._failures, self._random()))
                self._failures += 1

    async def _read_on(self) -> None:
        """Read until something goes wrong."""
        while self.running:
            await self._dead.room()
            if self._under_way >= self._rules.window:
                self._room = Deferred()
                await self._room
            if self._reactor.seconds() - self._looked_at >= self._rules.look_seconds:
                await self._look()
            self._is_reading = True
            answer = await self._read_once()
            self._is_reading = False
            self._failures = 0
            self._logged = ""
            for stream, entries in answer or ():
                if stream == self._canary_key:
                    self._canary_last = entries[-1][0]
                    self._canary.seen(entries[-1][1][1])
                else:
                    self._bring(sort_out(entries))

    def _read_once(self) -> Deferred[Any]:
        assert self._position.last is not None
        last = show_id(self._position.last)
        keys: tuple[str | bytes, ...] = (self._streams.outbox, last)
        if self._reads_canary:
            keys = (self._streams.outbox, self._canary_key, last, self._canary_last)
        rules = self._rules
        block = int(rules.block_seconds * 1000)
        return self._reading.run(
            *("XREAD", "COUNT", self._size.count, "BLOCK", block, "STREAMS", *keys),
            timeout=rules.block_seconds + rules.answer_seconds,
        )

    async def _look(self) -> None:
        """See where we are in the stream. Nothing may be on its way to us."""
        loss = await self._position.look(self._reading)
        self._looked_at = self._reactor.seconds()
        self._tell_waiting()
        if loss is not None:
            self._losses[loss.reason].inc()
            _log.warn(
                "the position in {stream} was lost: {detail}",
                stream=self._streams.outbox,
                detail=loss.detail,
                reason=loss.reason.value,
            )

    def _bring(self, entries: Entries) -> None:
        """Hand a batch to the taker."""
        assert self._taker is not None
        self._position.moved(entries.ids)
        self._size.learn(len(entries.ids), entries.size)
        self._counts.received.inc(len(entries.ids))
        for entry in entries.unusable:
            self._bury(entry.entry_id, entry.reason, entry.raw)
        if entries.documents:
            self._under_way += 1
            taken = maybeDeferred(self._taker.take, entries.documents)
            taken.addCallback(self._taken, entries)
            taken.addErrback(lambda failure: _log.failure("publications were not taken", failure))
            taken.addCallback(self._settled)

    def _taken(self, reasons: list[str | None], entries: Entries) -> None:
        for entry_id, reason, document in zip(entries.document_ids, reasons, entries.documents, strict=True):
            if reason is not None:
                self._bury(entry_id, reason, document)

    def _bury(self, entry_id: str, reason: str, raw: bytes) -> None:
        self._counts.dead_letters.inc()
        self._dead.add(entry_id, reason, raw)

    def _settled(self, _: Any) -> None:
        self._under_way -= 1
        room, self._room = self._room, None
        if room is not None:
            room.callback(None)
        if self._idle is not None and not self._under_way:
            self._idle.callback(None)

    def _send_canary(self, token: bytes) -> Deferred[Any]:
        added = self._writing.run("XADD", self._canary_key, "MAXLEN", 1, "*", "data", token)
        expiry = self._writing.run("EXPIRE", self._canary_key, self._rules.canary_key_seconds)
        # The first answer says all; where there is no link both fail in the same way.
        expiry.addErrback(lambda failure: failure.trap(BrokerDown, BrokerRefused, CancelledError))
        return added.addCallbacks(self._canary_written, self._canary_not_written)

    def _canary_written(self, _: Any) -> None:
        self._reads_canary = True

    def _canary_not_written(self, failure: Failure) -> Failure:
        if failure.check(BrokerRefused):
            # Where we may not write canaries we may not be allowed to ask for them either.
            self._reads_canary = False
        return failure

    def _canary_silent(self, flight: Flight) -> None:
        """The broker took a canary and did not give it back, or it did not even take it."""
        silent = self._reading if flight is Flight.WRITTEN else self._writing
        if silent.is_up:
            _log.warn(
                "an entry of our own did not come back from Redis: connecting anew ({flight})",
                flight=flight.value,
            )
            silent.reset(self._canary.trouble)

    def _until_up(self) -> Deferred[None]:
        if self._reading.is_up:
            return succeed(None)
        self._up = Deferred()
        return self._up

    def _link_is_up(self) -> None:
        # There is one entry at most, and another Redis has another clock.
        self._canary_last = b"0-0"
        up, self._up = self._up, None
        if up is not None:
            up.callback(None)

    def _complain(self, trouble: str) -> None:
        if trouble != self._logged and self._reading.is_up:
            _log.warn("{trouble}; trying again", trouble=trouble)
            self._logged = trouble
        self._trouble = trouble
        self._tell_waiting()

    def _is_clear(self) -> bool:
        """Whether the position is known, or will not be soon."""
        if self._position.last is not None or self._trouble or not self.running:
            return True
        return not self._reading.is_up and self._reading.trouble != self._untried

    def _glance_again(self) -> None:
        """A link tells when it is up, not when it could not: somebody has to look."""
        self._glance = None
        if self._is_clear():
            self._tell_waiting()
        else:
            self._glance = self._reactor.callLater(_GLANCE_SECONDS, self._glance_again)

    def _tell_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for deferred in waiting:
            deferred.callback(None)

    def _not_our_plan(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("publications are read no more", failure)
            self._trouble = "the gateway failed to read publications"
