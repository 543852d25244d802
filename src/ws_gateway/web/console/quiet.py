"""What stands around a console's connection instead of the users' world: nothing is told, nothing counted."""

from collections.abc import Callable, Mapping, Sequence

from zope.interface import implementer

from ws_gateway.domain.messages import Event
from ws_gateway.interfaces import ICounter, IEventEmitter, IHistogram, IMetrics

__all__ = ["Uncounted", "Untold"]


@implementer(IEventEmitter)
class Untold:
    """The backend hears nothing of a console: neither that it came, nor what it says."""

    def emit(self, event: Event, accepted: Callable[[], None] | None = None) -> None:
        """See IEventEmitter."""
        if accepted is not None:
            accepted()


@implementer(ICounter, IHistogram)
class _Nothing:
    def inc(self, amount: float = 1) -> None:
        """See ICounter."""

    def observe(self, amount: float) -> None:
        """See IHistogram."""


_NOTHING = _Nothing()


@implementer(IMetrics)
class Uncounted:
    """The metrics tell of users' connections; a console is none."""

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
