"""Asking the gateway who is online."""

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.backend import Connection
from ws_gateway.demo.gateway import GatewayDown
from ws_gateway.demo.roster import Roster
from ws_gateway.demo.sync import RosterSync


def connection(connection_id: str, user_id: str) -> Connection:
    return Connection(connection_id, user_id, (f"user:{user_id}",), 1700000000)


class RosterSyncTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.roster = Roster()
        self.questions: list[Deferred[list[Connection]]] = []
        self.changes = 0
        self.sync = RosterSync(self._ask, self.roster, self._changed, self.clock, interval=15.0, retry=2.0)

    def _ask(self) -> Deferred[list[Connection]]:
        self.questions.append(Deferred())
        return self.questions[-1]

    def _changed(self) -> None:
        self.changes += 1

    def test_at_start_and_periodically(self) -> None:
        """It asks at start and again some time after each answer; changes are told, sameness is not."""
        self.sync.startService()
        self.assertEqual(len(self.questions), 1)
        self.clock.advance(60)
        self.assertEqual(len(self.questions), 1)
        self.questions[0].callback([connection("1", "ada")])
        self.assertEqual((self.roster.users, self.changes), (("ada",), 1))
        self.clock.advance(14)
        self.assertEqual(len(self.questions), 1)
        self.clock.advance(1)
        self.questions[1].callback([connection("1", "ada")])
        self.assertEqual(self.changes, 1)

    def test_gateway_away(self) -> None:
        """While the gateway is away it asks more often, and the roster stays as it was."""
        self.roster.joined("1", "ada")
        self.sync.startService()
        self.questions[0].errback(GatewayDown("away"))
        self.assertEqual(self.roster.users, ("ada",))
        self.clock.advance(2)
        self.questions[1].callback([])
        self.assertEqual((self.roster.users, self.changes), ((), 1))

    def test_now(self) -> None:
        """Asking at once replaces the next turn, and is left out while a question is on its way."""
        self.sync.startService()
        self.sync.now()
        self.assertEqual(len(self.questions), 1)
        self.questions[0].callback([])
        self.sync.now()
        self.assertEqual(len(self.questions), 2)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_immediate_answers(self) -> None:
        """An answer that is there at once does not stop the asking."""
        sync = RosterSync(lambda: succeed([]), self.roster, self._changed, self.clock)
        sync.startService()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.successResultOf(sync.stopService())

    def test_stop(self) -> None:
        """Stopping cancels the question or the pause, whichever there is."""
        self.sync.startService()
        self.successResultOf(self.sync.stopService())
        self.sync.startService()
        self.questions[1].callback([])
        self.successResultOf(self.sync.stopService())
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.sync.now()
        self.assertEqual(len(self.questions), 2)

    def test_bug_is_logged(self) -> None:
        """An error that nobody foresaw is logged, and asking goes on."""
        self.sync.startService()
        self.questions[0].errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.clock.advance(15)
        self.assertEqual(len(self.questions), 2)
