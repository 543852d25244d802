"""`ws-gateway consume` on RabbitMQ."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pika

from tests.core.consume_suite import ConsumeSuite, message
from tests.integration.harness.waiting import PATIENCE
from tests.servers.rabbitmq import RabbitServer
from tests.servers.shared import own_name


class RabbitConsumeTests(ConsumeSuite):
    """Each test has queues of its own on one server."""

    server: RabbitServer
    down = "no connection to RabbitMQ"

    @classmethod
    def setUpClass(cls) -> None:
        cls.server = RabbitServer()
        cls.server.start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.server.stop()

    def setUp(self) -> None:
        super().setUp()
        own = own_name("consume")
        self.inbox, self.events = f"{own}.inbox", f"{own}.events"
        self.settings = {
            "WS_RABBITMQ_DSN": self.server.dsn,
            "RABBITMQ_INBOX_QUEUE": self.inbox,
            "RABBITMQ_EVENTS_QUEUE": self.events,
        }
        with self.client() as channel:
            for queue in (self.inbox, self.events, "ws.dlq"):
                channel.queue_declare(queue, durable=True)
            channel.queue_purge("ws.dlq")

    @contextmanager
    def client(self) -> Iterator[Any]:
        """A channel of pika's blocking client."""
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                connection = pika.BlockingConnection(pika.URLParameters(self.server.dsn + "/%2F"))
                break
            except pika.exceptions.AMQPConnectionError:
                # It has just come back.
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
        try:
            yield connection.channel()
        finally:
            if connection.is_open:
                connection.close()

    def write(self, *documents: Any, queue: str = "") -> None:
        with self.client() as channel:
            channel.confirm_delivery()
            for document in documents:
                text = document if isinstance(document, str) else json.dumps(document)
                identity = document["event_id"] if isinstance(document, dict) else None
                properties = pika.BasicProperties(message_id=identity, delivery_mode=2)
                # By the default exchange: other tests bind queues of theirs to ws.inbox.
                channel.basic_publish("", queue or self.inbox, text.encode(), properties, mandatory=True)

    def write_event(self, document: Any) -> None:
        self.write(document, queue=self.events)

    def unacknowledged(self) -> int:
        wanted = ("-q", "--no-table-headers", "name", "messages")
        listed = self.server.ctl("list_queues", *wanted).split("\n")
        counts = dict(line.split("\t") for line in listed if "\t" in line)
        return int(counts[self.inbox])

    def letters(self) -> list[dict[str, str]]:
        found = []
        with self.client() as channel:
            while True:
                method, properties, body = channel.basic_get("ws.dlq", auto_ack=True)
                if method is None:
                    return found
                found.append({"raw": body.decode(), **properties.headers})

    def test_bound(self) -> None:
        """The queues are declared and bound as the gateway does: what it publishes arrives."""
        with self.client() as channel:
            channel.queue_delete(self.inbox)
        consumer = self.consumer()
        consumer.wait_said("reading")
        with self.client() as channel:
            channel.confirm_delivery()
            body = json.dumps(message(0)).encode()
            channel.basic_publish("ws.inbox", "ws.inbox", body, mandatory=True)
        consumer.wait_heard(1)

    def test_published_twice(self) -> None:
        """An event whose confirm was lost stands in the queue twice, and is done once."""
        once = message(0)
        other = {**message(1), "event_id": once["event_id"]}
        self.write(once, once, other, message(2))
        consumer = self.consumer()
        consumer.wait_heard(3)
        self.wait_acknowledged()
        self.assertEqual(self.numbers(consumer), [0, 1, 2])

    def test_queue_deleted(self) -> None:
        """A queue that is deleted under the consumer is declared, bound and consumed again."""
        consumer = self.consumer()
        self.write(message(0))
        consumer.wait_heard(1)
        with self.client() as channel:
            channel.queue_delete(self.inbox)
        consumer.wait_said("ended the consumer")
        with self.client() as channel:
            channel.confirm_delivery()
            while True:
                try:
                    channel.basic_publish("", self.inbox, json.dumps(message(1)).encode(), mandatory=True)
                    break
                except pika.exceptions.UnroutableError:
                    time.sleep(0.05)  # not declared yet
        consumer.wait_heard(2)


del ConsumeSuite
