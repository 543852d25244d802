from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ws_gateway.interfaces import ICounter, IHistogram, IMetrics
from ws_gateway.ops.metrics import PrometheusMetrics


class PrometheusMetricsTests(SynchronousTestCase):
    """What Prometheus is told."""

    def setUp(self):
        self.metrics = PrometheusMetrics("1.2.3")

    def lines(self, accept=None):
        return self.metrics.render(accept)[0].decode().splitlines()

    def test_provides(self):
        """It and its instruments provide their interfaces."""
        self.assertTrue(verifyObject(IMetrics, self.metrics))
        self.assertTrue(verifyObject(ICounter, self.metrics.counter("a_total", "A.")))
        self.assertTrue(verifyObject(ICounter, self.metrics.counter("b_total", "B.", {"x": "1"})))
        self.assertTrue(verifyObject(IHistogram, self.metrics.histogram("c", "C.", [1.0])))

    def test_zero(self):
        """An instrument is there, at zero, before it is used first."""
        self.metrics.counter("publish_total", "Publications.")
        self.metrics.counter("ws_refused_total", "Refused.", {"reason": "missing"})
        self.assertIn("publish_total 0.0", self.lines())
        self.assertIn('ws_refused_total{reason="missing"} 0.0', self.lines())

    def test_counter(self):
        """A counter counts; asked for again it is the same one."""
        self.metrics.counter("ws_refused_total", "Refused.", {"reason": "missing", "at": "x"}).inc()
        self.metrics.counter("ws_refused_total", "Refused.", {"at": "x", "reason": "missing"}).inc(2)
        self.metrics.counter("ws_refused_total", "Refused.", {"reason": "full", "at": "x"})
        self.assertIn('ws_refused_total{at="x",reason="missing"} 3.0', self.lines())
        self.assertIn('ws_refused_total{at="x",reason="full"} 0.0', self.lines())
        self.assertEqual(self.lines().count("# TYPE ws_refused_total counter"), 1)

    def test_total(self):
        """A counter can be read, the sum over its labels; one that nobody asked for is at zero."""
        self.metrics.counter("publish_total", "Publications.").inc(4)
        for reason in ("missing", "full"):
            self.metrics.counter("ws_refused_total", "Refused.", {"reason": reason}).inc(3)
        self.assertEqual(self.metrics.total("publish_total"), 4)
        self.assertEqual(self.metrics.total("ws_refused_total"), 6)
        self.assertEqual(self.metrics.total("nobody_total"), 0)

    def test_names(self):
        """A counter ends in `_total`, and a name means one thing only."""
        self.assertRaises(ValueError, self.metrics.counter, "publish", "P.")
        self.metrics.counter("a_total", "A.")
        self.assertRaises(ValueError, self.metrics.counter, "a_total", "Another.")
        self.assertRaises(ValueError, self.metrics.counter, "a_total", "A.", {"x": "1"})
        self.assertRaises(ValueError, self.metrics.gauge, "a_total", "A.", float)
        self.metrics.histogram("h", "H.", [1.0])
        self.assertRaises(ValueError, self.metrics.histogram, "h", "H.", [2.0])

    def test_gauge(self):
        """A gauge is read when somebody looks, and not before."""
        values = [1, 2]
        self.metrics.gauge("waiting", "Waiting.", lambda: values[0], {"sink": "webhook"})
        self.metrics.gauge("waiting", "Waiting.", lambda: values[1], {"sink": "redis"})
        values[0] = 7
        self.assertIn('waiting{sink="webhook"} 7.0', self.lines())
        self.assertIn('waiting{sink="redis"} 2.0', self.lines())
        self.assertRaises(ValueError, self.metrics.gauge, "waiting", "Waiting.", lambda: 0, {"sink": "redis"})

    def test_broken_gauge(self):
        """A gauge that cannot be read is logged and missing; all others are there."""
        self.metrics.gauge("broken", "B.", lambda: 1 / 0)
        self.metrics.gauge("whole", "W.", lambda: 1)
        lines = self.lines()
        self.assertIn("whole 1.0", lines)
        self.assertFalse([line for line in lines if line.startswith("broken ")])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_histogram(self):
        """A histogram sorts values into its buckets."""
        self.metrics.histogram("took_seconds", "T.", [0.1, 1.0], {"sink": "webhook"}).observe(0.5)
        self.assertIn('took_seconds_bucket{le="0.1",sink="webhook"} 0.0', self.lines())
        self.assertIn('took_seconds_bucket{le="1.0",sink="webhook"} 1.0', self.lines())
        self.assertIn('took_seconds_sum{sink="webhook"} 0.5', self.lines())

    def test_no_created(self):
        """Nothing tells when a series was created, in neither form."""
        self.metrics.counter("a_total", "A.")
        self.metrics.histogram("h", "H.", [1.0])
        for accept in (None, "application/openmetrics-text"):
            self.assertFalse([line for line in self.lines(accept) if "_created" in line])

    def test_process_and_version(self):
        """The process, the platform and the version are told."""
        lines = self.lines()
        self.assertIn('ws_gateway_info{version="1.2.3"} 1.0', lines)
        for start in ("process_resident_memory_bytes ", "process_open_fds ", "process_cpu_seconds_total "):
            self.assertTrue([line for line in lines if line.startswith(start)], start)
        self.assertTrue([line for line in lines if line.startswith("python_info{")])

    def test_two_do_not_meet(self):
        """Two in one process know nothing of each other; a registry may be given."""
        registry = CollectorRegistry()
        other = PrometheusMetrics("1", registry)
        other.counter("a_total", "A.").inc()
        self.assertFalse([line for line in self.lines() if line.startswith("a_total")])
        self.assertTrue([metric for metric in registry.collect() if metric.name == "a"])

    def test_forms(self):
        """Plain text, unless OpenMetrics is preferred; each is what its content type says."""
        self.metrics.counter("a_total", "A.").inc()
        openmetrics = "application/openmetrics-text"
        for accept in (
            None,
            "",
            "*/*",
            "text/html",
            f"{openmetrics};q=0, */*",
            f"{openmetrics};q=0.2,text/plain;q=0.5",
            f"{openmetrics};q=nonsense",
        ):
            body, content_type = self.metrics.render(accept)
            self.assertEqual(content_type, "text/plain; version=0.0.4; charset=utf-8", accept)
            self.assertIn("a", [family.name for family in parse_text(body.decode())])
        for accept in (
            openmetrics,
            f"{openmetrics}; version=1.0.0; charset=utf-8",
            f"{openmetrics};version=1.0.0;q=0.6,{openmetrics};version=0.0.1;q=0.5,text/plain;q=0.3,*/*;q=0.2",
            "Application/OpenMetrics-Text",
        ):
            body, content_type = self.metrics.render(accept)
            self.assertEqual(content_type, "application/openmetrics-text; version=1.0.0; charset=utf-8")
            self.assertTrue(body.endswith(b"# EOF\n"))
            self.assertIn("a", [family.name for family in parse_openmetrics(body.decode())])
