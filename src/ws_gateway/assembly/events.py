"""The street of events: which sinks there are, which mode feeds them, and the pipeline before them."""

import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ws_gateway import __version__
from ws_gateway.assembly.brokers import BROKER_LIMITS, BrokerSide
from ws_gateway.assembly.reloadable import webhook_secrets
from ws_gateway.config import Settings
from ws_gateway.domain import codec
from ws_gateway.domain.messages import EventType
from ws_gateway.domain.retry import Backoff
from ws_gateway.events.ids import EventIds
from ws_gateway.events.limits import PipelineLimits
from ws_gateway.events.pipeline import EventPipeline
from ws_gateway.events.recorder import EventRecorder
from ws_gateway.events.webhook import WebhookMetrics, webhook_sink
from ws_gateway.interfaces import IEventSink, IMetrics, IStreamSink, ITracer

__all__ = ["MODES", "SINKS", "Sink", "SinkMaker", "build_pipeline", "unix_ms"]

Sink = IEventSink | IStreamSink


def _webhook(settings: Settings, reactor: Any, metrics: IMetrics, tracer: ITracer) -> IEventSink:
    webhook = settings.webhook
    assert webhook.url is not None  # the settings were checked for this mode
    return webhook_sink(
        reactor,
        webhook.url,
        webhook_secrets(settings),
        time.time,
        webhook.timeout_seconds,
        webhook.concurrency,
        webhook.connection_max_age_seconds,
        f"ws-gateway/{__version__}",
        metrics,
        tracer=tracer,
    )


MODES: Mapping[str, tuple[str, ...]] = {
    "webhook": ("webhook",),
    "broker": ("broker",),
    "both": ("webhook", "broker"),
    "none": (),
}
"""Where each `EVENTS_MODE` sends events."""

SinkMaker = Callable[[Settings, Sequence[BrokerSide], Any, IMetrics, ITracer], Sequence[Sink]]

SINKS: Mapping[str, SinkMaker] = {
    "webhook": lambda settings, brokers, reactor, metrics, tracer: [
        _webhook(settings, reactor, metrics, tracer)
    ],
    "broker": lambda settings, brokers, reactor, metrics, tracer: [side.sink for side in brokers],
}
"""The sinks of each of these places."""


def unix_ms() -> int:
    """Unix milliseconds of now."""
    return time.time_ns() // 1_000_000


def build_pipeline(
    settings: Settings,
    sinks: Sequence[Sink],
    reactor: Any,
    metrics: IMetrics,
    strained: Callable[[bool], None] | None = None,
) -> EventPipeline:
    """The pipeline in front of these sinks. Counters whose names are promised in every mode exist, too.

    :param strained: see EventPipeline.
    """
    _promise(metrics)
    events, webhook = settings.events, settings.webhook

    return EventPipeline(
        sinks,
        codec.encode_event,
        # Begun by the system, then without a call of it for each event: event ids are no secrets.
        EventIds(random.Random().getrandbits),
        reactor,
        unix_ms,
        random.random,
        metrics,
        PipelineLimits(
            max_bytes=events.queue_max_bytes,
            max_per_key=events.queue_max_per_key,
            concurrency=webhook.concurrency,
            attempts=webhook.retry_attempts,
            backoff=Backoff(webhook.retry_base_seconds, webhook.retry_max_seconds),
        ),
        frozenset(EventType(name) for name in events.types),
        EventRecorder(settings.ops.recent_events) if settings.ops.recent_events else None,
        sink_limits=BROKER_LIMITS,
        strained=strained,
    )


def _promise(metrics: IMetrics) -> None:
    """Counters whose names are promised in every mode (contract section 6), also where nothing counts."""
    WebhookMetrics.of(metrics)
    metrics.counter("broker_publish_total", "Events that a broker took.")
