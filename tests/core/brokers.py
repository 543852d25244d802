"""What a backend does with a broker: publish, and look at what the gateway wrote. One class a broker."""

import json
import time
from collections.abc import Mapping
from typing import Any, Protocol

import pika

from tests.servers.rabbitmq import RabbitServer
from tests.servers.redis import RedisServer

__all__ = ["Broker", "RabbitBroker", "RedisBroker"]

_QUICK = {"BROKER_TIMEOUT_SECONDS": "3", "BROKER_CANARY_SECONDS": "0.5"}


class Broker(Protocol):
    """A broker as the backend has it, with a part of its own for each object."""

    name: str
    server: Any

    def settings(self) -> Mapping[str, str]:
        """What a node is told of it."""

    def publish(self, *documents: Any) -> None:
        """Write publications: documents, or bytes that are none."""

    def inbox(self, partition: str = "") -> list[dict[str, Any]]:
        """Every message event so far, in order."""

    def events(self) -> list[dict[str, Any]]:
        """Every connected and disconnected so far, in order."""

    def dead_letters(self) -> list[tuple[str, bytes]]:
        """(reason, what was written) of every dead letter so far."""


def _text(document: Any) -> bytes:
    return document if isinstance(document, bytes) else json.dumps(document).encode()


class RedisBroker:
    """Streams of Redis with names of their own."""

    name = "redis"

    def __init__(self, server: RedisServer, own: str) -> None:
        self.server = server
        self.own = own
        self._streams = {
            "REDIS_INBOX_STREAM": f"{own}.inbox",
            "REDIS_EVENTS_STREAM": f"{own}.events",
            "REDIS_STREAM": f"{own}.outbox",
            "REDIS_DLQ_STREAM": f"{own}.dlq",
        }

    def settings(self) -> Mapping[str, str]:
        return {
            "WS_REDIS_DSN": self.server.dsn,
            "PRESENCE_REDIS_PREFIX": f"{self.own}:",
            **self._streams,
            **_QUICK,
        }

    def publish(self, *documents: Any) -> None:
        for document in documents:
            said = self.server.cli(
                "XADD", self._streams["REDIS_STREAM"], "*", "data", _text(document).decode()
            )
            assert "-" in said, said

    def inbox(self, partition: str = "") -> list[dict[str, Any]]:
        return self._documents(self._streams["REDIS_INBOX_STREAM"] + (f".{partition}" if partition else ""))

    def events(self) -> list[dict[str, Any]]:
        return self._documents(self._streams["REDIS_EVENTS_STREAM"])

    def dead_letters(self) -> list[tuple[str, bytes]]:
        entries = self.server.entries(self._streams["REDIS_DLQ_STREAM"])
        return [(entry["reason"], entry["raw"].encode()) for entry in entries]

    def _documents(self, stream: str) -> list[dict[str, Any]]:
        return [json.loads(entry["data"]) for entry in self.server.entries(stream)]


class RabbitBroker:
    """A virtual host of RabbitMQ, with queues that catch everything."""

    name = "rabbitmq"

    def __init__(self, server: RabbitServer, own: str) -> None:
        self.server = server
        self.own = own
        server.ctl("add_vhost", own)
        server.ctl("set_permissions", "-p", own, "guest", ".*", ".*", ".*")
        self._seen: dict[str, list[pika.spec.BasicProperties]] = {}
        self._bodies: dict[str, list[bytes]] = {}

    def settings(self) -> Mapping[str, str]:
        return {
            "WS_RABBITMQ_DSN": f"{self.server.dsn}/{self.own}",
            "RABBITMQ_INBOX_QUEUE": "app.inbox",
            "RABBITMQ_EVENTS_QUEUE": "app.events",
            **_QUICK,
        }

    def publish(self, *documents: Any) -> None:
        with self._connection() as connection:
            channel = connection.channel()
            for document in documents:
                channel.basic_publish("ws.outbox", "ws.outbox", _text(document))

    def inbox(self, partition: str = "") -> list[dict[str, Any]]:
        """Partitions share the queue: every message then, whatever its routing key."""
        return [json.loads(body) for body in self._drained("app.inbox")]

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(body) for body in self._drained("app.events")]

    def dead_letters(self) -> list[tuple[str, bytes]]:
        bodies = self._drained("ws.dlq")
        reasons = [properties.headers["reason"] for properties in self._seen["ws.dlq"]]
        return list(zip(reasons, bodies, strict=True))

    def _drained(self, queue: str) -> list[bytes]:
        """What has come to a queue; taken out, and remembered here."""
        bodies = self._bodies.setdefault(queue, [])
        seen = self._seen.setdefault(queue, [])
        with self._connection() as connection:
            channel = connection.channel()
            try:
                while True:
                    method, properties, body = channel.basic_get(queue, auto_ack=True)
                    if method is None:
                        return bodies
                    bodies.append(body)
                    seen.append(properties)
            except pika.exceptions.ChannelClosedByBroker:
                return bodies  # it is not declared yet

    def _connection(self) -> Any:
        parameters = pika.URLParameters(f"{self.server.dsn}/{self.own}")
        deadline = time.monotonic() + 60
        while True:
            try:
                return pika.BlockingConnection(parameters)
            except pika.exceptions.AMQPConnectionError:
                # It has just come back.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
