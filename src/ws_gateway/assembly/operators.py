"""Puts together what operators get to see: the part of the composition root that looks at all the others."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from ws_gateway import __version__
from ws_gateway.config import Settings
from ws_gateway.domain.registry import Registry
from ws_gateway.errors import ConfigError
from ws_gateway.events.pipeline import EventPipeline
from ws_gateway.interfaces import IInspector, IReadiness
from ws_gateway.ops.inspector import Inspector, NodeFacts
from ws_gateway.ops.metrics import PrometheusMetrics
from ws_gateway.ops.rates import RateMeter
from ws_gateway.ops.verbs import Operator, Verbs
from ws_gateway.websocket.admit import Admission

__all__ = ["COUNTED", "build_inspector", "build_manhole", "judge_manhole"]

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
        NodeFacts(node_id, __version__, settings.node.mode, settings.events_mode),
        registry,
        pipeline,
        meter.rates,
        lambda: admission.leaving,
        readiness,
        time.monotonic,
        time.time,
    )
    return inspector, meter


def judge_manhole(settings: Settings, read_text: Callable[[str], str]) -> None:
    """See that a manhole that is wanted can be built.

    :raises ConfigError: one line for each file that does not hold what it should.
    """
    ops = settings.ops
    if ops.manhole is None:
        return
    try:
        from ws_gateway.ops.ssh_keys import BadKeys, authorized_keys, host_key
    except ImportError as error:
        what = f"this needs the extra manhole: pip install 'ws-gateway[manhole]' ({error})"
        raise ConfigError([f"MANHOLE_LISTEN={ops.manhole!r}: {what}"]) from None
    problems = []
    for name, path, judge in (
        ("MANHOLE_AUTHORIZED_KEYS", ops.manhole_authorized_keys, authorized_keys),
        ("MANHOLE_HOST_KEY", ops.manhole_host_key, host_key),
    ):
        assert path is not None  # the settings were checked
        try:
            judge(path, read_text)
        except BadKeys as error:
            problems.append(f"{name}={path!r}: {error}")
    if problems:
        raise ConfigError(problems)


def build_manhole(
    settings: Settings, reactor: Any, inspector: IInspector, read_text: Callable[[str], str]
) -> Any:
    """Build the factory of the manhole's port.

    :returns: a ManholeFactory; None where there is no manhole, and then nothing of Conch is imported.
    """
    ops = settings.ops
    keys_path, key_path = ops.manhole_authorized_keys, ops.manhole_host_key
    if ops.manhole is None or keys_path is None or key_path is None:
        return None
    from ws_gateway.ops.manhole import ManholeFactory
    from ws_gateway.ops.ssh_keys import AuthorizedKey, authorized_keys, host_key

    def keys() -> list[AuthorizedKey]:
        return authorized_keys(keys_path, read_text)

    def verbs(operator: Operator) -> Callable[[str], list[str] | None]:
        return Verbs(inspector, ops.manhole_write, operator).answer

    return ManholeFactory(reactor, host_key(key_path, read_text), keys, verbs)
