"""The fake connection keeps the promises of IConnection."""

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ws_gateway.domain.closing import SHUTDOWN
from ws_gateway.domain.messages import DisconnectCause
from ws_gateway.domain.outgoing import Batch, Outgoing
from ws_gateway.interfaces import IConnection
from ws_gateway.testing.connections import FakeConnection


def batch(*payloads: bytes) -> Batch:
    return Batch([Outgoing(payload) for payload in payloads])


class FakeConnectionTests(SynchronousTestCase):
    def test_interface(self) -> None:
        """It provides the whole interface."""
        verifyObject(IConnection, FakeConnection("c-1"))

    def test_takes_in_order(self) -> None:
        """What is sent is remembered in order."""
        one = FakeConnection("c-1")
        self.assertEqual(one.send_many(batch(b"1", b"2")), 2)
        self.assertEqual(one.send_many(batch(b"3")), 1)
        self.assertEqual(one.payloads, [b"1", b"2", b"3"])
        self.assertEqual(len(one.batches), 2)

    def test_room(self) -> None:
        """A full connection refuses the newest publications and says how many it took."""
        one = FakeConnection("c-1", room=3)
        self.assertEqual(one.send_many(batch(b"1", b"2")), 2)
        self.assertEqual(one.send_many(batch(b"3", b"4")), 1)
        self.assertEqual(one.send_many(batch(b"5")), 0)
        self.assertEqual(one.payloads, [b"1", b"2", b"3"])

    def test_kicked(self) -> None:
        """After a kick nothing is taken; a second one changes nothing."""
        one = FakeConnection("c-1")
        one.kick(4403, "bye")
        one.kick(4000, "again")
        one.shut_down()
        assert one.ending is not None
        self.assertEqual((one.ending.code, one.ending.reason), (4403, "bye"))
        self.assertEqual(one.ending.cause, DisconnectCause.KICKED)
        self.assertEqual(one.send_many(batch(b"1")), 0)
        self.assertEqual(one.payloads, [])

    def test_shut_down(self) -> None:
        """A stopping node ends it with 1012."""
        one = FakeConnection("c-1")
        one.shut_down()
        self.assertIs(one.ending, SHUTDOWN)

    def test_view(self) -> None:
        """It can be shown."""
        view = FakeConnection("c-1", "7", ("user:7", "channel:news"), client_ip="192.0.2.1").view()
        self.assertEqual((view.connection_id, view.user_id), ("c-1", "7"))
        self.assertEqual(view.subjects, ("user:7", "channel:news"))
        self.assertEqual(view.client_ip, "192.0.2.1")
