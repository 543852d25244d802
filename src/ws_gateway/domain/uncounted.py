"""Metrics for whoever has nobody to show them to: a console, a consumer."""

from collections.abc import Callable, Mapping, Sequence

from zope.interface import implementer

from ws_gateway.interfaces import ICounter, IHistogram, IMetrics

__all__ = ["Uncounted"]


@implementer(ICounter, IHistogram)
class _Nothing:
    def inc(self, amount: float = 1) -> None:
        """See ICounter."""

    def observe(self, amount: float) -> None:
        """See IHistogram."""


_NOTHING = _Nothing()


@implementer(IMetrics)
class Uncounted:
    """Instruments that keep nothing."""

    def counter(self, name: str, documentation: str, labels: Mapping[str, str] | None = None) -> ICounter:
        """See IMetrics."""
        return _NOTHING

    def gauge(
        self,
        name: str,
        documentation: str,
        read: Callable[[], float],
        labels: Mapping[str, str] | None = None,
    ) -> None:
        """See IMetrics."""

    def histogram(
        self,
        name: str,
        documentation: str,
        buckets: Sequence[float],
        labels: Mapping[str, str] | None = None,
    ) -> IHistogram:
        """See IMetrics."""
        return _NOTHING
