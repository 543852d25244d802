"""The brokers: what each brings to the node, built from the settings."""

import logging
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen
from cryptography.x509 import load_pem_x509_certificates
from twisted.application.service import IService

from ws_gateway.brokers.rabbitmq.link import RabbitLink, endpoint_of
from ws_gateway.brokers.rabbitmq.relay import RabbitRelay
from ws_gateway.brokers.rabbitmq.source import RabbitSource, SourceRules
from ws_gateway.brokers.redis.lengths import StreamLengths
from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.brokers.redis.producer import RedisProducer
from ws_gateway.brokers.redis.relay import RedisRelay
from ws_gateway.brokers.redis.source import ReadingRules, RedisSource
from ws_gateway.brokers.redis.streams import OutboxStreams
from ws_gateway.config import Settings
from ws_gateway.config.brokers import Brokers
from ws_gateway.domain.messages import Envelope
from ws_gateway.domain.partitions import Partitions
from ws_gateway.domain.retry import Backoff
from ws_gateway.dsn import RedisDsn
from ws_gateway.errors import ConfigError
from ws_gateway.events.limits import SinkLimits
from ws_gateway.events.rabbitmq import RabbitSink
from ws_gateway.events.redis import RedisSink
from ws_gateway.interfaces import (
    IEventSink,
    IMetrics,
    IPublicationSource,
    IReadiness,
    IRelay,
    IStreamSink,
)

__all__ = [
    "BROKERS",
    "BROKER_LIMITS",
    "BrokerSide",
    "build_brokers",
    "judge_brokers",
    "redis_link",
]

_PROMPT = Backoff(0.1, 2.0)
# A broker never refuses an event for good by failing on it: it is offered until it is taken.
_NEVER_GIVEN_UP = 1_000_000_000

BROKER_LIMITS: Mapping[str, SinkLimits] = {
    "redis": SinkLimits(concurrency=64, attempts=_NEVER_GIVEN_UP, backoff=_PROMPT),
    # Ten times its batch: as many messages as its window of unconfirmed ones.
    "rabbitmq": SinkLimits(concurrency=10, attempts=_NEVER_GIVEN_UP, backoff=_PROMPT),
}
"""The pipeline's patience with brokers; webhooks have settings of their own."""


@frozen
class BrokerSide:
    """What one broker brings.

    :ivar sink: where its events go.
    :ivar source: where publications come from.
    :ivar relay: the way to all nodes.
    :ivar readiness: what `/ready` asks.
    :ivar below: what lives longer than all who use it.
    """

    sink: IEventSink | IStreamSink
    source: IPublicationSource
    relay: IRelay
    readiness: Sequence[IReadiness]
    below: Sequence[IService]


@frozen
class _Node:
    """What every side is built from."""

    settings: Settings
    node_id: str
    node_run: str
    reactor: Any
    metrics: IMetrics
    partition: Callable[[Envelope], str | None] | None
    turn_back: Callable[[str], None]


def redis_link(
    settings: Settings,
    dsn: RedisDsn,
    reactor: Any,
    metrics: IMetrics,
    purpose: str,
    turn_back: Callable[[str], None],
) -> RedisLink:
    """A link to Redis.

    :param purpose: a word for logs and metrics.
    :param turn_back: called with a sentence if Redis is there at the start and does not let us in.
    """
    return RedisLink(
        dsn,
        reactor,
        random.random,
        metrics,
        purpose,
        settings.redis.ca_file,
        settings.brokers.timeout_seconds,
        lambda why: turn_back(f"{dsn}: {why}"),
    )


def _canary_patience(brokers: Brokers) -> float:
    """Less than a link's own patience: what only a canary can find is found by it."""
    return min(brokers.timeout_seconds, 5.0)


def _redis(node: _Node) -> BrokerSide | None:
    settings, reactor, metrics = node.settings, node.reactor, node.metrics
    redis, brokers = settings.redis, settings.brokers
    if redis.dsn is None:
        return None
    # Events have a link of their own: a blocking read, or a crowd of publications, must not delay them.
    events, commands, reading = (
        redis_link(settings, redis.dsn, reactor, metrics, purpose, node.turn_back)
        for purpose in ("events", "commands", "outbox")
    )
    streams = OutboxStreams(redis.outbox, redis.dead_letters, redis.maxlen)
    sink = RedisSink(
        RedisProducer(events, node.node_run, reactor, metrics, redis.maxlen),
        redis.inbox,
        redis.events,
        node.partition,
        metrics,
    )
    source = RedisSource(
        reading,
        commands,
        streams,
        node.node_run,
        reactor,
        random.random,
        metrics,
        ReadingRules(
            answer_seconds=brokers.timeout_seconds,
            canary_seconds=brokers.canary_seconds,
            canary_patience=_canary_patience(brokers),
        ),
    )
    names = (redis.inbox, redis.events, redis.outbox, redis.dead_letters)
    lengths = StreamLengths(commands, names, reactor, time.time, metrics)
    return BrokerSide(sink, source, RedisRelay(commands, streams), [source], [events, commands, lengths])


def _rabbitmq(node: _Node) -> BrokerSide | None:
    settings, reactor, metrics = node.settings, node.reactor, node.metrics
    rabbitmq, brokers = settings.rabbitmq, settings.brokers
    dsn = rabbitmq.dsn
    if dsn is None:
        return None

    def link(name: str) -> RabbitLink:
        endpoint = endpoint_of(dsn, reactor, rabbitmq.ca_file)
        return RabbitLink(
            dsn,
            endpoint,
            reactor,
            random.random,
            metrics,
            rabbitmq.heartbeat_seconds,
            name,
            lambda why: node.turn_back(f"{dsn}: {why}"),
        )

    # It tells at `info` and `debug` of every frame, and at `error` of what we tell ourselves.
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    writing, reading = link("rabbitmq_writing"), link("rabbitmq_reading")
    sink = RabbitSink(
        writing,
        reactor,
        random.random,
        metrics,
        inbox_queue=rabbitmq.inbox_queue,
        events_queue=rabbitmq.events_queue,
        partition=node.partition,
        confirm_seconds=brokers.timeout_seconds,
    )
    source = RabbitSource(
        reading,
        writing,
        node.node_id,
        node.node_run,
        reactor,
        random.random,
        metrics,
        rules=SourceRules(canary_seconds=brokers.canary_seconds, canary_patience=_canary_patience(brokers)),
    )
    relay = RabbitRelay(writing, reactor, random.random, patience=brokers.timeout_seconds)
    return BrokerSide(sink, source, relay, [writing, sink, source], [writing])


BROKERS: Mapping[str, Callable[[_Node], BrokerSide | None]] = {"redis": _redis, "rabbitmq": _rabbitmq}
"""How each broker's side is made, if its address is set. The first one that is up relays."""


def judge_brokers(settings: Settings, read_text: Callable[[str], str]) -> None:
    """See that the files of authorities can be used.

    :raises ConfigError: one line for each that cannot.
    """
    problems = []
    for name, path in (
        ("REDIS_CA_FILE", settings.redis.ca_file),
        ("RABBITMQ_CA_FILE", settings.rabbitmq.ca_file),
    ):
        if path is None:
            continue
        try:
            load_pem_x509_certificates(read_text(path).encode())
        except OSError as error:
            problems.append(f"{name}={path!r}: cannot be read ({error.strerror or type(error).__name__})")
        except ValueError:
            problems.append(f"{name}={path!r}: must hold certificates in PEM")
    if problems:
        raise ConfigError(problems)


def build_brokers(
    settings: Settings,
    node_id: str,
    node_run: str,
    reactor: Any,
    metrics: IMetrics,
    turn_back: Callable[[str], None],
) -> list[BrokerSide]:
    """The sides of the brokers that are in use; none where the mode needs none.

    :param node_run: new at every start.
    :param turn_back: called with a sentence if a broker is there at the start and does not let us in.
    """
    if not settings.uses_brokers:
        return []
    ordering = settings.ordering
    partition: Callable[[Envelope], str | None] | None = None
    if ordering.partition_mode == "suffix":
        partition = Partitions(ordering.partition_max_len, ordering.partition_max_keys, metrics)
    node = _Node(settings, node_id, node_run, reactor, metrics, partition, turn_back)
    return [side for make in BROKERS.values() if (side := make(node)) is not None]
