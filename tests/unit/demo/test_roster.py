"""Who is online."""

from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.demo.roster import Roster


class RosterTests(SynchronousTestCase):
    def test_online_until_the_last_connection(self) -> None:
        """A user with two connections is there once, until both are gone; users are sorted."""
        roster = Roster()
        for connection, user in (("1", "bob"), ("2", "ada"), ("3", "bob")):
            roster.joined(connection, user)
        self.assertEqual(roster.users, ("ada", "bob"))
        roster.left("1")
        self.assertEqual(roster.users, ("ada", "bob"))
        roster.left("3")
        roster.left("unknown")
        self.assertEqual(roster.users, ("ada",))

    def test_list_replaces(self) -> None:
        """The gateway's list puts right what events did not tell, and says whether that is news."""
        roster = Roster()
        roster.joined("1", "ghost")
        roster.await_list()
        self.assertTrue(roster.replace({"2": "ada"}))
        self.assertEqual(roster.users, ("ada",))
        roster.await_list()
        self.assertFalse(roster.replace({"3": "ada"}))

    def test_events_outrun_the_list(self) -> None:
        """What happens while the list travels holds against it, in both directions."""
        roster = Roster()
        roster.joined("1", "ada")
        roster.await_list()
        roster.left("1")
        roster.joined("2", "bob")
        roster.replace({"1": "ada"})
        self.assertEqual(roster.users, ("bob",))

    def test_forgotten_list(self) -> None:
        """After a list that did not come nothing is noted for it any more."""
        roster = Roster()
        roster.await_list()
        roster.joined("1", "ada")
        roster.forget_list()
        roster.replace({})
        self.assertEqual(roster.users, ())
