"""Canaries, on a clock that only the test moves."""

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.brokers.canary import Canary, Flight
from ws_gateway.brokers.counts import SourceCounts
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.testing.metrics import FakeMetrics

INTERVAL = 5.0
PATIENCE = 3.0


class CanaryTests(SynchronousTestCase):
    """Every way in which a flight ends."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.metrics = FakeMetrics()
        self.sent: list[tuple[bytes, Deferred[None]]] = []
        self.silences: list[Flight] = []
        self.expected = True
        self.canary = Canary(
            INTERVAL,
            PATIENCE,
            self.clock,
            self.send,
            lambda: self.expected,
            self.silences.append,
            SourceCounts(self.metrics, "redis"),
        )
        self.canary.start()
        self.clock.advance(0)

    def send(self, token: bytes) -> Deferred[None]:
        answer: Deferred[None] = Deferred()
        self.sent.append((token, answer))
        return answer

    @property
    def seconds(self) -> float:
        return self.metrics.value("ws_broker_canary_seconds", broker="redis")

    @property
    def missed(self) -> float:
        return self.metrics.value("ws_broker_canary_missed_total", broker="redis")

    def test_back(self) -> None:
        """One that comes back tells its time; the next leaves an interval after it left."""
        [(token, answer)] = self.sent
        answer.callback(None)
        self.clock.advance(1.5)
        self.canary.seen(token)
        self.assertEqual((self.seconds, self.canary.trouble), (1.5, ""))
        self.clock.advance(INTERVAL - 1.5 - 0.1)
        self.assertEqual(len(self.sent), 1)
        self.clock.advance(0.1)
        self.assertEqual(len(self.sent), 2)
        self.assertEqual(self.silences, [])

    def test_back_before_the_broker_has_answered(self) -> None:
        """One may be back before the broker says that it has it."""
        [(token, answer)] = self.sent
        self.canary.seen(token)
        answer.callback(None)
        self.clock.advance(PATIENCE)
        self.assertEqual((self.silences, self.missed), ([], 0))

    def test_shown_while_under_way(self) -> None:
        """One that is late shows how late it is."""
        self.clock.advance(2)
        self.assertEqual(self.seconds, 2)

    def test_taken_and_not_given_back(self) -> None:
        """One that the broker took and did not give back is missed, and the next one follows."""
        self.sent[0][1].callback(None)
        self.clock.advance(PATIENCE)
        self.assertEqual((self.silences, self.missed), ([Flight.WRITTEN], 1))
        self.assertEqual(self.canary.trouble, "an entry of our own did not come back within 3.0 s")
        self.clock.advance(INTERVAL)
        self.canary.seen(self.sent[1][0])
        self.assertEqual((self.missed, self.canary.trouble), (1, ""))

    def test_not_taken(self) -> None:
        """One that the broker does not even take is missed, too."""
        self.clock.advance(PATIENCE)
        self.assertEqual((self.silences, self.missed), ([Flight.UNSENT], 1))

    def test_too_late(self) -> None:
        """One that comes after it was given up changes nothing."""
        token, answer = self.sent[0]
        answer.callback(None)
        self.clock.advance(PATIENCE)
        self.canary.seen(token)
        self.assertTrue(self.canary.trouble)
        self.assertEqual(self.seconds, PATIENCE)

    def test_of_another_life(self) -> None:
        """What is no token of ours changes nothing."""
        self.sent[0][1].callback(None)
        self.canary.seen(b"nonsense")
        self.clock.advance(PATIENCE)
        self.assertEqual(self.missed, 1)

    def test_not_expected(self) -> None:
        """While nobody reads, one that is late says nothing."""
        self.expected = False
        self.clock.advance(PATIENCE)
        self.assertEqual((self.silences, self.missed, self.canary.trouble), ([], 0, ""))
        self.clock.advance(INTERVAL)
        self.assertEqual(len(self.sent), 2)

    def test_down(self) -> None:
        """Where none can be sent that is said, and nobody is called: whoever sent it knows."""
        self.sent[0][1].errback(BrokerDown("it is away"))
        self.clock.advance(PATIENCE)
        self.assertEqual((self.silences, self.missed), ([], 0))
        self.assertEqual(self.canary.trouble, "no canary can be sent: it is away")

    def test_hurry(self) -> None:
        """When the way is open again the next one leaves at once; one under way is not disturbed."""
        self.canary.hurry()
        self.clock.advance(0)
        self.assertEqual(len(self.sent), 1)
        self.sent[0][1].errback(BrokerDown("it is away"))
        self.canary.hurry()
        self.clock.advance(0)
        self.assertEqual(len(self.sent), 2)

    def test_refused(self) -> None:
        """A broker that refuses them is quoted."""
        self.sent[0][1].errback(BrokerRefused("NOPERM", "no permission"))
        self.assertEqual(self.canary.trouble, "the broker refuses canaries: NOPERM: no permission")

    def test_defect(self) -> None:
        """An error of our own is logged, and the next one leaves all the same."""
        self.sent[0][1].errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(INTERVAL)
        self.assertEqual(len(self.sent), 2)

    def test_stop(self) -> None:
        """After a stop nothing is under way, and a start begins again."""
        self.canary.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.canary.hurry()
        self.canary.start()
        self.clock.advance(0)
        self.assertEqual(len(self.sent), 2)
