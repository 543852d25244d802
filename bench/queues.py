"""A client of RabbitMQ that asks and waits."""

from collections.abc import Iterator

import pika
from tests.servers.rabbitmq import RabbitServer

__all__ = ["Queues"]


class Queues:
    """A connection to RabbitMQ that asks and waits."""

    def __init__(self, rabbit: RabbitServer) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(rabbit.dsn))
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()

    def declare(self, queue: str, exchange: str) -> None:
        """A queue that gets what is published to an exchange."""
        self._channel.exchange_declare(exchange, "direct", durable=True)
        self._channel.queue_declare(queue, durable=True)
        self._channel.queue_bind(queue, exchange, exchange)

    def count(self, queue: str) -> int:
        """How many messages wait in it."""
        waiting: int = self._channel.queue_declare(queue, durable=True, passive=True).method.message_count
        return waiting

    def bodies(self, queue: str, count: int) -> Iterator[bytes]:
        """Take so many out of it."""
        came = self._channel.consume(queue, auto_ack=True, inactivity_timeout=10)
        for taken, (_, _, body) in enumerate(came, 1):
            if body is None:
                break
            yield body
            if taken == count:
                break
        self._channel.cancel()

    def delete(self, queue: str) -> None:
        """With all that waits in it."""
        self._channel.queue_delete(queue)

    def close(self) -> None:
        """Hang up."""
        self._connection.close()
