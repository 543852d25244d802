"""Metrics that only remember, so that a test can read what a component counted.

metrics = FakeMetrics()
component = Component(metrics=metrics)
metrics.value("event_dropped_total", type="message_received")
"""

from collections.abc import Callable, Mapping, Sequence

from attrs import define, field
from zope.interface import implementer

from ws_gateway.interfaces import ICounter, IHistogram, IMetrics

__all__ = ["FakeCounter", "FakeHistogram", "FakeMetrics"]

_Key = tuple[str, frozenset[tuple[str, str]]]


def _key(name: str, labels: Mapping[str, str] | None) -> _Key:
    return name, frozenset((labels or {}).items())


@implementer(ICounter)
@define(eq=False)
class FakeCounter:
    """Counts.

    :ivar value: the sum so far.
    """

    value: float = 0

    def inc(self, amount: float = 1) -> None:
        if amount < 0:
            raise ValueError("a counter only grows")
        self.value += amount


@implementer(IHistogram)
@define(eq=False)
class FakeHistogram:
    """Keeps every value that it was given, in order."""

    buckets: Sequence[float]
    values: list[float] = field(factory=list)

    def observe(self, amount: float) -> None:
        self.values.append(amount)


@implementer(IMetrics)
class FakeMetrics:
    """Hands out fakes. Like the real thing it insists on one kind, one documentation and one set of label
    names for each metric name, and on counters that end in `_total`.
    """

    def __init__(self) -> None:
        self._described: dict[str, tuple[str, str, frozenset[str]]] = {}
        self._counters: dict[_Key, FakeCounter] = {}
        self._gauges: dict[_Key, Callable[[], float]] = {}
        self._histograms: dict[_Key, FakeHistogram] = {}

    def _describe(self, kind: str, name: str, documentation: str, labels: Mapping[str, str] | None) -> None:
        described = (kind, documentation, frozenset(labels or {}))
        if self._described.setdefault(name, described) != described:
            raise ValueError(f"{name} was described as {self._described[name]}, now as {described}")

    def counter(self, name: str, documentation: str, labels: Mapping[str, str] | None = None) -> FakeCounter:
        if not name.endswith("_total"):
            raise ValueError(f"the counter {name} must end in _total")
        self._describe("counter", name, documentation, labels)
        return self._counters.setdefault(_key(name, labels), FakeCounter())

    def gauge(
        self,
        name: str,
        documentation: str,
        read: Callable[[], float],
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._describe("gauge", name, documentation, labels)
        if _key(name, labels) in self._gauges:
            raise ValueError(f"the gauge {name} {labels or ''} has a reader already")
        self._gauges[_key(name, labels)] = read

    def histogram(
        self,
        name: str,
        documentation: str,
        buckets: Sequence[float],
        labels: Mapping[str, str] | None = None,
    ) -> FakeHistogram:
        self._describe("histogram", name, documentation, labels)
        return self._histograms.setdefault(_key(name, labels), FakeHistogram(tuple(buckets)))

    def value(self, name: str, **labels: str) -> float:
        """What a counter or a gauge says now.

        :raises KeyError: nobody asked for such an instrument: it would not exist at zero.
        """
        key = _key(name, labels)
        if key in self._counters:
            return self._counters[key].value
        return self._gauges[key]()

    def total(self, name: str) -> float:
        """The sum of a counter over all its labels.

        :raises KeyError: nobody asked for such a counter.
        """
        if name not in self._described:
            raise KeyError(name)
        return sum(counter.value for (found, _), counter in self._counters.items() if found == name)

    def observed(self, name: str, **labels: str) -> list[float]:
        """Every value that a histogram was given.

        :raises KeyError: nobody asked for such a histogram.
        """
        return self._histograms[_key(name, labels)].values

    @property
    def names(self) -> frozenset[str]:
        """The names of all instruments that exist."""
        return frozenset(self._described)
