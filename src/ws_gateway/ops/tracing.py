"""Spans for OpenTelemetry, the extra `otel`: the only module that knows its packages.

Spans leave in batches as OTLP over HTTP, from a thread of OpenTelemetry's. Where they go is told by the
variables that the field knows (`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS`,
`OTEL_SERVICE_NAME`, ..), which OpenTelemetry reads for itself. Whether a trace is recorded is decided where
it begins: a context that comes with a frame or a call has been decided about, and is obeyed.
"""

from collections.abc import Callable, Sequence
from threading import Thread
from typing import Any

from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import SpanKind as Kind
from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ws_gateway.domain.spans import SpanKind
from ws_gateway.interfaces import ICounter, IMetrics, ISpan, ITracer

__all__ = ["Tracing", "otlp_exporter"]

_log = Logger()

FLUSH_SECONDS = 5.0
"""How long a stop waits for the last spans to leave."""

_SCOPE = "ws_gateway"
_KINDS = {SpanKind.SERVER: Kind.SERVER, SpanKind.CLIENT: Kind.CLIENT}
_NOWHERE = Context()


def otlp_exporter() -> SpanExporter:
    """What sends spans to a collector; the environment says where it is."""
    return OTLPSpanExporter()


@implementer(ISpan)
class _Span:
    """A span of OpenTelemetry's, recorded or not."""

    __slots__ = ("_span", "traceparent")

    def __init__(self, span: Span) -> None:
        self._span = span
        context = span.get_span_context()
        self.traceparent = _written(context) if context.is_valid else None

    def note(self, name: str, value: str | int) -> None:
        self._span.set_attribute(name, value)

    def end(self, error: str = "") -> None:
        if error:
            self._span.set_attribute("error.type", error)
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()


class _Exporter(SpanExporter):
    """What the thread sends with: made at the start, shut down once, and counting what the collector took."""

    def __init__(self, make: Callable[[], SpanExporter], exported: ICounter) -> None:
        self._make = make
        self._exported = exported
        self._open: SpanExporter | None = None

    def open(self) -> None:
        """Begin."""
        self._open = self._make()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        exporter = self._open
        if exporter is None:
            return SpanExportResult.FAILURE
        result = exporter.export(spans)
        if result is SpanExportResult.SUCCESS:
            self._exported.inc(len(spans))
        return result

    def shutdown(self) -> None:
        exporter, self._open = self._open, None
        if exporter is not None:
            exporter.shutdown()


@implementer(ITracer)
class Tracing(Service):
    """A tracer and the service that sends what it records.

    Nothing runs before startService(): `twistd` forks in between.

    :param reactor: IReactorTime and IReactorFromThreads.
    :param exporter: makes what takes the spans; called once, when the service starts.
    :param ratio: the share of new traces that are recorded, 0 to 1.
    :param node_id: names this node in the spans.
    """

    name = "tracing"

    def __init__(
        self,
        reactor: Any,
        exporter: Callable[[], SpanExporter],
        ratio: float,
        node_id: str,
        version: str,
        metrics: IMetrics,
    ) -> None:
        self._reactor = reactor
        exported = metrics.counter("trace_spans_exported_total", "Spans that the collector took.")
        self._exporter = _Exporter(exporter, exported)
        resource = {"service.name": "ws-gateway", "service.version": version, "service.instance.id": node_id}
        self._provider = TracerProvider(
            ParentBased(TraceIdRatioBased(ratio)),
            # What the environment says about us comes last, and wins.
            Resource.create().merge(Resource(resource)).merge(OTELResourceDetector().detect()),
            shutdown_on_exit=False,
        )
        self._tracer = self._provider.get_tracer(_SCOPE, version)

    def begin(self, name: str, kind: SpanKind, parent: str | None) -> ISpan:
        """See ITracer."""
        context = _NOWHERE if parent is None else _remote(parent)
        return _Span(self._tracer.start_span(name, context, _KINDS[kind]))

    def startService(self) -> None:
        """Begin sending."""
        super().startService()  # type: ignore[no-untyped-call]
        self._exporter.open()
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))

    def stopService(self) -> Deferred[None]:
        """Send what is left.

        :returns Deferred[None]: when it has left, or there was no more time; it does not fail.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        sent = self._in_thread(self._provider.shutdown)
        sent.addTimeout(FLUSH_SECONDS, self._reactor)
        return sent.addErrback(self._give_up)

    def _in_thread(self, call: Callable[[], None]) -> Deferred[None]:
        """Run something that blocks. Not in the reactor's pool: its end would wait for this one's."""
        done: Deferred[None] = Deferred()

        def run() -> None:
            try:
                call()
            except Exception:
                self._reactor.callFromThread(done.errback, Failure())
            else:
                self._reactor.callFromThread(done.callback, None)

        Thread(target=run, name="last spans", daemon=True).start()
        return done

    def _give_up(self, failure: Failure) -> None:
        if failure.check(TimeoutError, CancelledError):
            _log.warn("the last spans could not be sent in time")
            self._exporter.shutdown()  # it stops trying
        else:
            _log.failure("the last spans could not be sent", failure)


def _remote(traceparent: str) -> Context:
    """The context that a valid traceparent stands for."""
    _, trace_id, parent_id, flags = traceparent.split("-")[:4]
    context = SpanContext(int(trace_id, 16), int(parent_id, 16), True, TraceFlags(int(flags, 16)))
    return set_span_in_context(NonRecordingSpan(context), _NOWHERE)


def _written(context: SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
