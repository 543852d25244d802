"""The real gateway, built by its own composition root, with two things that only a measurement wants.

- A sink that signs every event as the webhook does, checks the order of each key, counts, and has no target
  (instead of the webhook, where `EVENTS_MODE=webhook`): what is measured is the way to it.
- A tick every 5 ms that notes how late it comes: the longest time for which the reactor did something else.

Both are told by HTTP on a port of their own, `BENCH_OBSERVER_PORT`.
"""

import json
import os
import time
from collections.abc import Sequence
from typing import Any

from twisted.application.internet import TCPServer, TimerService
from twisted.application.service import Application
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import implementer

from ws_gateway import tap
from ws_gateway.domain.messages import Envelope, Receipt
from ws_gateway.errors import EventRefused
from ws_gateway.events.signing import Signer
from ws_gateway.interfaces import IEventSink

__all__ = ["CountingSink", "Lateness", "make_application"]

TICK_SECONDS = 0.005


@implementer(IEventSink)
class CountingSink:
    """Signs, checks, counts.

    :ivar counted: events that it took.
    :ivar disorder: events that came before an older one of their key.
    """

    name = "counting"
    max_batch = 500

    def __init__(self, secrets: Sequence[str]) -> None:
        self._signer = Signer(secrets)
        self._last: dict[str, str] = {}
        self.counted = 0
        self.disorder = 0

    def deliver(self, envelopes: Sequence[Envelope]) -> Deferred[list[Receipt | Failure]]:
        now = int(time.time())
        return succeed([self._take(envelope, now) for envelope in envelopes])

    def close(self) -> Deferred[None]:
        return succeed(None)

    def _take(self, envelope: Envelope, now: int) -> Receipt | Failure:
        signer, body, event_id = self._signer, envelope.body, envelope.event_id
        if signer.body_signature(body) is None or signer.standard_signature(event_id, now, body) is None:
            return Failure(EventRefused("nothing to sign with"))
        # Event ids sort as the events were made.
        self.disorder += event_id <= self._last.get(envelope.key, "")
        self._last[envelope.key] = event_id
        self.counted += 1
        return RECEIPT


RECEIPT = Receipt()


class Lateness:
    """How late a tick came at most.

    :param clock: IReactorTime.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._before: float | None = None
        self.worst = 0.0

    def tick(self) -> None:
        """To be called every TICK_SECONDS."""
        now = self._clock.seconds()
        if self._before is not None:
            self.worst = max(self.worst, now - self._before - TICK_SECONDS)
        self._before = now

    def take(self) -> float:
        """The worst lateness since the last call, in seconds."""
        self.tick()
        worst, self.worst = self.worst, 0.0
        return worst


class Observations(Resource):
    """`GET /`: what was seen; lateness since the last call."""

    isLeaf = True

    def __init__(self, sinks: list[CountingSink], lateness: Lateness) -> None:
        Resource.__init__(self)
        self._sinks = sinks
        self._lateness = lateness

    def render_GET(self, request: Any) -> bytes:
        """Answer as JSON."""
        request.setHeader(b"content-type", b"application/json")
        seen = {
            "counted": sum(sink.counted for sink in self._sinks),
            "disorder": sum(sink.disorder for sink in self._sinks),
            "late_ms": self._lateness.take() * 1000,
        }
        return json.dumps(seen).encode()


def make_application() -> Any:
    """The gateway in terminator mode with its settings from the environment, and the observer."""
    from twisted.internet import reactor

    sinks: list[CountingSink] = []

    def counting_sink(settings: Any, *_: object) -> list[CountingSink]:
        sinks.append(CountingSink([settings.webhook.secret]))
        return sinks[-1:]

    vars(tap)["SINKS"] = {"webhook": counting_sink}
    options: Any = vars(tap)["Options"]()
    options.parseOptions(["--mode", "terminator"])
    application = Application("observed ws-gateway")
    tap.makeService(options).setServiceParent(application)
    lateness = Lateness(reactor)
    observer = Site(Observations(sinks, lateness))
    port = int(os.environ["BENCH_OBSERVER_PORT"])
    TCPServer(port, observer, interface="127.0.0.1").setServiceParent(application)
    TimerService(TICK_SECONDS, lateness.tick).setServiceParent(application)
    return application
