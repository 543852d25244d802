"""Every stream sink keeps the promises of IStreamSink: the fake one and the real ones."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed

from ws_gateway.testing.stream_sinks import (
    FakeStreamSink,
    RunOutcome,
    stream_sink_contract_tests,
)


class FakeUnderTest:
    """The fake is its own target."""

    def __init__(self, at_once: bool) -> None:
        self.sink = FakeStreamSink(later=None if at_once else lambda call: reactor.callLater(0, call))

    def will(self, *outcomes: RunOutcome) -> None:
        self.sink.script(*outcomes)

    def held(self, stream: str) -> Deferred[list[bytes]]:
        return succeed([envelope.body for envelope in self.sink.streams[stream]])

    def recovered(self) -> Deferred[None]:
        return succeed(None)

    def tear_down(self) -> Deferred[None]:
        assert not self.sink.violations, self.sink.violations
        return succeed(None)


class FakeStreamSinkTests(
    stream_sink_contract_tests(lambda test: succeed(FakeUnderTest(at_once=False)))  # type: ignore[misc]
):
    """The fake stream sink, with runs side by side."""


class FakeAnsweringAtOnceTests(
    stream_sink_contract_tests(lambda test: succeed(FakeUnderTest(at_once=True)))  # type: ignore[misc]
):
    """The fake stream sink that answers within the call."""
