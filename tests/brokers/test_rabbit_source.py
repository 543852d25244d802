"""Publications out of a real RabbitMQ: to every node, past whatever happens to its queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from tests.brokers.rabbit import Tap, chance, client, make_link, messages, own_names, until
from tests.servers.shared import shared_rabbit
from ws_gateway.brokers.rabbitmq.own_queue import OwnQueueRules
from ws_gateway.brokers.rabbitmq.relay import RabbitRelay
from ws_gateway.brokers.rabbitmq.source import RabbitSource, SourceRules
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IReadiness
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.publications import BAD, FakeTaker, PublicationsUnderTest, publication_tests


class Outbox:
    """An outbox of its own on the shared broker, behind a tap, and nodes that read it.

    :ivar metrics: those of the node that was made last.
    """

    def __init__(self, canary_seconds: float = 0, canary_patience: float = 5.0, **rules: int):
        self.server = shared_rabbit()
        self.names = own_names()
        self.rules = SourceRules(
            OwnQueueRules(**{"max_length": 1_000_000, **rules}), canary_seconds, canary_patience
        )
        self.tap = Tap(self.server.port)
        self.writing = make_link(self.server.dsn, name="writing")
        self.relay = RabbitRelay(self.writing, reactor, chance, self.names)
        self.readers: list[Any] = []
        self.metrics = FakeMetrics()
        with client(self.server) as channel:
            channel.exchange_declare(self.names.outbox, "direct", durable=True)

    async def ready(self) -> Outbox:
        self.writing.startService()
        await self.relay.settled()
        return self

    def source(self) -> RabbitSource:
        self.metrics = FakeMetrics()
        reading = make_link(self.server.dsn, endpoint=self.tap.endpoint, name="reading")
        self.readers.append(reading)
        return RabbitSource(
            reading,
            self.writing,
            f"node{len(self.readers)}",
            "run",
            reactor,
            chance,
            self.metrics,
            self.names,
            self.rules,
        )

    def own_queue(self, number: int = 1) -> str:
        return f"{self.names.outbox}.node{number}.run"

    def write(self, documents: Sequence[bytes]) -> Deferred[None]:
        with client(self.server) as channel:
            for document in documents:
                channel.basic_publish(self.names.outbox, self.names.outbox, document)
        return succeed(None)

    def dead_letters(self, least: int) -> Deferred[list[tuple[str, bytes]]]:
        return Deferred.fromCoroutine(self._dead_letters(least))

    async def _dead_letters(self, least: int) -> list[tuple[str, bytes]]:
        found: list[tuple[str, bytes]] = []

        def enough() -> bool:
            found.extend(
                (properties.headers["reason"], body)
                for properties, body in messages(self.server, self.names.dead_letters)
            )
            return len(found) >= least

        await until(enough, "dead letters")
        await until(lambda: self.ready_messages(self.names.outbox) == 0, "the shared queue to be empty")
        return found

    def ready_messages(self, queue: str) -> int:
        with client(self.server) as channel:
            declared = channel.queue_declare(queue, passive=True)
            return int(declared.method.message_count)

    def interrupt(self) -> Deferred[None]:
        self.tap.cut()
        return succeed(None)

    def tear_down(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._end())

    async def _end(self) -> None:
        self.relay.close()
        await self.writing.stopService()
        await self.tap.close()
        with client(self.server) as channel:
            for number in range(len(self.readers)):
                channel.queue_delete(self.own_queue(number + 1))


def make_outbox(test: TestCase) -> Deferred[PublicationsUnderTest]:
    return Deferred.fromCoroutine(Outbox().ready())


class RabbitPublicationTests(publication_tests(make_outbox)):  # type: ignore[misc]
    """Source and relay keep the promises of all brokers."""


class RabbitSourceTests(TestCase):
    """What is special about queues."""

    async def outbox(self, **options: Any) -> Outbox:
        self.out = await Outbox(**options).ready()
        self.addCleanup(self.out.tear_down)
        return self.out

    async def node(self) -> tuple[RabbitSource, FakeTaker]:
        source, taker = self.out.source(), FakeTaker()
        source.feed(taker)
        source.startService()
        self.addCleanup(source.stopService)
        await source.positioned()
        return source, taker

    async def test_declares(self) -> None:
        """A node makes a queue of its own that expires, and the shared one and the one of dead letters
        without arguments."""
        out = await self.outbox()
        source, _ = await self.node()
        verifyObject(IReadiness, source)
        await until(lambda: source.readiness()[1] == "ok", "the node to be ready")
        self.assertEqual(source.readiness(), ("rabbitmq_outbox", "ok", ""))
        with client(out.server) as channel:
            channel.queue_declare(out.names.outbox, durable=True)
            channel.queue_declare(out.names.dead_letters, durable=True)
            channel.queue_declare(
                out.own_queue(),
                durable=True,
                arguments={
                    "x-expires": 600_000,
                    "x-max-length": 1_000_000,
                    "x-max-length-bytes": 256 * 1024 * 1024,
                    "x-overflow": "drop-head",
                },
            )

    async def test_queue_deleted(self) -> None:
        """A queue that is deleted under its consumer is declared, bound and consumed again; that is told."""
        out = await self.outbox()
        source, taker = await self.node()
        with client(out.server) as channel:
            channel.queue_delete(out.own_queue())
        await until(lambda: source.readiness()[1] == "degraded", "the loss to be noticed")
        self.assertIn(out.own_queue(), source.readiness()[2])
        await until(lambda: source.readiness()[1] == "ok", "the queue to be there again")
        await out.write([b"after"])
        await taker.has(b"after")
        self.assertEqual(self.out.metrics.value("outbox_position_lost_total", reason="queue_gone"), 1)

    async def test_shared_queue_deleted(self) -> None:
        """The shared queue that is deleted is declared again; delivery goes on without it."""
        out = await self.outbox()
        source, taker = await self.node()
        await until(lambda: source.readiness()[1] == "ok", "the node to be ready")
        with client(out.server) as channel:
            channel.queue_delete(out.names.outbox)
        await until(lambda: source.readiness()[1] == "degraded", "the loss to be noticed")
        await out.write([b"meanwhile"])
        await taker.has(b"meanwhile")
        await until(lambda: source.readiness()[1] == "ok", "the queue to be there again")
        await out.write([BAD])
        self.assertEqual(len(await out.dead_letters(1)), 1)

    async def test_shared_queue_of_others(self) -> None:
        """A shared queue that was declared with arguments is used as it is, and kept empty."""
        out = await self.outbox()
        with client(out.server) as channel:
            arguments = {
                "x-dead-letter-exchange": out.names.dead_letters,
                "x-dead-letter-routing-key": out.names.dead_letters,
            }
            channel.queue_declare(out.names.outbox, durable=True, arguments=arguments)
            channel.queue_bind(out.names.outbox, out.names.outbox, out.names.outbox)
        await out.write([b"old", BAD + b" old"])
        source, taker = await self.node()
        await until(lambda: source.readiness()[1] == "ok", "the node to be ready")
        self.assertEqual([body for _, body in await out.dead_letters(1)], [BAD + b" old"])
        self.assertEqual(taker.documents, [])

    async def test_exchange_of_another_type(self) -> None:
        """An outbox of another type is told with its name and the difference; it is read when it is right."""
        out = await self.outbox()
        with client(out.server) as channel:
            channel.exchange_delete(out.names.outbox)
            channel.exchange_declare(out.names.outbox, "headers", durable=True)
        source, taker = await self.node()
        _, status, detail = source.readiness()
        self.assertEqual(status, "degraded")
        for word in (out.names.outbox, "headers", "direct"):
            self.assertIn(word, detail)
        self.assertEqual(out.writing.readiness()[1], "ok")
        with client(out.server) as channel:
            channel.exchange_delete(out.names.outbox)
        await until(lambda: source.readiness()[1] == "ok", "the exchange to be declared")
        await out.write([b"after"])
        await taker.has(b"after")

    async def test_bounded(self) -> None:
        """A queue that is full drops the oldest."""
        out = await self.outbox(max_length=600, prefetch=500)
        _, taker = await self.node()
        taker.hold()
        documents = [b"%d" % number for number in range(2_000)]
        await out.write(documents)
        taker.release()
        await taker.has(documents[-1])
        self.assertLess(len(taker.documents), len(documents))
        self.assertEqual(taker.documents[-600:], documents[-600:])

    async def test_large_bodies(self) -> None:
        """While large publications wait for clients hardly anything is read, though by number more might
        come. Signs of life are heard; all come, once and in order, when there is room."""
        out = await self.outbox(in_hand_bytes=2_000_000)
        _, taker = await self.node()
        [reading] = out.readers
        taker.hold()
        documents = [b"%02d" % number + b"x" * 500_000 for number in range(40)]
        await out.write(documents)
        await until(lambda: reading.wire.is_paused, "the pause")
        began = reading.wire.heard_at
        await until(lambda: reading.wire.heard_at > began, "a sign of life")
        self.assertTrue(reading.wire.is_paused)
        self.assertLessEqual(taker.offered, 6)
        taker.release()
        await taker.has(documents[-1])
        self.assertEqual(taker.documents, documents)
        await until(lambda: not reading.wire.is_paused, "the end of the pause")
        await until(lambda: out.ready_messages(out.names.outbox) == 0, "the shared queue to be empty")

    async def test_cut_while_paused(self) -> None:
        """A connection that ends while hardly anything is read is missed and made anew; so all come."""
        out = await self.outbox(in_hand_bytes=1_000_000)
        _, taker = await self.node()
        [reading] = out.readers
        taker.hold()
        documents = [b"%02d" % number + b"x" * 500_000 for number in range(20)]
        await out.write(documents)
        await until(lambda: reading.wire.is_paused, "the pause")
        before = reading.wire
        out.tap.cut()
        await until(lambda: reading.wire not in (None, before), "the next connection")
        taker.release()
        await taker.has(documents[-1])
        self.assertEqual(list(dict.fromkeys(taker.documents)), documents)

    async def test_stop_while_paused(self) -> None:
        """A stop reads on, so the broker's goodbye is heard."""
        out = await self.outbox(in_hand_bytes=1_000_000)
        source, taker = await self.node()
        [reading] = out.readers
        taker.hold()
        await out.write([b"x" * 500_000] * 20)
        await until(lambda: reading.wire.is_paused, "the pause")
        wire = reading.wire
        await source.stopService()
        taker.release()
        self.assertIsNone(reading.wire)
        self.assertTrue(wire.ended.called)
        self.assertIn("Normal shutdown", str(await wire.ended), "it was closed, not cut")

    async def test_canary(self) -> None:
        """A canary flies through the broker and back, and is no publication."""
        out = await self.outbox(canary_seconds=0.05)
        source, taker = await self.node()

        def seconds() -> float:
            return out.metrics.value("ws_broker_canary_seconds", broker="rabbitmq")

        await until(lambda: seconds() > 0, "a canary")
        await out.write([b"after"])
        await taker.has(b"after")
        self.assertEqual(taker.documents, [b"after"])
        self.assertEqual(source.readiness()[1], "ok")
        self.assertEqual(out.ready_messages(out.names.outbox), 0)

    async def test_dead_link(self) -> None:
        """A reading link that is connected but dead is found by the canary, shown, and made anew; what was
        published meanwhile comes."""
        out = await self.outbox(canary_seconds=0.1, canary_patience=0.5)
        source, taker = await self.node()
        await until(lambda: out.metrics.value("ws_broker_canary_seconds", broker="rabbitmq") > 0, "a canary")
        out.tap.hold_answers()
        await out.write([b"meanwhile"])
        await until(lambda: source.readiness()[1] == "degraded", "the silence to be noticed")
        self.assertIn("did not come back", source.readiness()[2])
        out.tap.hold_answers(False)
        await taker.has(b"meanwhile")
        await until(lambda: source.readiness()[1] == "ok", "canaries to fly again")
        self.assertGreaterEqual(out.metrics.value("ws_broker_canary_missed_total", broker="rabbitmq"), 1)

    async def test_exchange_deleted(self) -> None:
        """The exchange of the outbox that is deleted takes all bindings with it: the canary finds out, and
        everything is declared and bound again."""
        out = await self.outbox(canary_seconds=0.1)
        source, taker = await self.node()
        await until(lambda: out.metrics.value("ws_broker_canary_seconds", broker="rabbitmq") > 0, "a canary")
        with client(out.server) as channel:
            channel.exchange_delete(out.names.outbox)
        await until(lambda: source.readiness()[1] == "degraded", "the loss to be noticed")
        await until(lambda: source.readiness()[1] == "ok", "the exchange to be there again")

        async def relayed() -> None:
            while True:
                try:
                    return await out.relay.relay([b"after"])
                except (BrokerDown, BrokerRefused):
                    await until(lambda: True)

        await relayed()
        await taker.has(b"after")

    async def test_dead_letters_wait(self) -> None:
        """While dead letters cannot be written they stay in the shared queue, which is shown."""
        out = await self.outbox()
        with client(out.server) as channel:
            channel.exchange_declare(out.names.dead_letters, "direct", durable=True)
            arguments = {"x-max-length": 0, "x-overflow": "reject-publish"}
            channel.queue_declare(out.names.dead_letters, durable=True, arguments=arguments)
        source, taker = await self.node()
        await until(lambda: source.readiness()[1] == "ok", "the node to be ready")
        await out.write([BAD, b"fine"])
        await taker.has(b"fine")
        await until(lambda: "dead letters wait" in source.readiness()[2], "the refusal to be shown")
        with client(out.server) as channel:
            channel.queue_delete(out.names.dead_letters)
            channel.queue_declare(out.names.dead_letters, durable=True)
            channel.queue_bind(out.names.dead_letters, out.names.dead_letters, out.names.dead_letters)
        self.assertEqual([body for _, body in await out.dead_letters(1)], [BAD])
        await until(lambda: source.readiness()[1] == "ok", "the trouble to be over")

    async def test_stop_given_up(self) -> None:
        """A stop that a silent broker holds up and nobody waits for any longer ends quietly."""
        out = await self.outbox()
        source = out.source()
        source.feed(FakeTaker())
        source.startService()
        await source.positioned()
        out.tap.hold_answers()
        stopping = source.stopService()
        stopping.cancel()
        await self.assertFailure(stopping, CancelledError)
        [reading] = out.readers
        await until(lambda: reading.wire is None, "the cut")
        out.tap.hold_answers(False)
        self.assertEqual(self.flushLoggedErrors(), [])


class RabbitRelayTests(TestCase):
    """What the relay says when it cannot."""

    async def test_nobody_listens(self) -> None:
        """Without any node nothing is relayed, and that is told."""
        out = await Outbox().ready()
        self.addCleanup(out.tear_down)
        error = await self.assertFailure(out.relay.relay([b"{}"]), BrokerRefused)
        self.assertEqual(error.code, "NO_ROUTE")

    async def test_down(self) -> None:
        """Without a connection a call fails at once."""
        link = make_link("amqp://127.0.0.1:1")
        relay = RabbitRelay(link, reactor, chance)
        error = await self.assertFailure(relay.relay([b"{}"]), BrokerDown)
        self.assertTrue(error.detail)
        link.startService()
        await relay.settled()
        await self.assertFailure(relay.relay([b"{}"]), BrokerDown)
        await link.stopService()

    async def test_too_long(self) -> None:
        """A confirm that does not come in time is told: nobody knows."""
        server, names = shared_rabbit(), own_names()
        tap = Tap(server.port)
        link = make_link(server.dsn, endpoint=tap.endpoint)
        relay = RabbitRelay(link, reactor, chance, names, patience=0.2)
        link.startService()
        await relay.settled()
        tap.hold_answers()
        error = await self.assertFailure(relay.relay([b"{}"]), BrokerDown)
        self.assertIn("nobody knows", error.detail)
        tap.hold_answers(False)
        relay.close()
        await link.stopService()
        await tap.close()
