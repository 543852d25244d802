"""What RabbitMQ figures are measured beside: pika by itself, with its own event loop.

- `--how publish`: confirmed, persistent messages, a window of 100 not yet confirmed.
- `--how consume`: takes what lies in a queue, acknowledging every 50th with all before it.

Prints one line of JSON: messages a second, from the first to the last confirm, or from asking to the last
message.
"""

import argparse
import itertools
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
from pika.adapters.select_connection import SelectConnection

WINDOW = 100
PREFETCH = 500
ACKNOWLEDGE_EVERY = 50


class Publishing:
    """Publishes so many bodies, and stops the loop when the last one is confirmed."""

    def __init__(self, connection: SelectConnection, exchange: str, bodies: Iterator[bytes], count: int):
        self._connection = connection
        self._exchange = exchange
        self._bodies = bodies
        self._count = count
        self._sent = self._confirmed = 0
        self._properties = pika.BasicProperties(content_type="application/json", delivery_mode=2)
        self.began = self.ended = 0.0

    def start(self, channel: Any) -> None:
        """Begin; the channel is open."""
        self._channel = channel
        channel.confirm_delivery(self._answered, callback=lambda _: self._begin())

    def _begin(self) -> None:
        self.began = time.perf_counter()
        self._fill()

    def _fill(self) -> None:
        publish, exchange = self._channel.basic_publish, self._exchange
        while self._sent < self._count and self._sent - self._confirmed < WINDOW:
            publish(exchange, exchange, next(self._bodies), self._properties)
            self._sent += 1

    def _answered(self, frame: Any) -> None:
        if not isinstance(frame.method, pika.spec.Basic.Ack):
            raise RuntimeError("the broker did not take a message")
        # With `multiple` it confirms all up to this one, and it confirms in order here.
        self._confirmed = frame.method.delivery_tag if frame.method.multiple else self._confirmed + 1
        if self._confirmed == self._count:
            self.ended = time.perf_counter()
            self._connection.close()
        else:
            self._fill()


class Consuming:
    """Takes so many messages, and stops the loop."""

    def __init__(self, connection: SelectConnection, queue: str, count: int):
        self._connection = connection
        self._queue = queue
        self._count = count
        self._taken = 0
        self.began = self.ended = 0.0

    def start(self, channel: Any) -> None:
        """Begin; the channel is open."""
        channel.basic_qos(prefetch_count=PREFETCH, callback=lambda _: self._begin(channel))

    def _begin(self, channel: Any) -> None:
        self.began = time.perf_counter()
        channel.basic_consume(self._queue, self._took)

    def _took(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        json.loads(body)  # the least that anybody does with it
        self._taken += 1
        if self._taken % ACKNOWLEDGE_EVERY == 0:
            channel.basic_ack(method.delivery_tag, multiple=True)
        if self._taken == self._count:
            self.ended = time.perf_counter()
            self._connection.close()


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--how", choices=("publish", "consume"), required=True)
    parser.add_argument("--name", required=True, help="of the exchange and its routing key, or of the queue")
    parser.add_argument("--bodies", type=Path, help="to publish: a file with one a line")
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    work: Any = None

    def opened(connection: SelectConnection) -> None:
        nonlocal work
        if options.how == "consume":
            work = Consuming(connection, options.name, options.count)
        else:
            bodies = itertools.cycle(options.bodies.read_bytes().splitlines())
            work = Publishing(connection, options.name, bodies, options.count)
        connection.channel(on_open_callback=work.start)

    connection = SelectConnection(
        pika.URLParameters(options.dsn),
        on_open_callback=opened,
        on_close_callback=lambda closed, reason: closed.ioloop.stop(),
    )
    connection.ioloop.start()
    if work is None or not work.ended:
        raise SystemExit("the connection ended before the work was done")
    print(json.dumps({"rate": options.count / (work.ended - work.began)}))


if __name__ == "__main__":
    main()
