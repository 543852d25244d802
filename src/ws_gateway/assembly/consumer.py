"""Puts `ws-gateway consume` together: inboxes, the function, and a worker between them."""

import os
import random
import socket
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from attrs import frozen
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.logger import Logger, LogLevel, globalLogBeginner

from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.config.consumer import ConsumerSettings
from ws_gateway.config.load import load_consumer
from ws_gateway.consumer.calling import InThread, NotCallable, load_function
from ws_gateway.consumer.redis import RedisInbox, Streams
from ws_gateway.consumer.worker import Worker
from ws_gateway.domain.retry import Backoff
from ws_gateway.domain.uncounted import Uncounted
from ws_gateway.errors import ConfigError
from ws_gateway.interfaces import IInbox
from ws_gateway.ops.logs import FORMATS, Threshold, filtered

__all__ = ["Wish", "consume"]

_log = Logger()


@frozen
class Wish:
    """What the command line asks for.

    :ivar function: `module:function`.
    :ivar group: the consumer group, for Redis.
    :ivar name: of this consumer in the group; None makes one up.
    :ivar partitions: whether streams of partitions are read, too.
    :ivar limit: after so many events it ends.
    :ivar time_limit: after so many seconds it ends.
    """

    function: str
    group: str = "ws-consumers"
    name: str | None = None
    partitions: bool = False
    from_start: bool = True
    claim_after: float = 60.0
    attempts: int = 8
    limit: int | None = None
    time_limit: float | None = None


def consume(wish: Wish, environ: Mapping[str, str], reactor: Any = None) -> int:
    """Consume until somebody says stop.

    :returns: the exit status.
    """
    if reactor is None:
        from twisted.internet import reactor
    try:
        settings = load_consumer(environ)
        function = load_function(wish.function)
    except ConfigError as error:
        return _refuse(error.problems)
    except NotCallable as error:
        return _refuse([str(error)])
    _begin_logging(settings)
    inboxes = list(_inboxes(settings, wish, reactor))
    call = InThread(function, reactor.callFromThread)
    workers = MultiService()

    def stop() -> None:
        # One worker may be at its limit while another, or the time limit, has stopped everything already.
        if reactor.running:
            reactor.stop()

    for inbox in inboxes:
        Worker(
            inbox, call, reactor, random.random, wish.attempts, Backoff(), wish.limit, stop
        ).setServiceParent(workers)  # type: ignore[no-untyped-call]
    # Workers end first, so that the event in hand can still be acknowledged.
    reactor.addSystemEventTrigger("before", "shutdown", lambda: _end(workers, inboxes))
    reactor.callWhenRunning(_begin, workers, inboxes, wish)
    if wish.time_limit is not None:
        reactor.callLater(wish.time_limit, stop)
    reactor.run()
    return 0


def _refuse(problems: Sequence[str]) -> int:
    for problem in problems:
        print(problem, file=sys.stderr)  # noqa: T201  # what a command line tool says
    return 1


def _begin_logging(settings: ConsumerSettings) -> None:
    worth = Threshold(LogLevel.levelWithName(settings.consumer.log_level))
    observer = filtered(FORMATS[settings.consumer.log_format](sys.stdout.buffer), worth)
    globalLogBeginner.beginLoggingTo([observer], redirectStandardIO=False)


def _inboxes(settings: ConsumerSettings, wish: Wish, reactor: Any) -> Sequence[IInbox]:
    redis = settings.redis
    found: list[IInbox] = []
    if redis.dsn is not None:
        dsn = redis.dsn

        def link(purpose: str) -> RedisLink:
            return RedisLink(
                dsn,
                reactor,
                random.random,
                Uncounted(),
                purpose,
                redis.ca_file,
                settings.brokers.timeout_seconds,
            )

        partitioned = (redis.inbox,) if wish.partitions else ()
        found.append(
            RedisInbox(
                link("consume"),
                link("acknowledge"),
                reactor,
                wish.group,
                wish.name or f"{socket.gethostname()}-{os.getpid()}",
                Streams((redis.inbox, redis.events), partitioned, redis.dead_letters),
                wish.from_start,
                wish.claim_after,
            )
        )
    return found


def _begin(workers: MultiService, inboxes: Sequence[Any], wish: Wish) -> None:
    _log.info("consuming with {function}", function=wish.function)
    for inbox in inboxes:
        inbox.startService()
    workers.startService()


def _end(workers: MultiService, inboxes: Sequence[Any]) -> Deferred[None]:
    async def down() -> None:
        await workers.stopService()
        for inbox in inboxes:
            await inbox.stopService()
        _log.info("stopped")

    return Deferred.fromCoroutine(down())
