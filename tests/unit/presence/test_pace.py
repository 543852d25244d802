"""How long the store remembers, by strategy."""

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.presence.pace import SESSION_SECONDS, pace_of


class PaceTests(SynchronousTestCase):
    def test_strategies(self) -> None:
        """Each strategy has its time to live (contract section 8), and a round fits in with room to spare."""
        for strategy, ttl in (("ttl", 120), ("heartbeat", 45), ("session", SESSION_SECONDS)):
            pace = pace_of(strategy, 120, 30, 15)
            self.assertEqual((strategy, pace.ttl), (strategy, ttl))
            self.assertLessEqual(pace.round_seconds * 3, pace.ttl)
