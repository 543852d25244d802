"""A load of appends, offered as the pipeline offers: some runs side by side, what is not settled again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random, random
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.brokers.redis.producer import RedisProducer
from ws_gateway.dsn import parse_redis
from ws_gateway.errors import BrokerDown
from ws_gateway.testing.metrics import FakeMetrics

__all__ = ["Load", "contents", "link_to", "until", "until_up"]

_PATIENCE = 60.0


def link_to(dsn: str, timeout: float = 5.0, ca_file: str | None = None) -> RedisLink:
    """A link that was not started yet."""
    return RedisLink(parse_redis(dsn), reactor, random, FakeMetrics(), "events", ca_file, timeout)


async def until(happened: Callable[[], bool], what: str) -> None:
    """Let the reactor turn until it has happened.

    :raises AssertionError: it does not.
    """
    deadline = reactor.seconds() + _PATIENCE
    while not happened():
        if reactor.seconds() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        await deferLater(reactor, 0.01)


async def until_up(link: RedisLink) -> None:
    """Wait until commands go out."""
    await until(lambda: link.is_up, f"the link to be up: {link.trouble}")


async def contents(link: RedisLink, stream: str) -> list[bytes]:
    """The data of every entry of a stream, in order; entries have no other field."""
    while True:
        await until_up(link)
        try:
            entries = await link.run("XRANGE", stream, "-", "+")
        except BrokerDown:
            continue
        assert all(len(fields) == 2 and fields[0] == b"data" for _, fields in entries)
        return [fields[1] for _, fields in entries]


class Load:
    """Entries for one stream, in order; runs of random length, up to 4 of them side by side.

    :ivar failures: what went wrong on the way, in words.
    """

    WINDOW = 4

    def __init__(
        self,
        producer: RedisProducer,
        stream: str,
        count: int,
        longest: int = 100,
        seed: int = 0,
        size: int = 40,
        first: int = 0,
    ) -> None:
        self.failures: list[str] = []
        self.stream = stream
        self.entries = [
            (f"id-{number}".encode(), f"{number}".encode().rjust(size, b"0"))
            for number in range(first, first + count)
        ]
        self._producer = producer
        self._random = Random(seed)
        self._longest = longest
        self._left = list(self.entries)
        self._under_way: list[Sequence[tuple[bytes, bytes]]] = []
        self._unsettled: list[Sequence[tuple[bytes, bytes]]] = []
        self._done: Deferred[None] = Deferred()

    @property
    def data(self) -> list[bytes]:
        """What the stream must hold at the end."""
        return [data for _, data in self.entries]

    @property
    def progress(self) -> int:
        """How many entries are settled."""
        waiting = sum(map(len, self._under_way)) + sum(map(len, self._unsettled))
        return len(self.entries) - len(self._left) - waiting

    @property
    def over(self) -> bool:
        """Whether everything is settled."""
        return bool(self._done.called)

    async def moves(self) -> None:
        """Wait until more entries are settled, or all are."""
        before = self.progress
        await until(lambda: self.progress > before or self.over, "progress")

    async def fails(self, times: int = 1) -> None:
        """Wait until so many more runs have failed."""
        before = len(self.failures)
        await until(lambda: len(self.failures) >= before + times, "failures")

    def run(self) -> Deferred[None]:
        """Offer everything until all of it is settled."""
        self._offer()
        return self._done

    def _offer(self) -> None:
        while self._left and len(self._under_way) < self.WINDOW and not self._unsettled:
            length = self._random.randint(1, self._longest)
            run, self._left = self._left[:length], self._left[length:]
            self._under_way.append(run)
            self._producer.append(self.stream, run).addCallbacks(
                self._settled, self._failed, (run,), {}, (run,), {}
            ).addErrback(self._broken)

    def _settled(self, result: Any, run: Sequence[tuple[bytes, bytes]]) -> None:
        assert result is None
        self._under_way.remove(run)
        self._go_on()

    def _failed(self, failure: Failure, run: Sequence[tuple[bytes, bytes]]) -> None:
        error = failure.value
        assert isinstance(error, BrokerDown), failure
        self.failures.append(error.detail)
        self._under_way.remove(run)
        self._unsettled.append(run)
        self._go_on()

    def _go_on(self) -> None:
        if not self._unsettled:
            if self._left or self._under_way:
                self._offer()
            elif not self._done.called:
                self._done.callback(None)
        elif not self._under_way:
            deferLater(reactor, 0.02 * self._random.random(), self._again).addErrback(self._broken)

    def _again(self) -> None:
        again = [entry for run in self._unsettled for entry in run]
        again.sort(key=lambda entry: entry[1])
        self._left = again + self._left
        self._unsettled.clear()
        self._offer()

    def _broken(self, failure: Failure) -> None:
        if not self._done.called:
            self._done.errback(failure)
