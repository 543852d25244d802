"""One server of each kind for all tests of a run that do not kill it: RabbitMQ takes seconds to start.

Nobody may count on being alone: streams, prefixes and virtual hosts get names of their own (`own_name`).
"""

from functools import cache
from itertools import count

from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import RedisServer

__all__ = ["own_name", "shared_rabbit", "shared_redis"]

_numbers = count(1)


def own_name(word: str = "test") -> str:
    """A name that nobody else in this run has."""
    return f"{word}-{next(_numbers)}"


@cache
def shared_redis() -> RedisServer:
    """A Redis that runs until the end of the process."""
    server = RedisServer()
    server.start()
    return server


@cache
def shared_rabbit() -> RabbitServer:
    """A RabbitMQ that runs until the end of the process."""
    server = RabbitServer()
    server.start()
    return server
