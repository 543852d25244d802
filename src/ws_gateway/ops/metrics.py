"""Metrics for Prometheus, without a global registry.

    metrics = PrometheusMetrics(version="1.2.3")
    refused = metrics.counter("ws_refused_total", "Handshakes refused.", {"reason": "missing"})
    refused.inc()
    body, content_type = metrics.render(accept)

The instruments are prometheus_client's own, since each is asked for once and used often.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, PlatformCollector, ProcessCollector
from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from twisted.logger import Logger
from zope.interface import classImplements, implementer

from ws_gateway.interfaces import ICounter, IHistogram, IMetrics

__all__ = ["PrometheusMetrics"]

_log = Logger()

classImplements(Counter, ICounter)
classImplements(Histogram, IHistogram)

_TEXT = "text/plain; version=0.0.4; charset=utf-8"
_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


@implementer(IMetrics)
class PrometheusMetrics:
    """Hands out instruments and writes down what they say.

    :param version: of the gateway, for `ws_gateway_info`.
    :param registry: where collectors are; a new one if not given.
    """

    def __init__(self, version: str, registry: CollectorRegistry | None = None) -> None:
        self._registry = CollectorRegistry() if registry is None else registry
        self._instruments = _Instruments(version)
        self._registry.register(self._instruments)
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)

    def counter(self, name: str, documentation: str, labels: Mapping[str, str] | None = None) -> ICounter:
        if not name.endswith("_total"):
            raise ValueError(f"the counter {name} must end in _total")
        counter: ICounter = self._instruments.child(Counter, name, documentation, labels)
        return counter

    def gauge(
        self,
        name: str,
        documentation: str,
        read: Callable[[], float],
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._instruments.add_gauge(name, documentation, read, labels or {})

    def histogram(
        self,
        name: str,
        documentation: str,
        buckets: Sequence[float],
        labels: Mapping[str, str] | None = None,
    ) -> IHistogram:
        options = {"buckets": tuple(buckets)}
        histogram: IHistogram = self._instruments.child(Histogram, name, documentation, labels, **options)
        return histogram

    def total(self, name: str) -> float:
        """What a counter says now, over all its labels; 0 if nobody asked for it."""
        return self._instruments.total(name)

    def render(self, accept: str | None) -> tuple[bytes, str]:
        """Everything that can be said now.

        :param accept: the request's `Accept`; OpenMetrics is written only for who prefers it to plain text.
        :returns: the document and its content type.
        """
        if accept is not None and _prefers_openmetrics(accept):
            document: bytes = generate_openmetrics(self._registry)  # type: ignore[no-untyped-call]
            return document, _OPENMETRICS
        return generate_latest(self._registry), _TEXT


class _Instruments(Collector):
    """All that were asked for, as one collector.

    They are kept here and not in the registry so that nothing says when each series was created: these
    `_created` series double what is stored, and a counter's reset shows without them.
    """

    def __init__(self, version: str) -> None:
        self._version = version
        self._families: dict[str, Any] = {}
        self._described: dict[str, tuple[object, ...]] = {}
        self._gauges: dict[str, _Gauge] = {}

    def child(
        self,
        kind: type[Counter] | type[Histogram],
        name: str,
        documentation: str,
        labels: Mapping[str, str] | None,
        **options: Any,
    ) -> Any:
        """The instrument with these labels, made when it is asked for the first time."""
        names = tuple(sorted(labels or {}))
        self._describe(name, kind, documentation, names, tuple(options.items()))
        family = self._families.get(name)
        if family is None:
            family = self._families[name] = kind(name, documentation, names, registry=None, **options)
        return family.labels(**labels) if labels else family

    def add_gauge(
        self, name: str, documentation: str, read: Callable[[], float], labels: Mapping[str, str]
    ) -> None:
        """Remember whom to ask."""
        names = tuple(sorted(labels))
        self._describe(name, _Gauge, documentation, names)
        gauge = self._gauges.setdefault(name, _Gauge(name, documentation, names))
        gauge.add(tuple(labels[key] for key in names), read)

    def total(self, name: str) -> float:
        """The sum of a counter's children."""
        family = self._families.get(name)
        if family is None:
            return 0.0
        samples = (sample for metric in family.collect() for sample in metric.samples)
        return float(sum(sample.value for sample in samples if sample.name == name))

    def _describe(self, name: str, *description: object) -> None:
        if self._described.setdefault(name, description) != description:
            raise ValueError(f"the metric {name} was described in another way before")

    def collect(self) -> Iterable[Metric]:
        info = InfoMetricFamily("ws_gateway", "The gateway that says all this.")
        info.add_metric([], {"version": self._version})
        yield info
        for family in self._families.values():
            for metric in family.collect():
                metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
                yield metric
        for gauge in self._gauges.values():
            yield gauge.family()


class _Gauge:
    """The readers of all label sets of one gauge."""

    def __init__(self, name: str, documentation: str, label_names: tuple[str, ...]) -> None:
        self._name = name
        self._documentation = documentation
        self._label_names = label_names
        self._readers: dict[tuple[str, ...], Callable[[], float]] = {}

    def add(self, label_values: tuple[str, ...], read: Callable[[], float]) -> None:
        if label_values in self._readers:
            raise ValueError(f"the gauge {self._name} {label_values} has a reader already")
        self._readers[label_values] = read

    def family(self) -> Metric:
        family = GaugeMetricFamily(self._name, self._documentation, labels=self._label_names)
        for label_values, read in self._readers.items():
            try:
                value = float(read())
            except Exception:  # One broken reader must not silence all metrics.
                _log.failure("gauge {name} cannot be read", name=self._name)
            else:
                family.add_metric(label_values, value)
        return family


def _prefers_openmetrics(accept: str) -> bool:
    """Whether `Accept` names OpenMetrics, with no less weight than plain text."""
    weights = {"application/openmetrics-text": 0.0, "text/plain": 0.0}
    for element in accept.split(","):
        media_type, *parameters = (part.strip().lower() for part in element.split(";"))
        if media_type in weights:
            weights[media_type] = max(weights[media_type], _weight(parameters))
    return 0 < weights["application/openmetrics-text"] >= weights["text/plain"]


def _weight(parameters: Iterable[str]) -> float:
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip() == "q":
            try:
                return float(value)
            except ValueError:
                return 0.0
    return 1.0
