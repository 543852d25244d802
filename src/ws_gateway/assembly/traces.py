"""Puts tracing together: the part of the composition root that needs an extra.

Without `TRACING=1` nothing of OpenTelemetry is imported.
"""

from typing import Any

from twisted.application.service import IService

from ws_gateway import __version__
from ws_gateway.config import Settings
from ws_gateway.domain.spans import UNTRACED
from ws_gateway.errors import ConfigError
from ws_gateway.interfaces import IMetrics, ITracer

__all__ = ["build_tracing", "judge_tracing"]


def judge_tracing(settings: Settings) -> None:
    """See that tracing, where it is wanted, can be built.

    :raises ConfigError: OpenTelemetry is not installed.
    """
    if not settings.tracing.enabled:
        return
    try:
        import ws_gateway.ops.tracing  # noqa: F401  # only whether it is there
    except ImportError as error:
        what = f"this needs the extra otel: pip install 'ws-gateway[otel]' ({error})"
        raise ConfigError([f"TRACING='1': {what}"]) from None


def build_tracing(
    settings: Settings, reactor: Any, node_id: str, metrics: IMetrics
) -> tuple[ITracer, IService | None]:
    """Build it.

    :returns: what begins spans, and the service that sends them where there are any.
    """
    metrics.counter("trace_spans_exported_total", "Spans that the collector took.")
    if not settings.tracing.enabled:
        return UNTRACED, None
    from ws_gateway.ops.tracing import Tracing, otlp_exporter

    tracing = Tracing(reactor, otlp_exporter, settings.tracing.ratio, node_id, __version__, metrics)
    return tracing, tracing
