"""One suite for everything that hands out instruments: what a component counts, both must be able to say."""

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ws_gateway.interfaces import ICounter, IHistogram, IMetrics
from ws_gateway.ops.metrics import PrometheusMetrics
from ws_gateway.testing.metrics import FakeMetrics


def metrics_tests(make: Callable[[], tuple[IMetrics, Callable[..., float]]]) -> type[SynchronousTestCase]:
    """The suite that every IMetrics passes.

    :param make: gives a new one, and a way to read a counter or a gauge by name and labels.
    """

    class MetricsTests(SynchronousTestCase):
        """What every IMetrics promises."""

        def setUp(self):
            self.metrics, self.read = make()

        def test_provides(self):
            """It and its instruments provide their interfaces."""
            self.assertTrue(verifyObject(IMetrics, self.metrics))
            self.assertTrue(verifyObject(ICounter, self.metrics.counter("a_total", "A.")))
            self.assertTrue(verifyObject(IHistogram, self.metrics.histogram("b", "B.", [1.0])))

        def test_counter(self):
            """It is there at zero and only grows."""
            counter = self.metrics.counter("a_total", "A.", {"reason": "missing"})
            self.assertEqual(self.read("a_total", reason="missing"), 0)
            counter.inc()
            counter.inc(2)
            self.assertEqual(self.read("a_total", reason="missing"), 3)
            self.assertRaises(ValueError, counter.inc, -1)

        def test_the_same(self):
            """The same name and labels are the same instrument, other labels another."""
            labels = {"x": "1", "y": "2"}
            self.metrics.counter("a_total", "A.", labels).inc()
            self.metrics.counter("a_total", "A.", dict(reversed(labels.items()))).inc()
            self.metrics.counter("a_total", "A.", {"x": "1", "y": "other"})
            self.assertEqual(self.read("a_total", x="1", y="2"), 2)
            self.assertEqual(self.read("a_total", x="1", y="other"), 0)

        def test_gauge(self):
            """It is read when somebody looks; it has one reader."""
            values = [1.0]
            self.metrics.gauge("g", "G.", lambda: values[0], {"sink": "webhook"})
            values[0] = 5.0
            self.assertEqual(self.read("g", sink="webhook"), 5.0)
            self.assertRaises(ValueError, self.metrics.gauge, "g", "G.", float, {"sink": "webhook"})

        def test_one_meaning(self):
            """A name has one kind, one documentation and one set of labels."""
            self.metrics.counter("a_total", "A.", {"x": "1"})
            self.assertRaises(ValueError, self.metrics.counter, "a_total", "A.")
            self.assertRaises(ValueError, self.metrics.counter, "a_total", "Another.", {"x": "1"})
            self.assertRaises(ValueError, self.metrics.gauge, "a_total", "A.", float, {"x": "1"})
            self.assertRaises(ValueError, self.metrics.counter, "without_the_ending", "A.")

        def test_histogram(self):
            """It takes any value."""
            histogram = self.metrics.histogram("h", "H.", [0.1, 1.0], {"sink": "webhook"})
            self.assertIsNone(histogram.observe(0.5))
            self.assertIsNone(histogram.observe(100))

    return MetricsTests


def _prometheus() -> tuple[IMetrics, Callable[..., float]]:
    metrics = PrometheusMetrics("1.2.3")

    def read(name: str, **labels: str) -> float:
        text = ",".join(f'{key}="{value}"' for key, value in sorted(labels.items()))
        start = f"{name}{{{text}}} "
        [line] = [line for line in metrics.render(None)[0].decode().splitlines() if line.startswith(start)]
        return float(line.removeprefix(start))

    return metrics, read


def _fake() -> tuple[IMetrics, Callable[..., float]]:
    metrics = FakeMetrics()
    return metrics, metrics.value


class PrometheusTests(metrics_tests(_prometheus)):
    """Prometheus."""


class FakeTests(metrics_tests(_fake)):
    """The fake."""
