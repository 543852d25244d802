"""How long the streams are, and how old what they hold: looked up now and then, for the metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.brokers.redis.streams import StreamInfo, look_at
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IMetrics

__all__ = ["StreamLengths"]

_log = Logger()


class StreamLengths(Service):
    """Asks Redis about each stream, one after the other. While Redis is away the last figures stay.

    :param streams: their names, each once.
    :param wall: Unix seconds now.
    """

    def __init__(
        self,
        link: RedisLink,
        streams: Sequence[str],
        clock: IReactorTime,
        wall: Callable[[], float],
        metrics: IMetrics,
        interval: float = 15.0,
    ) -> None:
        self._link = link
        self._streams = tuple(dict.fromkeys(streams))
        self._clock = clock
        self._wall = wall
        self._interval = interval
        self._found: dict[str, StreamInfo | None] = {}
        self._refused: dict[str, str] = {}
        self._life: Deferred[None] = succeed(None)
        for stream in self._streams:
            metrics.gauge(
                "broker_stream_length",
                "Entries of a stream.",
                lambda stream=stream: self._length(stream),  # type: ignore[misc]
                {"stream": stream},
            )
            metrics.gauge(
                "broker_stream_oldest_seconds",
                "Age of the oldest entry of a stream, 0 if it has none.",
                lambda stream=stream: self._age(stream),  # type: ignore[misc]
                {"stream": stream},
            )

    def startService(self) -> None:
        """Look now, and again and again."""
        super().startService()  # type: ignore[no-untyped-call]
        self._life = Deferred.fromCoroutine(self._live())
        self._life.addErrback(self._not_our_plan)

    def stopService(self) -> Deferred[None]:
        """Look no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        life, self._life = self._life, succeed(None)
        life.cancel()
        return life

    async def _live(self) -> None:
        while True:
            if self._link.is_up:
                await self._look()
                await deferLater(self._clock, self._interval)
            else:
                await deferLater(self._clock, min(self._interval, 1.0))

    async def _look(self) -> None:
        for stream in self._streams:
            try:
                self._found[stream] = await look_at(self._link, stream)
            except BrokerDown:
                return
            except BrokerRefused as error:
                if self._refused.get(stream) != error.code:
                    _log.warn("the length of {stream} is not known: {error}", stream=stream, error=str(error))
                self._refused[stream] = error.code
                self._found[stream] = None
            else:
                self._refused.pop(stream, None)

    def _length(self, stream: str) -> float:
        info = self._found.get(stream)
        return info.length if info else 0

    def _age(self, stream: str) -> float:
        info = self._found.get(stream)
        if info is None or info.first is None:
            return 0.0
        return max(0.0, self._wall() - info.first[0] / 1000)

    def _not_our_plan(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            _log.failure("the lengths of streams are looked up no more", failure)
