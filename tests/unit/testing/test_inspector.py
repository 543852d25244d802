"""The fake inspector keeps the promises of IInspector."""

from attrs import evolve
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ws_gateway.domain.messages import ConnectionView
from ws_gateway.domain.views import SlowClient
from ws_gateway.interfaces import IInspector
from ws_gateway.testing.inspector import FakeInspector

ADA = ConnectionView("c-1", "ada", ("user:ada", "channel:news"), 1, 2, None)


class FakeInspectorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.inspector = FakeInspector([ADA])

    def test_interface(self) -> None:
        """It provides the whole interface."""
        verifyObject(IInspector, self.inspector)

    def test_kick(self) -> None:
        """Who is here is kicked and remembered; who is not is not."""
        self.assertTrue(self.inspector.kick("c-1", "bye"))
        self.assertFalse(self.inspector.kick("c-2"))
        self.assertEqual(self.inspector.kicked, [("c-1", "bye")])

    def test_who(self) -> None:
        """A subject finds its listeners, anything else the user."""
        for asked in ("channel:news", "user:ada", "ada"):
            self.assertEqual(self.inspector.who(asked).connections, (ADA,))
        self.assertEqual(self.inspector.who("bob").total, 0)

    def test_queues(self) -> None:
        """No more slow clients are named than asked for."""
        slow = tuple(SlowClient(f"c-{number}", "ada", 1, 1) for number in range(3))
        self.inspector.waiting = evolve(self.inspector.waiting, slow_count=3, slow=slow)
        shown = self.inspector.queues(2)
        self.assertEqual((shown.slow_count, shown.slow), (3, slow[:2]))
