"""Spans, against OpenTelemetry's own exporter in memory: contexts, sampling, the way out."""

import os
from threading import Event
from typing import Any
from unittest.mock import patch

from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind as Kind
from opentelemetry.trace import StatusCode
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ws_gateway.domain.spans import UNTRACED, SpanKind
from ws_gateway.domain.trace import valid_traceparent
from ws_gateway.interfaces import ISpan, ITracer
from ws_gateway.ops.tracing import FLUSH_SECONDS, Tracing
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.tracing import FakeTracer

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = f"00-{TRACE_ID}-b7ad6b7169203331-01"
UNSAMPLED = f"00-{TRACE_ID}-b7ad6b7169203331-00"


@implementer(IReactorFromThreads)
class ThreadedClock(Clock):
    """A clock of the test's; calls from threads go through the real reactor."""

    def callFromThread(self, call: Any, *args: Any) -> None:
        """See IReactorFromThreads."""
        reactor.callFromThread(call, *args)  # type: ignore[attr-defined]


class StuckExporter(SpanExporter):
    """A collector that does not answer until somebody gives it up."""

    def __init__(self) -> None:
        self.given_up = Event()

    def export(self, spans: Any) -> SpanExportResult:
        self.given_up.wait()
        return SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.given_up.set()


class BrokenExporter(SpanExporter):
    """One that cannot be shut down."""

    def export(self, spans: Any) -> SpanExportResult:
        return SpanExportResult.SUCCESS

    def shutdown(self) -> None:
        raise OSError("broken")


class TracingTestCase(TestCase):
    def setUp(self) -> None:
        self.clock = ThreadedClock()
        self.metrics = FakeMetrics()
        self.exporter = InMemorySpanExporter()

    def make(self, ratio: float = 1, exporter: SpanExporter | None = None) -> Tracing:
        """One that runs."""
        tracing = Tracing(self.clock, lambda: exporter or self.exporter, ratio, "node-1", "9.9", self.metrics)
        tracing.startService()
        return tracing


class SpanTests(TracingTestCase):
    async def test_exported(self) -> None:
        """A span leaves with its name, kind, notes and parent, under the name of this node."""
        tracing = self.make()
        span = tracing.begin("connect", SpanKind.SERVER, SAMPLED)
        span.note("ws.connections", 3)
        span.end()
        await tracing.stopService()
        (out,) = self.exporter.get_finished_spans()
        self.assertEqual(
            (out.name, out.kind, out.status.status_code), ("connect", Kind.SERVER, StatusCode.UNSET)
        )
        self.assertEqual(dict(out.attributes or {}), {"ws.connections": 3})
        self.assertEqual(f"{out.context.trace_id:032x}", TRACE_ID)
        assert out.parent is not None
        self.assertEqual((f"{out.parent.span_id:016x}", out.parent.is_remote), ("b7ad6b7169203331", True))
        self.assertEqual(span.traceparent, f"00-{TRACE_ID}-{out.context.span_id:016x}-01")
        about = out.resource.attributes
        self.assertEqual(about["service.name"], "ws-gateway")
        self.assertEqual((about["service.version"], about["service.instance.id"]), ("9.9", "node-1"))
        self.assertEqual(self.metrics.value("trace_spans_exported_total"), 1)

    async def test_error(self) -> None:
        """What went wrong is its status and `error.type`."""
        tracing = self.make()
        tracing.begin("webhook connected", SpanKind.CLIENT, None).end("TargetDown")
        await tracing.stopService()
        (out,) = self.exporter.get_finished_spans()
        self.assertEqual((out.kind, out.status.status_code), (Kind.CLIENT, StatusCode.ERROR))
        self.assertEqual(dict(out.attributes or {}), {"error.type": "TargetDown"})

    async def test_new_trace(self) -> None:
        """Without a parent each span begins a trace of its own, and its traceparent is valid."""
        tracing = self.make()
        written = [tracing.begin("connect", SpanKind.SERVER, None).traceparent for _ in range(2)]
        self.assertEqual([valid_traceparent(one) for one in written], written)
        self.assertEqual(len({one.split("-")[1] for one in written if one}), 2)
        await tracing.stopService()

    async def test_sampling(self) -> None:
        """The ratio decides about new traces; a context that is brought along is obeyed, either way."""
        for ratio, parent, recorded in (
            (0, None, False),
            (1, None, True),
            (0, SAMPLED, True),
            (1, UNSAMPLED, False),
        ):
            self.exporter = InMemorySpanExporter()
            tracing = self.make(ratio)
            span = tracing.begin("connect", SpanKind.SERVER, parent)
            span.note("a", "b")
            span.end("error")
            await tracing.stopService()
            self.assertEqual(bool(self.exporter.get_finished_spans()), recorded, (ratio, parent))
            # Whoever is called is told in any case, so that it decides likewise.
            assert span.traceparent is not None
            self.assertEqual(int(span.traceparent.split("-")[3], 16) & 1, recorded)

    async def test_later_version(self) -> None:
        """A traceparent of a version that is to come counts by the parts that we know."""
        tracing = self.make()
        span = tracing.begin("connect", SpanKind.SERVER, f"cc-{TRACE_ID}-b7ad6b7169203331-01-what")
        assert span.traceparent is not None
        self.assertTrue(span.traceparent.startswith(f"00-{TRACE_ID}-"))
        await tracing.stopService()

    async def test_environment(self) -> None:
        """Names of the environment win; `OTEL_SDK_DISABLED` leaves nothing but the parent's context."""
        names = {"OTEL_SERVICE_NAME": "edge", "OTEL_RESOURCE_ATTRIBUTES": "service.instance.id=7"}
        self.enterContext(patch.dict(os.environ, names))
        tracing = self.make()
        tracing.begin("connect", SpanKind.SERVER, None).end()
        await tracing.stopService()
        about = self.exporter.get_finished_spans()[0].resource.attributes
        self.assertEqual((about["service.name"], about["service.instance.id"]), ("edge", "7"))
        self.enterContext(patch.dict(os.environ, {"OTEL_SDK_DISABLED": "true"}))
        tracing = self.make()
        self.assertIsNone(tracing.begin("connect", SpanKind.SERVER, None).traceparent)
        self.assertEqual(tracing.begin("connect", SpanKind.SERVER, SAMPLED).traceparent, SAMPLED)
        await tracing.stopService()

    async def test_interfaces(self) -> None:
        """Every tracer and every span is one."""
        tracing = self.make()
        tracers: list[ITracer] = [tracing, FakeTracer(), UNTRACED]
        for tracer in tracers:
            verifyObject(ITracer, tracer)
            verifyObject(ISpan, tracer.begin("connect", SpanKind.SERVER, None))
        await tracing.stopService()

    def test_untraced(self) -> None:
        """Where nothing is traced all spans are one that does nothing."""
        span = UNTRACED.begin("connect", SpanKind.SERVER, SAMPLED)
        span.note("a", 1)
        span.end("error")
        self.assertIs(UNTRACED.begin("publish", SpanKind.SERVER, None), span)
        self.assertIsNone(span.traceparent)


class StopTests(TracingTestCase):
    async def test_stuck(self) -> None:
        """A collector that hangs holds up a stop for some seconds, and is given up then."""
        exporter = StuckExporter()
        tracing = self.make(exporter=exporter)
        tracing.begin("connect", SpanKind.SERVER, None).end()
        stopped: Deferred[None] = tracing.stopService()
        self.assertNoResult(stopped)
        self.clock.advance(FLUSH_SECONDS)
        self.assertIsNone(self.successResultOf(stopped))
        self.assertTrue(exporter.given_up.is_set())
        self.assertEqual(self.metrics.value("trace_spans_exported_total"), 0)

    async def test_cancelled(self) -> None:
        """So it is when the stop as a whole has no more time."""
        exporter = StuckExporter()
        tracing = self.make(exporter=exporter)
        tracing.begin("connect", SpanKind.SERVER, None).end()
        stopped = tracing.stopService()
        stopped.cancel()
        self.assertIsNone(self.successResultOf(stopped))
        self.assertTrue(exporter.given_up.is_set())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_broken(self) -> None:
        """An exporter that fails at the end is told in the log and ends nothing else."""
        await self.make(exporter=BrokenExporter()).stopService()
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    async def test_nothing_before_the_start(self) -> None:
        """Neither exporter nor thread exists before the service starts: `twistd` may fork until then."""
        made: list[SpanExporter] = []

        def make() -> SpanExporter:
            made.append(self.exporter)
            return self.exporter

        tracing = Tracing(self.clock, make, 1, "node-1", "9.9", self.metrics)
        tracing.begin("connect", SpanKind.SERVER, None).end()
        self.assertEqual(made, [])
        tracing.startService()
        self.assertEqual(made, [self.exporter])
        await tracing.stopService()
        self.assertEqual(self.exporter.get_finished_spans(), ())
