"""Tests of the garbage collection policy."""

import gc

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.ops.collection import THRESHOLDS, CollectionService
from ws_gateway.testing.metrics import FakeMetrics


class CollectionTests(SynchronousTestCase):
    """What a running service changes."""

    def setUp(self) -> None:
        self.metrics = FakeMetrics()
        self.before = gc.get_threshold()
        self.service = CollectionService(self.metrics)
        self.addCleanup(self.service.stopService)

    def test_policy(self) -> None:
        """While it runs collections are rare and the start's objects are out of sight."""
        self.service.startService()
        self.assertEqual(gc.get_threshold(), THRESHOLDS)
        self.assertGreater(gc.get_freeze_count(), 0)

    def test_restored(self) -> None:
        """After a stop everything is as before, and nothing is noted any more."""
        self.service.startService()
        self.service.stopService()
        self.assertEqual(gc.get_threshold(), self.before)
        self.assertEqual(gc.get_freeze_count(), 0)
        gc.collect()
        self.assertEqual(self.metrics.value("gc_collections_total", generation="2"), 0)

    def test_counted(self) -> None:
        """Every collection is counted by its generation."""
        self.service.startService()
        gc.collect()
        gc.collect(0)
        self.assertGreaterEqual(self.metrics.value("gc_collections_total", generation="2"), 1)
        self.assertGreaterEqual(self.metrics.value("gc_collections_total", generation="0"), 1)
