"""The fake metrics are as strict as real ones."""

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ws_gateway.interfaces import ICounter, IHistogram, IMetrics
from ws_gateway.testing.metrics import FakeMetrics


class FakeMetricsTests(SynchronousTestCase):
    """What a test reads, and what a component may not do."""

    def setUp(self) -> None:
        self.metrics = FakeMetrics()

    def test_interfaces(self) -> None:
        """The fakes provide what they stand for."""
        verifyObject(IMetrics, self.metrics)
        verifyObject(ICounter, self.metrics.counter("a_total", "A."))
        verifyObject(IHistogram, self.metrics.histogram("h", "H.", (1, 2)))

    def test_same_instrument(self) -> None:
        """The same name and labels give the same instrument; other labels another one."""
        one = self.metrics.counter("a_total", "A.", {"sink": "x"})
        self.assertIs(self.metrics.counter("a_total", "A.", {"sink": "x"}), one)
        self.assertIsNot(self.metrics.counter("a_total", "A.", {"sink": "y"}), one)

    def test_values(self) -> None:
        """Counters, gauges and histograms say what they were told."""
        self.metrics.counter("a_total", "A.", {"sink": "x"}).inc()
        self.metrics.counter("a_total", "A.", {"sink": "y"}).inc(2)
        self.metrics.gauge("g", "G.", lambda: 7.0)
        self.metrics.histogram("h", "H.", (1,)).observe(0.5)
        self.assertEqual(self.metrics.value("a_total", sink="y"), 2)
        self.assertEqual(self.metrics.total("a_total"), 3)
        self.assertEqual(self.metrics.value("g"), 7.0)
        self.assertEqual(self.metrics.observed("h"), [0.5])
        self.assertEqual(self.metrics.names, {"a_total", "g", "h"})

    def test_unknown(self) -> None:
        """An instrument that nobody made does not read as zero."""
        for read in (self.metrics.value, self.metrics.total, self.metrics.observed):
            with self.assertRaises(KeyError):
                read("a_total")

    def test_strict(self) -> None:
        """Bad names, changing descriptions, shrinking counters and two readers of a gauge are errors."""
        self.metrics.counter("a_total", "A.", {"sink": "x"})
        self.metrics.gauge("g", "G.", lambda: 0.0)
        for mistake in (
            lambda: self.metrics.counter("a", "A."),
            lambda: self.metrics.counter("a_total", "Another.", {"sink": "x"}),
            lambda: self.metrics.counter("a_total", "A.", {"other": "x"}),
            lambda: self.metrics.histogram("a_total", "A.", (1,), {"sink": "x"}),
            lambda: self.metrics.gauge("g", "G.", lambda: 1.0),
            lambda: self.metrics.counter("a_total", "A.", {"sink": "x"}).inc(-1),
        ):
            with self.assertRaises(ValueError):
                mistake()
