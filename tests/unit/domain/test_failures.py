from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.domain.failures import FailureLimit


class FailureLimitTests(SynchronousTestCase):
    """So many failures of an address in a minute."""

    def fail(self, limit: FailureLimit, *times: float, address: str = "a") -> None:
        for now in times:
            limit.failed(address, now)

    def test_blocked_when_the_allowed_ones_are_used_up(self) -> None:
        """The third of three failures blocks, until the first of them is a minute old."""
        limit = FailureLimit(3)
        self.fail(limit, 0, 10)
        self.assertEqual(limit.blocked("a", 10), 0)
        self.fail(limit, 20)
        self.assertEqual(limit.blocked("a", 20), 40)
        self.assertEqual(limit.blocked("a", 59), 1)
        self.assertEqual(limit.blocked("a", 60), 0)

    def test_window_slides(self) -> None:
        """After a block there is room for as many as have grown old, not for all."""
        limit = FailureLimit(3)
        self.fail(limit, 0, 10, 20)
        self.assertEqual(limit.blocked("a", 65), 0)
        self.fail(limit, 65)
        self.assertEqual(limit.blocked("a", 65), 5)
        self.assertEqual(limit.blocked("a", 70), 0)

    def test_no_window_holds_more(self) -> None:
        """Whoever tries all the time fails no more often than allowed, in any minute."""
        limit = FailureLimit(5)
        failed: list[float] = []
        for tenth in range(5000):
            now = tenth / 10
            if not limit.blocked("a", now):
                limit.failed("a", now)
                failed.append(now)
        self.assertGreaterEqual(len(failed), 40)
        for at in failed:
            self.assertLessEqual(sum(at <= other < at + 60 for other in failed), 5)

    def test_slow_failures(self) -> None:
        """Failures that are far enough apart never block."""
        limit = FailureLimit(2)
        for now in range(0, 1000, 31):
            self.assertEqual(limit.blocked("a", now), 0)
            self.fail(limit, now)

    def test_addresses_are_apart(self) -> None:
        """One address pays for none of the others."""
        limit = FailureLimit(1)
        self.fail(limit, 0)
        self.assertEqual((limit.blocked("a", 0), limit.blocked("b", 0)), (60, 0))

    def test_off(self) -> None:
        """0 remembers nothing and blocks nobody."""
        limit = FailureLimit(0)
        self.fail(limit, *range(100))
        self.assertEqual((limit.blocked("a", 100), len(limit)), (0, 0))

    def test_looking_costs_nothing(self) -> None:
        """Asking about an address does not make it remembered."""
        limit = FailureLimit(1)
        limit.blocked("a", 0)
        self.assertEqual(len(limit), 0)

    def test_bounded(self) -> None:
        """With too many addresses the one that failed longest ago is forgotten, not the first to come."""
        limit = FailureLimit(2, addresses=3)
        for now, address in enumerate("aabbcca"):
            limit.failed(address, now)
        limit.failed("d", 7)
        self.assertEqual(len(limit), 3)
        self.assertEqual(limit.blocked("b", 8), 0)
        self.assertGreater(limit.blocked("a", 8), 0)
        self.assertGreater(limit.blocked("c", 8), 0)

    def test_flood_of_addresses(self) -> None:
        """However many come within a minute, no more than the bound are remembered."""
        limit = FailureLimit(5)
        for number in range(25_000):
            limit.failed(number, number / 1000)
        self.assertEqual(len(limit), 10_000)

    def test_old_ones_are_forgotten(self) -> None:
        """A failure brings out all addresses whose last one is a minute old."""
        limit = FailureLimit(5)
        for number in range(100):
            limit.failed(number, number)
        limit.failed("new", 120)
        self.assertEqual(len(limit), 40)
        limit.failed("newer", 1000)
        self.assertEqual(len(limit), 1)
