"""Links to brokers for whoever keeps no metrics of them: a consumer, a backend."""

import random
from typing import Any

from ws_gateway.brokers.rabbitmq.link import RabbitLink, endpoint_of
from ws_gateway.brokers.redis.link import RedisLink
from ws_gateway.domain.uncounted import Uncounted
from ws_gateway.dsn import AmqpDsn, RedisDsn

__all__ = ["rabbit_link", "redis_link"]


def redis_link(
    dsn: RedisDsn, reactor: Any, purpose: str, ca_file: str | None = None, timeout: float = 10.0
) -> RedisLink:
    """A link to Redis, not started."""
    return RedisLink(dsn, reactor, random.random, Uncounted(), purpose, ca_file, timeout)


def rabbit_link(
    dsn: AmqpDsn, reactor: Any, purpose: str, ca_file: str | None = None, heartbeat: int = 30
) -> RabbitLink:
    """A link to RabbitMQ, not started.

    :raises OSError: the file with authorities cannot be read.
    :raises ValueError: it holds no certificate.
    """
    endpoint = endpoint_of(dsn, reactor, ca_file)
    return RabbitLink(dsn, endpoint, reactor, random.random, Uncounted(), heartbeat, purpose)
