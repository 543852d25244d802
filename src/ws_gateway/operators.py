"""Puts together what operators get to see: the part of the composition root that looks at all the others."""

import time
from collections.abc import Sequence
from typing import Any

from ws_gateway import __version__
from ws_gateway.config import Settings
from ws_gateway.domain.registry import Registry
from ws_gateway.events.pipeline import EventPipeline
from ws_gateway.interfaces import IReadiness
from ws_gateway.ops.inspector import Inspector, NodeFacts
from ws_gateway.ops.metrics import PrometheusMetrics
from ws_gateway.ops.rates import RateMeter
from ws_gateway.websocket.admit import Admission

__all__ = ["COUNTED", "build_inspector"]

COUNTED = {
    "connects": "ws_connections_total",
    "disconnects": "ws_disconnects_total",
    "refused": "ws_refused_total",
    "messages": "ws_messages_total",
    "publications": "publish_total",
    "deliveries": "publish_deliveries_total",
    "events": "event_delivered_total",
    "dropped": "event_dropped_total",
    "dead_letters": "event_dead_letters_total",
}
"""What each rate of an overview is read from."""


def build_inspector(
    settings: Settings,
    node_id: str,
    reactor: Any,
    registry: Registry,
    pipeline: EventPipeline,
    admission: Admission,
    readiness: Sequence[IReadiness],
    metrics: PrometheusMetrics,
) -> tuple[Inspector, RateMeter]:
    """Build it.

    :returns: the inspector, and the service that reads the counters for it.
    """

    def reading(name: str) -> Any:
        return lambda: metrics.total(name)

    meter = RateMeter(reactor, {rate: reading(counter) for rate, counter in COUNTED.items()})
    inspector = Inspector(
        NodeFacts(node_id, __version__, settings.node.mode, settings.events.mode),
        registry,
        pipeline,
        meter.rates,
        lambda: admission.leaving,
        readiness,
        time.monotonic,
        time.time,
    )
    return inspector, meter
