"""What tests of RabbitMQ share: names of their own on one broker, a way to be cut off, a plain client."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pika import BasicProperties, BlockingConnection, URLParameters
from pika.adapters.blocking_connection import BlockingChannel
from twisted.internet import reactor
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import deferLater

from tests.servers.process import PATIENCE
from tests.servers.rabbitmq import RabbitServer
from tests.servers.shared import own_name
from ws_gateway.brokers.rabbitmq.link import RabbitLink, endpoint_of
from ws_gateway.brokers.rabbitmq.names import RabbitNames
from ws_gateway.dsn import AmqpDsn, parse_amqp
from ws_gateway.testing.metrics import FakeMetrics


def chance() -> float:
    """Jitter without chance."""
    return 0.0


def own_names() -> RabbitNames:
    """Exchanges and queues that nobody else uses."""
    word = own_name("ws")
    return RabbitNames(f"{word}.inbox", f"{word}.events", f"{word}.outbox", f"{word}.dlq")


def make_link(
    dsn: AmqpDsn | str,
    heartbeat: int = 30,
    endpoint: IStreamClientEndpoint | None = None,
    metrics: FakeMetrics | None = None,
    name: str = "rabbitmq",
) -> RabbitLink:
    """A link that is not started."""
    dsn = parse_amqp(dsn) if isinstance(dsn, str) else dsn
    return RabbitLink(
        dsn, endpoint or endpoint_of(dsn, reactor), reactor, chance, metrics or FakeMetrics(), heartbeat, name
    )


async def until(happened: Callable[[], Any], what: str = "it") -> None:
    """Let the reactor turn until it has happened."""
    deadline = time.monotonic() + PATIENCE
    while not happened():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited in vain for {what}")
        await deferLater(reactor, 0.02, lambda: None)


@contextmanager
def client(server: RabbitServer) -> Iterator[BlockingChannel]:
    """A channel of pika's blocking client; calls of it take milliseconds."""
    connection = BlockingConnection(URLParameters(server.dsn + "/%2F"))
    try:
        yield connection.channel()
    finally:
        if connection.is_open:
            connection.close()


def messages(server: RabbitServer, queue: str) -> list[tuple[BasicProperties, bytes]]:
    """Take everything out of a queue."""
    found = []
    with client(server) as channel:
        while True:
            method, properties, body = channel.basic_get(queue, auto_ack=True)
            if method is None:
                return found
            found.append((properties, body))


class Pipe(Protocol):
    """One side of a connection through the tap."""

    def __init__(self, other: Pipe | None = None) -> None:
        self.other = other

    def dataReceived(self, data: bytes) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.write(data)

    def connectionLost(self, reason: Any = None) -> None:
        self.transport = None
        if self.other is not None and self.other.transport is not None:
            self.other.transport.abortConnection()


class Tap(Factory):
    """A proxy before a port that can hold what the server says, and cut connections.

    :param certificate: with its key, as PEM: clients speak TLS with the proxy.
    """

    noisy = False

    def __init__(self, port: int, certificate: bytes | None = None) -> None:
        self._target = port
        self._pairs: list[tuple[Pipe, Pipe]] = []
        self._answers_held = False
        if certificate is None:
            self._listening = reactor.listenTCP(0, self, interface="127.0.0.1")
        else:
            options = PrivateCertificate.loadPEM(certificate).options()
            self._listening = reactor.listenSSL(0, self, options, interface="127.0.0.1")
        self.port: int = self._listening.getHost().port

    @property
    def endpoint(self) -> IStreamClientEndpoint:
        return HostnameEndpoint(reactor, "127.0.0.1", self.port)

    def buildProtocol(self, addr: Any) -> Protocol:
        near, far = Pipe(), Pipe()
        near.other, far.other = far, near
        tap = self

        class Far(ClientFactory):
            noisy = False

            def buildProtocol(self, addr: Any) -> Protocol:
                return far

        def made() -> None:
            tap._pairs.append((near, far))
            near.transport.pauseProducing()
            reactor.connectTCP("127.0.0.1", tap._target, Far())

        near.connectionMade = made
        far.connectionMade = lambda: (near.transport.resumeProducing(), self.hold_answers(self._answers_held))
        return near

    def hold_answers(self, on: bool = True) -> None:
        """Let nothing of what the server says through."""
        self._answers_held = on
        for _, far in self._pairs:
            if far.transport is not None and not far.transport.disconnected:
                (far.transport.pauseProducing if on else far.transport.resumeProducing)()

    def cut(self) -> None:
        """Reset all connections."""
        pairs, self._pairs = self._pairs, []
        for near, far in pairs:
            for side in (near, far):
                if side.transport is not None:
                    side.transport.abortConnection()

    async def close(self) -> None:
        """End it."""
        await self._listening.stopListening()
        self.cut()
        await deferLater(reactor, 0.05, lambda: None)
