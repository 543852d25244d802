"""Several ways to all nodes."""

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ws_gateway.errors import BrokerDown
from ws_gateway.interfaces import IRelay
from ws_gateway.outbox.relays import FirstUsable
from ws_gateway.testing.relay import FakeRelay


class FirstUsableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.first, self.second = FakeRelay(), FakeRelay()
        self.relay = FirstUsable([self.first, self.second])
        verifyObject(IRelay, self.relay)

    def test_preferred(self) -> None:
        """The first one is used as long as it can be."""
        self.successResultOf(self.relay.relay([b"1"]))
        self.assertEqual((self.first.documents, self.second.documents), ([b"1"], []))

    def test_other(self) -> None:
        """The second one stands in, and the first one is used again when it is back."""
        self.first.failure = BrokerDown("away")
        self.successResultOf(self.relay.relay([b"1"]))
        self.assertTrue(self.relay.usable)
        self.first.failure = None
        self.successResultOf(self.relay.relay([b"2"]))
        self.assertEqual((self.first.documents, self.second.documents), ([b"2"], [b"1"]))

    def test_none(self) -> None:
        """Without any the first one says why."""
        self.first.failure, self.second.failure = BrokerDown("first"), BrokerDown("second")
        self.assertFalse(self.relay.usable)
        self.assertEqual(str(self.failureResultOf(self.relay.relay([b"1"]), BrokerDown).value), "first")
