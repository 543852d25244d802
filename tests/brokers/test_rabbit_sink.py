"""The sink for RabbitMQ before a real one: what becomes of each event, and what is declared for it."""

from __future__ import annotations

from collections import deque

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from tests.brokers.rabbit import Tap, chance, client, make_link, messages, own_names, until
from tests.servers.shared import own_name, shared_rabbit
from ws_gateway.brokers.rabbitmq.names import RabbitNames
from ws_gateway.domain.messages import Envelope, EventType, Receipt
from ws_gateway.errors import EventFailed, EventRefused, TargetDown
from ws_gateway.events.rabbitmq import RabbitSink
from ws_gateway.interfaces import IEventSink, IReadiness
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.sinks import Outcome, SinkUnderTest, make_envelope, sink_contract_tests


class RabbitUnderTest:
    """The sink before a broker in which each outcome has a partition: a queue that takes, one that is full
    and refuses, none at all; and a tap that cuts it off or keeps confirms back."""

    def __init__(self) -> None:
        self._server = shared_rabbit()
        self._names = own_names()
        self._queue = own_name("taken")
        self._script: deque[Outcome] = deque()
        self._chosen: dict[str, Outcome] = {}
        self._tap = Tap(self._server.port)
        self._link = make_link(self._server.dsn, endpoint=self._tap.endpoint)
        inbox, full = self._names.inbox, own_name("full")
        with client(self._server) as channel:
            channel.exchange_declare(inbox, "direct", durable=True)
            channel.queue_declare(self._queue, durable=True)
            arguments = {"x-max-length": 0, "x-overflow": "reject-publish"}
            channel.queue_declare(full, durable=True, arguments=arguments)
            channel.queue_bind(self._queue, inbox, f"{inbox}.accept")
            channel.queue_bind(full, inbox, f"{inbox}.fail")
        self.sink = RabbitSink(
            self._link, reactor, chance, FakeMetrics(), self._names, partition=self._partition
        )

    async def ready(self) -> RabbitUnderTest:
        self._link.startService()
        await self.sink.settled()
        return self

    def will(self, *outcomes: Outcome) -> None:
        self._script.extend(outcomes)
        if Outcome.HANG in outcomes:
            self._tap.hold_answers()
        if Outcome.DOWN in outcomes:
            self._tap.hold_answers()
            reactor.callLater(0.2, self._tap.cut)

    def taken(self) -> list[tuple[str, bytes]]:
        return [(properties.message_id, body) for properties, body in messages(self._server, self._queue)]

    def tear_down(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._end())

    async def _end(self) -> None:
        self._tap.hold_answers(False)
        await self._link.stopService()
        await self._tap.close()

    def _partition(self, envelope: Envelope) -> str:
        outcome = self._chosen.setdefault(
            envelope.event_id, self._script.popleft() if self._script else Outcome.ACCEPT
        )
        # What never reaches the broker is nobody's: no queue is there for it.
        return outcome.value


def make_rabbit(test: TestCase) -> Deferred[SinkUnderTest]:
    return Deferred.fromCoroutine(RabbitUnderTest().ready())


class RabbitSinkContractTests(sink_contract_tests(make_rabbit)):  # type: ignore[misc]
    """The sink keeps the promises of all sinks."""


def event(number: int, kind: EventType = EventType.MESSAGE_RECEIVED) -> Envelope:
    """An event of its own connection."""
    envelope = make_envelope(number, f"c-{number}")
    return Envelope(
        envelope.event_id, kind, envelope.connection_id, envelope.key, envelope.body, envelope.occurred_at_ms
    )


class RabbitSinkTests(TestCase):
    """What is declared, what goes where, what happens when it is not as it should be."""

    def setUp(self) -> None:
        self.server = shared_rabbit()
        self.names = own_names()
        self.inbox = own_name("inbox")
        self.events = own_name("events")
        self.metrics = FakeMetrics()
        self.link = make_link(self.server.dsn)

    async def sink(self, **options: object) -> RabbitSink:
        sink = RabbitSink(self.link, reactor, chance, self.metrics, self.names, **options)  # type: ignore[arg-type]
        self.link.startService()

        async def end() -> None:
            await sink.close()
            await self.link.stopService()

        self.addCleanup(lambda: Deferred.fromCoroutine(end()))
        await sink.settled()
        return sink

    async def one(self, sink: RabbitSink, envelope: Envelope) -> Receipt | Failure:
        [result] = await sink.deliver([envelope])
        return result

    async def test_declares(self) -> None:
        """Exchanges are there with the first connection, queues that are asked for are bound, and messages
        are persistent JSON with the event's id."""
        sink = await self.sink(inbox_queue=self.inbox, events_queue=self.events)
        verifyObject(IEventSink, sink)
        verifyObject(IReadiness, sink)
        results = await sink.deliver(
            [event(1), event(2, EventType.CONNECTED), event(3), event(4, EventType.DISCONNECTED)]
        )
        self.assertEqual(results, [Receipt()] * 4)
        [(properties, body), (later, _)] = messages(self.server, self.inbox)
        self.assertEqual(body, event(1).body)
        self.assertEqual(properties.message_id, event(1).event_id)
        self.assertEqual(properties.content_type, "application/json")
        self.assertEqual(properties.delivery_mode, 2)
        self.assertEqual(later.message_id, event(3).event_id)
        self.assertEqual(
            [properties.message_id for properties, _ in messages(self.server, self.events)],
            [event(2).event_id, event(4).event_id],
        )
        self.assertEqual(sink.readiness(), ("rabbitmq_events", "ok", ""))
        self.assertEqual(self.metrics.value("broker_publish_total"), 4)
        self.assertEqual(self.metrics.value("broker_unroutable_total"), 0)

    async def test_large(self) -> None:
        """An event that needs several frames arrives as it is."""
        sink = await self.sink(inbox_queue=self.inbox)
        body = bytes(range(256)) * 2000
        large = Envelope("1", EventType.MESSAGE_RECEIVED, "c", "c", body, 0)
        self.assertEqual(await self.one(sink, large), Receipt())
        [(_, taken)] = messages(self.server, self.inbox)
        self.assertEqual(taken, body)

    async def test_partitions(self) -> None:
        """A partition's key is bound to the inbox queue before its first event, and nothing is unroutable."""
        sink = await self.sink(
            inbox_queue=self.inbox, partition=lambda envelope: f"room:{envelope.connection_id}"
        )
        envelopes = [event(number) for number in (1, 2, 1)]
        self.assertEqual(await sink.deliver(envelopes), [Receipt()] * 3)
        self.assertEqual(
            [body for _, body in messages(self.server, self.inbox)],
            [envelope.body for envelope in envelopes],
        )
        self.assertEqual(self.metrics.value("broker_unroutable_total"), 0)

    async def test_unroutable(self) -> None:
        """Where no queue is bound, the event is refused, counted and shown until a queue takes events."""
        sink = await self.sink()
        result = await self.one(sink, event(1))
        assert isinstance(result, Failure)
        self.assertIs(result.type, EventRefused)
        self.assertIn(f'no queue is bound to exchange "{self.names.inbox}"', str(result.value))
        self.assertEqual(self.metrics.value("broker_unroutable_total"), 1)
        _, status, detail = sink.readiness()
        self.assertEqual(status, "degraded")
        self.assertIn(self.names.inbox, detail)
        with client(self.server) as channel:
            channel.queue_declare(self.inbox)
            channel.queue_bind(self.inbox, self.names.inbox, self.names.inbox)
            self.assertEqual(await self.one(sink, event(2)), Receipt())
        self.assertEqual(sink.readiness()[1], "ok")

    async def test_queue_deleted(self) -> None:
        """A queue of ours that was deleted is declared and bound again; the event in hand is not given up."""
        sink = await self.sink(inbox_queue=self.inbox)
        with client(self.server) as channel:
            channel.queue_delete(self.inbox)
        result = await self.one(sink, event(1))
        assert isinstance(result, Failure)
        self.assertIs(result.type, EventFailed)

        async def taken() -> None:
            while not isinstance(await self.one(sink, event(1)), Receipt):
                await until(lambda: True)

        await taken()
        self.assertEqual([body for _, body in messages(self.server, self.inbox)], [event(1).body])
        self.assertEqual(sink.readiness()[1], "ok")

    async def test_exchange_of_another_type(self) -> None:
        """An exchange of another type is shown with its name and the difference, its events wait, others
        flow; when it is as it should be, everything flows."""
        with client(self.server) as channel:
            channel.exchange_declare(self.names.inbox, "fanout", durable=True)
        sink = await self.sink(inbox_queue=self.inbox, events_queue=self.events)
        _, status, detail = sink.readiness()
        self.assertEqual(status, "degraded")
        for word in (self.names.inbox, "direct", "fanout"):
            self.assertIn(word, detail)
        waiting, taken = await sink.deliver([event(1), event(2, EventType.CONNECTED)])
        assert isinstance(waiting, Failure)
        self.assertIs(waiting.type, TargetDown)
        self.assertIn(self.names.inbox, str(waiting.value))
        self.assertEqual(taken, Receipt())
        self.assertEqual(self.link.readiness()[1], "ok")
        with client(self.server) as channel:
            channel.exchange_delete(self.names.inbox)
        await until(lambda: sink.readiness()[1] == "ok", "the exchange to be declared")
        self.assertEqual(await self.one(sink, event(1)), Receipt())

    async def test_exchange_deleted(self) -> None:
        """An exchange that was deleted costs nothing but time: it is declared again on a new channel."""
        sink = await self.sink(inbox_queue=self.inbox)
        with client(self.server) as channel:
            channel.exchange_delete(self.names.inbox)
        result = await self.one(sink, event(1))
        assert isinstance(result, Failure)
        self.assertIs(result.type, TargetDown)
        self.assertIn("NOT_FOUND", str(result.value))
        await until(lambda: sink._publisher.is_up, "a new channel")
        self.assertEqual(await self.one(sink, event(1)), Receipt())
        self.assertEqual(sink.readiness()[1], "ok")

    async def test_queue_with_arguments(self) -> None:
        """A queue that somebody declared with other arguments is used as it is."""
        with client(self.server) as channel:
            channel.queue_declare(self.inbox, durable=True, arguments={"x-max-length": 10})
        sink = await self.sink(inbox_queue=self.inbox)
        self.assertEqual(await self.one(sink, event(1)), Receipt())
        self.assertEqual(sink.readiness()[1], "ok")

    async def test_close_while_publishing(self) -> None:
        """What is under way when the sink is closed ends as TargetDown or with a Receipt, each event once."""
        sink = await self.sink(inbox_queue=self.inbox)
        answers = [sink.deliver([event(100 * batch + number) for number in range(50)]) for batch in range(20)]
        await sink.close()
        for answer in answers:
            results = self.successResultOf(answer)
            self.assertEqual(len(results), 50)
            for result in results:
                if isinstance(result, Failure):
                    self.assertIs(result.type, TargetDown)
        [late] = await sink.deliver([event(1)])
        assert isinstance(late, Failure)
        self.assertIs(late.type, TargetDown)

    def test_names(self) -> None:
        """Names are those of the contract."""
        names = RabbitNames()
        self.assertEqual(
            (names.inbox, names.events, names.outbox, names.dead_letters),
            ("ws.inbox", "ws.events", "ws.outbox", "ws.dlq"),
        )
