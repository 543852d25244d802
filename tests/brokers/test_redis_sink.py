"""The Redis sink keeps the promises of IStreamSink, before a real Redis whose answers get lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import random
from typing import Any

from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred, fail, succeed
from twisted.trial.unittest import TestCase

from tests.brokers.redis_load import contents, until_up
from tests.servers.shared import own_name, shared_redis
from ws_gateway.brokers.redis.link import RedisLink, Script
from ws_gateway.brokers.redis.producer import RedisProducer
from ws_gateway.brokers.redis.producer_scripts import APPEND
from ws_gateway.domain.messages import Envelope, EventType
from ws_gateway.dsn import parse_redis
from ws_gateway.errors import BrokerDown, TargetDown
from ws_gateway.events.redis import RedisSink
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.sinks import make_envelope
from ws_gateway.testing.stream_sinks import RunOutcome, StreamSinkUnderTest, stream_sink_contract_tests


class LossyLink(RedisLink):
    """A real link that does with each batch what the script says."""

    def __init__(self, dsn: str) -> None:
        super().__init__(parse_redis(dsn), reactor, random, FakeMetrics(), "events")
        self.outcomes: deque[RunOutcome] = deque()

    def run_script(
        self, script: Script, keys: Sequence[Any], arguments: Sequence[Any], timeout: float | None = None
    ) -> Deferred[Any]:
        outcome = RunOutcome.TAKEN
        if script is APPEND and self.outcomes:
            outcome = self.outcomes.popleft()
        if outcome is RunOutcome.DOWN:
            return fail(BrokerDown("scripted: down"))
        if outcome is RunOutcome.HANG:
            return Deferred()
        answer = super().run_script(script, keys, arguments, timeout)
        if outcome is RunOutcome.LOST:
            answer.addCallback(lambda _: fail(BrokerDown("scripted: nobody knows")))
        return answer


def by_connection(envelope: Envelope) -> str | None:
    return None if envelope.connection_id == "c-1" else envelope.connection_id


class RedisUnderTest:
    """The sink, its producer and its link, with streams of their own."""

    def __init__(self) -> None:
        self.metrics = FakeMetrics()
        self.link = LossyLink(shared_redis().dsn)
        producer = RedisProducer(self.link, own_name("run"), reactor, self.metrics)
        self.inbox, self.events = own_name("inbox"), own_name("events")
        self.sink = RedisSink(producer, self.inbox, self.events, by_connection, self.metrics)

    async def start(self) -> RedisUnderTest:
        self.link.startService()
        await until_up(self.link)
        return self

    def will(self, *outcomes: RunOutcome) -> None:
        self.link.outcomes.extend(outcomes)

    def held(self, stream: str) -> Deferred[list[bytes]]:
        return Deferred.fromCoroutine(contents(self.link, stream))

    def recovered(self) -> Deferred[None]:
        return succeed(None)

    def tear_down(self) -> Deferred[None]:
        return self.link.stopService()


def make(_: TestCase) -> Deferred[StreamSinkUnderTest]:
    return Deferred.fromCoroutine(RedisUnderTest().start())


class RedisSinkContractTests(stream_sink_contract_tests(make)):  # type: ignore[misc]
    """The sink in front of a real Redis."""


class RedisSinkTests(TestCase):
    """What is so only here."""

    async def test_streams(self) -> None:
        """Messages go to the inbox or its partition, who comes and goes to the events stream."""
        sink = RedisUnderTest().sink
        message = make_envelope(1)
        inbox = sink.stream_of(message)
        self.assertEqual(sink.stream_of(evolve(message, connection_id="room:1")), f"{inbox}.room:1")
        for kind in (EventType.CONNECTED, EventType.DISCONNECTED):
            events = sink.stream_of(evolve(message, type=kind, connection_id="room:1"))
            self.assertRegex(events, r"\Aevents-\d+\Z")

    async def test_counted(self) -> None:
        """What Redis took is counted, by event; what it did not take is not."""
        under_test = await RedisUnderTest().start()
        self.addCleanup(under_test.tear_down)
        under_test.will(RunOutcome.DOWN)
        envelopes = [make_envelope(number) for number in range(3)]
        failing = under_test.sink.append(under_test.inbox, envelopes)
        self.failureResultOf(failing, TargetDown)
        self.assertEqual(under_test.metrics.value("broker_publish_total"), 0)
        await under_test.sink.append(under_test.inbox, envelopes)
        self.assertEqual(under_test.metrics.value("broker_publish_total"), 3)
        self.assertEqual(under_test.metrics.value("broker_events_total", broker="redis"), 3)
