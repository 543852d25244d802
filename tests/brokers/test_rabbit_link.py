"""The link to RabbitMQ: what it says when it is not let in, and how it notices that nobody is there."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from tests.brokers.rabbit import Tap, chance, client, make_link, own_names, until
from tests.contract.test_webhook_receivers import certificate
from tests.servers.shared import own_name, shared_rabbit
from ws_gateway.brokers.rabbitmq.link import PATIENCE, LinkState, RabbitLink, endpoint_of
from ws_gateway.brokers.rabbitmq.publisher import Message, Outcome, Publisher
from ws_gateway.dsn import parse_amqp
from ws_gateway.events.rabbitmq import RabbitSink
from ws_gateway.interfaces import IReadiness
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.sinks import make_envelope

PASSWORD = "s3cret-pass word"


class Listener(Factory):
    """A peer that accepts connections and says one thing, or nothing."""

    noisy = False

    def __init__(self, says: bytes = b"") -> None:
        self._says = says
        self.connections: list[Protocol] = []
        self._listening = reactor.listenTCP(0, self, interface="127.0.0.1")
        self.port: int = self._listening.getHost().port

    def buildProtocol(self, addr: Any) -> Protocol:
        peer = Protocol()
        self.connections.append(peer)
        if self._says:
            peer.connectionMade = lambda: (peer.transport.write(self._says), peer.transport.loseConnection())
        return peer

    async def close(self) -> None:
        await self._listening.stopListening()
        for peer in self.connections:
            if peer.transport.connected:
                peer.transport.abortConnection()


class SkewedClock:
    """The reactor's clock, for which a test may let time pass."""

    def __init__(self) -> None:
        self._clock = Clock()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._clock if name in ("callLater", "seconds", "advance") else reactor, name)


class RabbitLinkTests(TestCase):
    """One link."""

    def start(self, link: RabbitLink) -> RabbitLink:
        link.startService()
        self.addCleanup(link.stopService)
        return link

    async def refused(self, address: str) -> str:
        """What the link says about an address that it is not let in by."""
        link = self.start(make_link(address))
        await until(lambda: link.state is LinkState.RESTING, "the refusal")
        name, status, detail = link.readiness()
        self.assertEqual((name, status), ("rabbitmq", "degraded"))
        self.assertNotIn("\n", detail)
        self.assertNotIn("s3cret", detail)
        return detail

    async def test_up(self) -> None:
        """A connection that is up is ok, and says goodbye at the end: the broker sees an orderly close."""
        server = shared_rabbit()
        link = make_link(server.dsn, name="link-goodbye")
        verifyObject(IReadiness, link)
        self.assertEqual(link.readiness()[1], "degraded")
        link.startService()
        await until(lambda: link.state is LinkState.UP, "the connection")
        self.assertEqual(link.readiness(), ("link-goodbye", "ok", ""))
        assert link.wire is not None
        self.assertTrue(link.wire.server.startswith("RabbitMQ 3"))
        await link.stopService()
        self.assertIs(link.state, LinkState.STOPPED)

        def ends() -> list[str]:
            lines = server.log.splitlines()
            return [line for line in lines if "closing AMQP" in line and "link-goodbye" in line]

        await until(ends, "the broker's word")
        # What it says of a connection that was cut ends with a colon, and the reason follows.
        self.assertFalse(ends()[0].endswith(":"), ends())

    async def test_no_time_for_a_goodbye(self) -> None:
        """A stop that is given up cuts a connection that does not answer; its guests hear of the end."""
        server = shared_rabbit()
        tap = Tap(server.port)
        self.addCleanup(lambda: Deferred.fromCoroutine(tap.close()))
        link = make_link(server.dsn, endpoint=tap.endpoint)
        link.startService()
        await until(lambda: link.state is LinkState.UP, "the connection")
        publisher = Publisher(link, reactor, chance, "a test")
        publisher.open()
        await publisher.settled()
        tap.hold_answers()
        stopping = link.stopService()
        stopping.cancel()
        await self.assertFailure(stopping, CancelledError)
        await until(lambda: link.wire is None, "the cut")
        self.assertFalse(publisher.is_up)
        publisher.close()
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_stop_while_connecting(self) -> None:
        """A link that is stopped before it is up ends at once."""
        listener = Listener()
        self.addCleanup(lambda: Deferred.fromCoroutine(listener.close()))
        link = make_link(f"amqp://127.0.0.1:{listener.port}")
        link.startService()
        await until(lambda: bool(listener.connections), "the connection")
        await link.stopService()
        self.assertIs(link.state, LinkState.STOPPED)

    async def test_nobody(self) -> None:
        """Where nobody listens, the address is named without credentials."""
        detail = await self.refused("amqp://user:s3cret@127.0.0.1:1/vhost")
        self.assertIn("amqp://127.0.0.1:1/vhost", detail)
        self.assertIn("refused", detail)

    async def test_wrong_password(self) -> None:
        """A wrong password is named as such."""
        port = shared_rabbit().port
        self.assertIn("ACCESS_REFUSED", await self.refused(f"amqp://guest:s3cret@127.0.0.1:{port}"))

    async def test_missing_vhost(self) -> None:
        """A virtual host that is not there is named."""
        port = shared_rabbit().port
        detail = await self.refused(f"amqp://guest:guest@127.0.0.1:{port}/no%20where")
        self.assertIn("NOT_ALLOWED", detail)
        self.assertIn("no where", detail)

    async def test_no_amqp(self) -> None:
        """Whoever speaks something else is told apart, and nothing of it ends the daemon."""
        listener = Listener(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.addCleanup(lambda: Deferred.fromCoroutine(listener.close()))
        link = self.start(make_link(f"amqp://127.0.0.1:{listener.port}"))
        await until(lambda: link.state is LinkState.RESTING, "the end")
        self.assertIn("before that was open", link.trouble)

    async def test_silent_peer(self) -> None:
        """A peer that accepts and says nothing is given up after 10 s and cut; then it is tried again."""
        listener = Listener()
        self.addCleanup(lambda: Deferred.fromCoroutine(listener.close()))
        clock = SkewedClock()
        endpoint = HostnameEndpoint(reactor, "127.0.0.1", listener.port)
        dsn = parse_amqp("amqp://127.0.0.1")
        link = self.start(RabbitLink(dsn, endpoint, clock, chance, FakeMetrics()))
        await until(lambda: bool(listener.connections), "the connection")
        await until(lambda: link._draft is not None and link._draft.transport is not None, "our side of it")
        clock.advance(PATIENCE)
        await until(lambda: link.state is LinkState.RESTING, "the end of patience")
        self.assertEqual(link.trouble, "no answer within 10 s")
        await until(lambda: not listener.connections[0].transport.connected, "the cut")
        clock.advance(5)
        await until(lambda: len(listener.connections) == 2, "the next attempt")

    async def test_silence(self) -> None:
        """A broker that is not heard for two heartbeats is given up, and the link comes back."""
        server = shared_rabbit()
        tap, metrics = Tap(server.port), FakeMetrics()
        self.addCleanup(lambda: Deferred.fromCoroutine(tap.close()))
        link = self.start(make_link(server.dsn, heartbeat=1, endpoint=tap.endpoint, metrics=metrics))
        await until(lambda: link.state is LinkState.UP, "the connection")
        tap.hold_answers()
        await until(lambda: link.state is not LinkState.UP, "the silence to be noticed")
        self.assertIn("no sign of life", link.trouble)
        tap.hold_answers(False)
        await until(lambda: link.state is LinkState.UP, "the connection to be back")
        self.assertEqual(metrics.value("broker_connections_lost_total", broker="rabbitmq"), 1)

    async def test_heartbeat_of_the_address(self) -> None:
        """Quiet connections stay: both sides show that they are there, as often as the address asks."""
        server = shared_rabbit()
        metrics = FakeMetrics()
        link = self.start(make_link(f"{server.dsn}/?heartbeat=1", metrics=metrics))
        await until(lambda: link.state is LinkState.UP, "the connection")
        wire = link.wire
        assert wire is not None
        began = wire.heard_at
        await until(lambda: wire.heard_at - began > 2.5, "some heartbeats")
        self.assertIs(link.wire, wire)

    async def test_tls(self) -> None:
        """With amqps the certificate and the name in it are verified, by the authorities of a file if set."""
        server = shared_rabbit()
        signed, key = certificate()
        tap = Tap(server.port, signed + key)
        self.addCleanup(lambda: Deferred.fromCoroutine(tap.close()))
        path = self.mktemp()
        with open(path, "wb") as file:
            file.write(b"Some words before it.\n" + signed)

        def link(host: str, ca_file: str | None) -> RabbitLink:
            dsn = parse_amqp(f"amqps://guest:guest@{host}:{tap.port}")
            return self.start(make_link(dsn, endpoint=endpoint_of(dsn, reactor, ca_file)))

        trusted, unknown, misnamed = link("localhost", path), link("localhost", None), link("127.0.0.1", path)
        await until(lambda: trusted.state is LinkState.UP, "the connection")
        await until(lambda: unknown.state is LinkState.RESTING, "the refusal of the certificate")
        self.assertIn("certificate verify failed", unknown.trouble)
        await until(lambda: misnamed.state is LinkState.RESTING, "the refusal of the name")
        self.assertTrue(misnamed.trouble)
        self.assertNotEqual(misnamed.trouble, "it closed the connection before that was open")

    async def test_tls_verifies(self) -> None:
        """With amqps a peer that does not speak TLS is not believed."""
        port = shared_rabbit().port
        link = self.start(make_link(f"amqps://guest:s3cret@localhost:{port}"))
        await until(lambda: link.state is LinkState.RESTING, "the refusal")
        self.assertIn("TLS", link.trouble)

    def test_ca_file(self) -> None:
        """A file of authorities without a certificate is refused when the endpoint is made, no file, too."""
        dsn = parse_amqp("amqps://localhost")
        path = self.mktemp()
        self.assertRaises(OSError, endpoint_of, dsn, reactor, path)
        with open(path, "w") as file:
            file.write("nothing")
        self.assertRaises(ValueError, endpoint_of, dsn, reactor, path)


class RabbitPermissionTests(TestCase):
    """Users who may not do everything. Each needs `rabbitmqctl`, which is slow; so they are few."""

    async def user(self, configure: str, write: str, read: str) -> str:
        """Make a user; the address with which it logs in."""
        server, name = shared_rabbit(), own_name("user")
        server.ctl("add_user", name, PASSWORD)
        server.ctl("set_permissions", "-p", "/", name, configure, write, read)
        dsn = evolve(parse_amqp(server.dsn), username=name, password=PASSWORD)
        self.link = make_link(dsn)
        return name

    async def sink(self, **options: Any) -> RabbitSink:
        self.names = own_names()
        with client(shared_rabbit()) as channel:
            channel.exchange_declare(self.names.inbox, "direct", durable=True)
            channel.exchange_declare(self.names.events, "direct", durable=True)
            channel.queue_declare("permissions", durable=True)
            channel.queue_bind("permissions", self.names.inbox, self.names.inbox)
        sink = RabbitSink(self.link, reactor, chance, FakeMetrics(), self.names, **options)
        self.link.startService()
        self.addCleanup(self.link.stopService)
        self.addCleanup(sink.close)
        await sink.settled()
        return sink

    async def test_may_not_configure(self) -> None:
        """A user who may only write uses what others have declared; what is missing is told."""
        await self.user("^$", ".*", "^$")
        sink = await self.sink()
        self.assertEqual(sink.readiness()[1], "ok")
        [result] = await sink.deliver([make_envelope()])
        self.assertNotIn("Failure", repr(result))
        await sink.close()
        sink = RabbitSink(self.link, reactor, chance, FakeMetrics(), self.names, inbox_queue=own_name("new"))
        self.addCleanup(sink.close)
        await sink.settled()
        _, status, detail = sink.readiness()
        self.assertEqual(status, "degraded")
        self.assertIn("ACCESS_REFUSED", detail)
        self.assertNotIn(PASSWORD, detail)

    async def test_may_not_write(self) -> None:
        """A user who may not write is told with the exchange; the link and other channels are not touched."""
        await self.user(".*", "^$", ".*")
        sink = await self.sink()
        [result] = await sink.deliver([make_envelope()])
        self.assertIn("ACCESS_REFUSED", str(result.value))
        self.assertIn(self.names.inbox, str(result.value))
        await until(lambda: sink._publisher.is_up, "a new channel")
        _, status, detail = sink.readiness()
        self.assertEqual(status, "degraded")
        self.assertIn(self.names.inbox, detail)
        self.assertEqual(self.link.readiness()[1], "ok")


class RabbitPublisherTests(TestCase):
    """Publishing, past what the sink does."""

    async def publisher(self, **options: Any) -> Publisher:
        server = shared_rabbit()
        self.tap = Tap(server.port)
        self.queue = own_name("published")
        with client(server) as channel:
            channel.queue_declare(self.queue)
        self.link = make_link(server.dsn, endpoint=self.tap.endpoint)
        publisher = Publisher(self.link, reactor, chance, "messages of a test", **options)
        publisher.open()
        self.link.startService()

        async def end() -> None:
            self.tap.hold_answers(False)
            publisher.close()
            await self.link.stopService()
            await self.tap.close()

        self.addCleanup(lambda: Deferred.fromCoroutine(end()))
        await publisher.settled()
        return publisher

    def messages(self, count: int, start: int = 0) -> list[Message]:
        return [Message("", self.queue, b"%d" % at, f"m-{at}") for at in range(start, start + count)]

    async def test_window(self) -> None:
        """No more than the window is on its way; the rest follows in order as confirms come."""
        publisher = await self.publisher(window=7)
        self.tap.hold_answers()
        answers = [publisher.publish(self.messages(25, start)) for start in (0, 25)]
        self.assertEqual(len(publisher._sent), 7)
        self.tap.hold_answers(False)
        for answer in answers:
            self.assertEqual(set(await answer), {Outcome.CONFIRMED})
        with client(shared_rabbit()) as channel:
            taken = [channel.basic_get(self.queue, auto_ack=True)[2] for _ in range(50)]
        self.assertEqual(taken, [b"%d" % at for at in range(50)])

    async def test_patience(self) -> None:
        """A confirm that does not come in time leaves its message unknown; a late one harms nobody."""
        publisher = await self.publisher(patience=0.2)
        self.tap.hold_answers()
        self.assertEqual(await publisher.publish(self.messages(3)), [Outcome.UNKNOWN] * 3)
        self.assertIn("no confirm", publisher.trouble)
        self.tap.hold_answers(False)
        self.assertEqual(await publisher.publish(self.messages(3, 3)), [Outcome.CONFIRMED] * 3)
        self.assertEqual(publisher.trouble, "")

    async def test_cut(self) -> None:
        """A connection that is cut leaves what was sent unknown and what waited unsent; nothing hangs."""
        publisher = await self.publisher(window=2)
        self.tap.hold_answers()
        answer = publisher.publish(self.messages(5))
        self.tap.cut()
        self.assertEqual(await answer, [Outcome.UNKNOWN] * 2 + [Outcome.UNSENT] * 3)
        self.assertEqual(await publisher.publish(self.messages(1)), [Outcome.UNSENT])

    async def test_cancelled(self) -> None:
        """Whoever gives up waiting has its unsent messages dropped, and the others go on."""
        publisher = await self.publisher(window=2)
        self.tap.hold_answers()
        given_up, waiting = publisher.publish(self.messages(5)), publisher.publish(self.messages(2, 10))
        given_up.addErrback(lambda failure: None)
        given_up.cancel()
        self.tap.hold_answers(False)
        self.assertEqual(await waiting, [Outcome.CONFIRMED] * 2)
        with client(shared_rabbit()) as channel:
            taken = [channel.basic_get(self.queue, auto_ack=True)[2] for _ in range(5)]
        self.assertEqual(taken, [b"0", b"1", b"10", b"11", None])

    async def test_too_much(self) -> None:
        """What waits is bounded: more is not taken, and that is told."""
        publisher = await self.publisher()
        self.tap.hold_answers()
        first = publisher.publish(self.messages(10_000))
        first.addErrback(lambda failure: None)
        self.assertEqual(set(await publisher.publish(self.messages(1_000))), {Outcome.UNSENT})
        self.assertIn("too many", publisher.trouble)
        first.cancel()
