"""How Python's garbage collector runs here: rarely, counted and timed.

A full collection looks at every object and costs about 12 us for each connection, in silence: a quarter of
a second at 20,000. Closed connections hold no cycles, so reference counts free them and the collector has
little to find. What exists after the start lives as long as the process and is taken out of its sight.
"""

import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

from twisted.application.service import Service

from ws_gateway.interfaces import IMetrics

__all__ = ["CollectionService"]

THRESHOLDS = (20_000, 50, 100)
"""New containers until generation 0 is collected, and collections of one generation until the next one is."""

_BUCKETS = (0.0001, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0)


class CollectionService(Service):
    """Sets the policy while it runs and puts the former one back.

    :param now: monotonic seconds.
    """

    name = "collection"

    def __init__(self, metrics: IMetrics, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._began = 0.0
        self._before = gc.get_threshold()
        self._counters = [
            metrics.counter("gc_collections_total", "Garbage collections.", {"generation": str(generation)})
            for generation in range(3)
        ]
        self._seconds = metrics.histogram("gc_seconds", "How long a garbage collection took.", _BUCKETS)

    def startService(self) -> None:
        """Collect once, hide what is left, collect rarely from now on."""
        super().startService()  # type: ignore[no-untyped-call]
        self._before = gc.get_threshold()
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(self._noted)

    def stopService(self) -> Any:
        """Put the former policy back."""
        if self._noted in gc.callbacks:
            gc.callbacks.remove(self._noted)
            gc.set_threshold(*self._before)
            gc.unfreeze()
        return super().stopService()  # type: ignore[no-untyped-call]

    def _noted(self, phase: str, info: Mapping[str, int]) -> None:
        if phase == "start":
            self._began = self._now()
        else:
            self._counters[info["generation"]].inc()
            self._seconds.observe(self._now() - self._began)
