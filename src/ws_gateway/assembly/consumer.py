"""Puts `ws-gateway consume` together: an inbox, the function, and a worker between them."""

import os
import random
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.logger import Logger, LogLevel, globalLogBeginner

from ws_gateway.config.consumer import ConsumerSettings
from ws_gateway.config.load import load_consumer
from ws_gateway.consumer.calling import InThread, NotCallable, load_function
from ws_gateway.consumer.links import rabbit_link, redis_link
from ws_gateway.consumer.rabbitmq import Queues, RabbitInbox
from ws_gateway.consumer.redis import Membership, RedisInbox, Streams
from ws_gateway.consumer.worker import Rules, Worker
from ws_gateway.errors import ConfigError
from ws_gateway.interfaces import IInbox
from ws_gateway.ops.clock import count_monotonic_time
from ws_gateway.ops.logs import FORMATS, Threshold, filtered

__all__ = ["Wish", "consume"]

_log = Logger()


@frozen
class Wish:
    """What the command line asks for.

    :ivar function: `module:function`.
    :ivar broker: `redis` or `rabbitmq`; None: the one that there is, of both Redis.
    :ivar group: the consumer group, for Redis.
    :ivar name: of this consumer in the group; None makes one up.
    :ivar partitions: whether streams of partitions are read, too.
    :ivar discover: how often these are looked for, in seconds.
    :ivar prefetch: how many events wait here, and are given to the function's thread together.
    :ivar limit: after so many events it ends.
    :ivar time_limit: after so many seconds it ends.
    """

    function: str
    broker: str | None = None
    group: str = "ws-consumers"
    name: str | None = None
    partitions: bool = False
    discover: float = 10.0
    from_start: bool = True
    claim_after: float = 60.0
    prefetch: int = 100
    attempts: int = 8
    limit: int | None = None
    time_limit: float | None = None


def consume(wish: Wish, environ: Mapping[str, str], reactor: Any = None) -> int:
    """Consume until somebody says stop.

    :returns: the exit status.
    """
    if reactor is None:
        from twisted.internet import reactor

        count_monotonic_time(reactor)
    try:
        settings = load_consumer(environ)
        inbox = _inbox(settings, wish, reactor)
        function = load_function(wish.function)
    except ConfigError as error:
        return _refuse(error.problems)
    except NotCallable as error:
        return _refuse([str(error)])
    _begin_logging(settings)

    def stop() -> None:
        # The worker may be at its limit while the time limit, or a signal, has stopped everything already.
        if reactor.running:
            reactor.stop()

    application = InThread(function, reactor.callFromThread)
    rules = Rules(wish.attempts, at_once=wish.prefetch, limit=wish.limit)
    worker = Worker(inbox, application, reactor, random.random, rules, stop)
    # The worker ends first, so that the event in hand can still be acknowledged.
    reactor.addSystemEventTrigger("before", "shutdown", lambda: _end(worker, inbox))
    reactor.callWhenRunning(_begin, worker, inbox, wish)
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


def _inbox(settings: ConsumerSettings, wish: Wish, reactor: Any) -> IInbox:
    """Where events come from. A gateway with two brokers writes each event to both: one is read.

    :raises ConfigError: it is not there.
    """
    broker = wish.broker or ("redis" if settings.redis.dsn is not None else "rabbitmq")
    return INBOXES[broker](settings, wish, reactor)


def _redis(settings: ConsumerSettings, wish: Wish, reactor: Any) -> IInbox:
    redis = settings.redis
    dsn = redis.dsn
    if dsn is None:
        raise ConfigError(["WS_REDIS_DSN: must be set to read from Redis"])

    name = wish.name or f"{socket.gethostname()}-{os.getpid()}"
    inbox: IInbox = RedisInbox(
        redis_link(dsn, reactor, "consume", redis.ca_file, settings.brokers.timeout_seconds),
        redis_link(dsn, reactor, "acknowledge", redis.ca_file, settings.brokers.timeout_seconds),
        reactor,
        Membership(wish.group, name, wish.from_start, wish.claim_after, wish.prefetch),
        Streams(
            (redis.inbox, redis.events),
            (redis.inbox,) if wish.partitions else (),
            redis.dead_letters,
            wish.discover,
        ),
    )
    return inbox


def _rabbitmq(settings: ConsumerSettings, wish: Wish, reactor: Any) -> IInbox:
    rabbitmq = settings.rabbitmq
    dsn = rabbitmq.dsn
    if dsn is None:
        raise ConfigError(["WS_RABBITMQ_DSN: must be set to read from RabbitMQ"])
    if rabbitmq.inbox_queue is None and rabbitmq.events_queue is None:
        raise ConfigError(["RABBITMQ_INBOX_QUEUE or RABBITMQ_EVENTS_QUEUE: must name the queue to read"])

    try:
        reading, writing = (
            rabbit_link(dsn, reactor, purpose, rabbitmq.ca_file, rabbitmq.heartbeat_seconds)
            for purpose in ("consume", "dead letters")
        )
    except (OSError, ValueError) as error:
        raise ConfigError([f"RABBITMQ_CA_FILE={rabbitmq.ca_file!r}: {error}"]) from None
    queues = Queues(rabbitmq.inbox_queue, rabbitmq.events_queue, prefetch=wish.prefetch)
    inbox: IInbox = RabbitInbox(reading, writing, reactor, random.random, queues)
    return inbox


INBOXES: Mapping[str, Callable[[ConsumerSettings, Wish, Any], IInbox]] = {
    "redis": _redis,
    "rabbitmq": _rabbitmq,
}
"""How each broker is read."""


def _begin(worker: Worker, inbox: Any, wish: Wish) -> None:
    _log.info("consuming with {function}", function=wish.function)
    inbox.startService()
    worker.startService()


def _end(worker: Worker, inbox: Any) -> Deferred[None]:
    async def down() -> None:
        await worker.stopService()
        await inbox.stopService()
        _log.info("stopped")

    return Deferred.fromCoroutine(down())
