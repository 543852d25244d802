"""Every sink keeps the promises of IEventSink: the fake one and the real ones, over real sockets."""

from __future__ import annotations

import time
from collections import deque

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IListeningPort
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site

from ws_gateway.events.log import LogSink
from ws_gateway.events.webhook import webhook_sink
from ws_gateway.interfaces import IEventSink
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.sinks import FakeSink, Outcome, SinkUnderTest, make_envelope, sink_contract_tests


class FakeUnderTest:
    """The fake is its own target."""

    def __init__(self, max_batch: int) -> None:
        self.sink = FakeSink(max_batch=max_batch)

    def will(self, *outcomes: Outcome) -> None:
        self.sink.script(*outcomes)

    def taken(self) -> list[tuple[str, bytes]]:
        return [(envelope.event_id, envelope.body) for envelope in self.sink.accepted]

    def tear_down(self) -> Deferred[None]:
        return succeed(None)


class FakeSinkTests(sink_contract_tests(lambda test: succeed(FakeUnderTest(1)))):  # type: ignore[misc]
    """The fake sink, one event at a time."""


class FakeBatchSinkTests(sink_contract_tests(lambda test: succeed(FakeUnderTest(100)))):  # type: ignore[misc]
    """The fake sink with batches."""


class Receiver(Resource):
    """A backend that does what the script says."""

    isLeaf = True
    statuses = {Outcome.ACCEPT: 204, Outcome.DOWN: 503, Outcome.FAIL: 500, Outcome.REFUSE: 422}

    def __init__(self) -> None:
        super().__init__()
        self.script: deque[Outcome] = deque()
        self.taken: list[tuple[str, bytes]] = []

    def render_POST(self, request: Request) -> bytes | int:
        outcome = self.script.popleft() if self.script else Outcome.ACCEPT
        if outcome is Outcome.HANG:
            return NOT_DONE_YET
        request.setResponseCode(self.statuses[outcome])
        if outcome is Outcome.ACCEPT:
            body = request.content.read()
            self.taken.append((request.getHeader("webhook-id"), body))
        return b""


class WebhookUnderTest:
    """The real sink before a real twisted.web server."""

    def __init__(self) -> None:
        self._receiver = Receiver()
        self._port: IListeningPort = reactor.listenTCP(0, Site(self._receiver), interface="127.0.0.1")
        self.sink: IEventSink = webhook_sink(
            reactor,
            f"http://127.0.0.1:{self._port.getHost().port}/internal/ws/events",
            ["secret"],
            time.time,
            timeout=30,
            concurrency=2,
            connection_max_age=60,
            user_agent="ws-gateway/test",
            metrics=FakeMetrics(),
        )

    def will(self, *outcomes: Outcome) -> None:
        self._receiver.script.extend(outcomes)

    def taken(self) -> list[tuple[str, bytes]]:
        return self._receiver.taken

    def tear_down(self) -> Deferred[None]:
        return self._port.stopListening()


def make_webhook(test: TestCase) -> Deferred[SinkUnderTest]:
    return succeed(WebhookUnderTest())


class WebhookSinkTests(sink_contract_tests(make_webhook)):  # type: ignore[misc]
    """The webhook sink over loopback."""


class LogSinkTests(TestCase):
    """The log sink has no target that could fail, so only the promise of acceptance applies."""

    async def test_accepts(self) -> None:
        """Every event gets a receipt."""
        sink = LogSink()
        results = await sink.deliver([make_envelope(1), make_envelope(2)])
        self.assertEqual(len(results), 2)
        await sink.close()
