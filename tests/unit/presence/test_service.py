"""The store is told of everybody, again and again, whatever happens to it."""

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from tests.unit.presence.node import PACE, TTL, Case, Node
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.interfaces import IConnectionObserver, IReadiness
from ws_gateway.presence.changes import MOST_GONE, Changes
from ws_gateway.presence.pace import Pace
from ws_gateway.presence.service import LEASE_SECONDS
from ws_gateway.testing.connections import FakeConnection

DOWN = BrokerDown("the connection was lost")


class ComingAndGoingTests(Case):
    def test_interface(self) -> None:
        """It can say how it is, and its ears fit the registry."""
        self.assertTrue(verifyObject(IReadiness, self.node.service))
        self.assertTrue(verifyObject(IConnectionObserver, Changes(list)))

    def test_comes_and_goes(self) -> None:
        """The store knows within a tenth of a second who came, and who went."""
        (one,) = self.node.add(1)
        self.assertEqual(self.node.known, set())
        self.pass_time(0.15)
        self.assertEqual(self.node.known, {"c-1"})
        self.node.registry.remove(one)
        self.pass_time(0.15)
        self.assertEqual(self.place.entries, {})

    def test_was_never_told(self) -> None:
        """Of one who came and went in between the store hears nothing."""
        (one,) = self.node.add(1)
        self.node.registry.remove(one)
        self.pass_time(1)
        self.assertEqual((self.node.store.count("put"), self.node.store.count("remove")), (0, 0))

    def test_goes_while_it_is_told(self) -> None:
        """One who goes while the store is being told of it is removed after that."""
        (one,) = self.node.add(1)
        self.node.store.held = held = []
        self.pass_time(0.15)
        self.assertEqual(self.node.store.calls[-1], ("put", 1))
        self.node.registry.remove(one)
        self.node.store.held = None
        held.pop().callback(None)
        self.pass_time(0.2)
        self.assertEqual(self.node.store.calls[-1], ("remove", 1))
        self.assertEqual(self.place.entries, {})

    def test_in_slices(self) -> None:
        """Many at once are told in small calls, never two at a time, within seconds."""
        self.node.add(*range(5_000))
        self.pass_time(2, step=0.005)
        self.assertEqual(len(self.node.known), 5_000)
        self.assertEqual(self.node.store.most, 1)
        self.assertLess(max(number for _, number in self.node.store.calls), 100)
        self.assertEqual(self.node.metrics.value("presence_connections"), 5_000)

    def test_many_subjects(self) -> None:
        """The more subjects connections have, the fewer of them a call carries."""
        for number in range(40):
            subjects = tuple(f"channel:{name}" for name in range(100))
            self.node.registry.add(FakeConnection(f"c-{number}", "42", subjects))
        self.pass_time(2)
        self.assertEqual(len(self.node.known), 40)
        self.assertLess(max(number for _, number in self.node.store.calls), 5)


class RefreshTests(Case):
    def test_quiet_connections_stay(self) -> None:
        """A live connection is there for ever, however quiet it is, and nobody is told too often."""
        self.node.add(*range(300))
        self.pass_time(1)
        for _ in range(50):
            self.pass_time(TTL / 10)
            self.assertEqual(len(self.node.known), 300)
        rounds = self.node.store.count("put") / 300
        self.assertLess(rounds, 5 * TTL / PACE.round_seconds + 2)

    def test_whoever_comes_during_a_round(self) -> None:
        """Also one who comes while a round is under way is told in time."""
        for number in range(200):
            self.node.add(number)
            self.pass_time(1.7)
            self.assertEqual(len(self.node.known), number + 1)

    def test_evenly(self) -> None:
        """A round is spread over its time, instead of a burst."""
        self.node.add(*range(2_000))
        self.pass_time(35)
        del self.node.store.calls[:]
        begin = self.node.store.count("put")
        for _ in range(10):
            self.pass_time(3)
            told, begin = self.node.store.count("put") - begin, self.node.store.count("put")
            self.assertTrue(100 <= told <= 300, told)

    def test_last_seen(self) -> None:
        """The store hears when a connection was seen last."""
        (one,) = self.node.add(1)
        self.pass_time(1)
        one.last_seen_at += 25
        self.pass_time(PACE.round_seconds * 2)
        self.assertEqual(self.place.entries["c-1"].view.last_seen_at, one.last_seen_at)

    def test_forgets_the_closed(self) -> None:
        """A round passes over who has gone meanwhile."""
        came = self.node.add(*range(500))
        self.pass_time(3)
        for one in came[::2]:
            self.node.registry.remove(one)
        self.pass_time(TTL)
        self.assertEqual(len(self.node.known), 250)

    def test_rounds_are_timed(self) -> None:
        """How long rounds take is a metric."""
        self.node.add(*range(500))
        self.pass_time(100)
        values = self.node.metrics.observed("presence_rounds_seconds")
        self.assertGreaterEqual(len(values), 2)
        self.assertTrue(all(20 < value <= 31 for value in values), values)


class OutageTests(Case):
    def test_away(self) -> None:
        """While the store is away little is tried; when it is back it hears of everybody who is here."""
        came = self.node.add(*range(300))
        self.pass_time(1)
        self.place.failure = DOWN
        calls = len(self.node.store.calls)
        self.pass_time(20)
        self.assertLess(len(self.node.store.calls) - calls, 60)
        for one in came[:100]:
            self.node.registry.remove(one)
        self.node.add(*range(1_000, 1_050))
        self.place.failure = None
        self.pass_time(3)
        expected = {f"c-{number}" for number in [*range(100, 300), *range(1_000, 1_050)]}
        self.assertEqual(self.node.known, expected)
        self.assertEqual(set(self.place.entries), expected)

    def test_flushed(self) -> None:
        """A store that has lost everything is told everything within seconds, though it was never away."""
        self.node.add(*range(1_000))
        self.pass_time(2)
        self.place.entries.clear()
        self.place.indexes.clear()
        self.place.leases.clear()
        self.pass_time(5)
        self.assertEqual(len(self.node.known), 1_000)

    def test_came_back_with_less(self) -> None:
        """A store that may have lost something, lease or not, is told everything at once."""
        self.node.add(*range(300))
        self.pass_time(1)
        self.place.entries.clear()
        self.node.service.write_anew()
        self.pass_time(0.5)
        self.assertEqual(len(self.node.known), 300)

    def test_write_anew_while_it_waits(self) -> None:
        """Word of a new connection to the store ends the waiting."""
        self.place.failure = DOWN
        self.pass_time(0.5)
        self.place.failure = None
        self.node.service.write_anew()
        self.assertEqual(self.node.service.readiness()[1], "ok")

    def test_one_lost_call(self) -> None:
        """A call that fails once is not repeated; a new round makes up for it."""
        self.node.store.failures["put"] = DOWN
        self.node.add(1)
        self.pass_time(0.15)
        self.assertEqual(self.node.store.count("put"), 1)
        del self.node.store.failures["put"]
        self.pass_time(1)
        self.assertEqual(self.node.known, {"c-1"})
        self.assertEqual(self.node.metrics.value("presence_errors_total", kind="down"), 1)

    def test_refused(self) -> None:
        """What the store refuses holds up nobody, is shown, and passes when it takes everything again."""
        self.node.add(1)
        self.pass_time(1)
        self.node.store.failures["put"] = BrokerRefused("WRONGTYPE", "no set")
        self.node.add(*range(2, 300))
        self.pass_time(2)
        expected = ("presence", "degraded", "presence is kept in part: WRONGTYPE: no set")
        self.assertEqual(self.node.service.readiness(), expected)
        self.assertEqual(self.node.store.count("put"), 300 - 1)
        self.node.store.failures.clear()
        self.pass_time(PACE.round_seconds * 3)
        self.assertEqual(self.node.service.readiness(), ("presence", "ok", ""))
        self.assertEqual(len(self.node.known), 299)

    def test_refused_removal(self) -> None:
        """A removal that the store refuses is not tried for ever."""
        (one,) = self.node.add(1)
        self.pass_time(1)
        self.node.store.failures["remove"] = BrokerRefused("NOPERM", "no")
        self.node.registry.remove(one)
        self.pass_time(10)
        self.assertEqual(self.node.store.count("remove"), 1)
        self.pass_time(TTL + 1)
        self.assertEqual(self.node.known, set())

    def test_lease_refused(self) -> None:
        """A store that wants nothing of us is asked now and then."""
        node = self.node
        node.store.failures["renew"] = BrokerRefused("NOPERM", "no")
        self.pass_time(60)
        self.assertEqual(
            node.service.readiness(), ("presence", "degraded", "presence is not kept: NOPERM: no")
        )
        self.assertLess(node.metrics.value("presence_errors_total", kind="refused"), 150)
        node.add(1)
        node.store.failures.clear()
        self.pass_time(1)
        self.assertEqual(node.known, {"c-1"})

    def test_own_error(self) -> None:
        """A connection that cannot be written keeps nobody else out."""
        self.node.store.failures["put"] = ValueError("surrogates not allowed")
        self.node.add(1)
        self.pass_time(0.2)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.node.store.failures.clear()
        self.node.add(2)
        self.pass_time(0.2)
        self.assertEqual(self.node.known, {"c-2"})
        self.assertEqual(self.node.metrics.value("presence_errors_total", kind="broken"), 1)

    def test_never_asked(self) -> None:
        """Before the store has answered it is degraded, never failed."""
        new = Node(self.place, "new")
        self.assertEqual(new.service.readiness()[:2], ("presence", "degraded"))

    def test_too_slow(self) -> None:
        """A store that is so slow that a round takes longer than the time to live is shown."""
        node = self.start("slow", Pace(1.0, 0.25))
        self.pass_time(0.2)
        node.store.held = held = []
        node.add(*range(500))
        told = []
        for _ in range(40):
            self.pass_time(0.2)
            for gate in [*held]:
                held.remove(gate)
                gate.callback(None)
            told.append(node.service.readiness())
        self.assertIn(("presence", "degraded", "presence falls behind: the store is too slow"), told)
        node.store.held = None

    def test_lease_comes_first(self) -> None:
        """However slow the store is, the lease is renewed in time between calls."""
        self.node.store.held = held = []
        self.node.add(*range(2_000))
        for number in range(300):
            self.pass_time(0.5)
            if number % 4 == 3:
                for gate in [*held]:
                    held.remove(gate)
                    gate.callback(None)
            if number > 20:
                self.assertGreater(self.place.leases["here"], self.clock.seconds())
        self.node.store.held = None

    def test_bounded(self) -> None:
        """Who went during an outage is remembered up to a number; the others are counted."""
        changes = Changes(lambda: forgotten.append(1))
        forgotten: list[int] = []
        for number in range(MOST_GONE + 5):
            changes.went(FakeConnection(f"c-{number}"))
        self.assertEqual((len(changes), len(forgotten)), (MOST_GONE, 5))


class NodesTests(Case):
    def test_dead_node(self) -> None:
        """What a killed node leaves does not count from the end of its lease on, and is swept soon after."""
        other = self.start("other")
        self.node.add(1)
        other.add(*range(100, 400))
        self.pass_time(2)
        self.assertEqual(len(self.node.known), 301)
        self.kill(other)
        self.pass_time(LEASE_SECONDS)
        self.assertEqual(self.node.known, {"c-1"})
        self.pass_time(4)
        self.assertEqual(set(self.place.entries), {"c-1"})
        self.assertEqual(self.node.metrics.value("presence_swept_total"), 300)

    def test_restarted(self) -> None:
        """A node that was killed and comes back as another run sweeps what it left, alone in the world."""
        self.node.add(1)
        self.pass_time(1)
        self.kill(self.node)
        again = self.start("here-again")
        again.add(2)
        self.pass_time(15)
        self.assertEqual(set(self.place.entries), {"c-2"})

    def test_nobody_sweeps_after_an_outage(self) -> None:
        """When all have lost their leases, nobody's connections are swept before it could come back."""
        other = self.start("other")
        self.node.add(1)
        other.add(2)
        self.pass_time(2)
        self.place.failure = DOWN
        self.pass_time(15)
        other.store.failures["renew"] = DOWN  # it needs some more seconds
        self.place.failure = None
        self.pass_time(6)
        self.assertEqual(set(self.place.entries), {"c-1", "c-2"})
        del other.store.failures["renew"]
        self.pass_time(20)
        self.assertEqual(self.node.known, {"c-1", "c-2"})
        self.assertEqual(self.node.metrics.value("presence_swept_total"), 0)

    def test_stood_still(self) -> None:
        """A node that stood still for so long that others swept it is back with everybody."""
        other = self.start("other")
        self.node.add(*range(100))
        self.pass_time(2)
        self.node.store.held = held = []
        self.pass_time(20)
        self.assertEqual(self.place.entries, {})
        self.node.store.held = None
        for gate in held:
            gate.callback(None)
        self.pass_time(3)
        self.assertEqual(len(self.node.known), 100)
        self.assertGreater(other.metrics.value("presence_swept_total"), 0)


class StopTests(Case):
    def test_stop(self) -> None:
        """A stop removes who is still here, and then gives up the lease."""
        self.node.add(*range(300))
        self.pass_time(2)
        self.successResultOf(self.node.service.stopService())
        self.assertEqual(self.place.entries, {})
        self.assertEqual(self.node.store.calls[-1], ("give up", 0))
        self.assertLess(max(number for _, number in self.node.store.calls), 100)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_while_the_store_is_away(self) -> None:
        """A stop does not wait for a store that is away."""
        self.node.add(1)
        self.pass_time(1)
        self.place.failure = DOWN
        self.pass_time(5)
        self.successResultOf(self.node.service.stopService())

    def test_store_goes_away(self) -> None:
        """A store that goes away while we stop is left alone."""
        self.node.add(1)
        self.pass_time(1)
        self.place.failure = DOWN
        self.successResultOf(self.node.service.stopService())
        self.place.failure = None
        self.pass_time(LEASE_SECONDS)
        self.assertEqual(self.node.known, set())

    def test_time_is_up(self) -> None:
        """A stop that is cut short gives up the lease, so that what is left counts as gone."""
        self.node.add(*range(300))
        self.pass_time(2)
        self.node.store.held = []
        stopping = self.node.service.stopService()
        self.assertNoResult(stopping)
        stopping.addErrback(lambda failure: None)
        self.node.store.held = None
        stopping.cancel()
        self.assertEqual(self.node.store.calls[-1], ("give up", 0))
        self.assertEqual(self.node.known, set())

    def test_in_flight(self) -> None:
        """A stop in the middle of a call waits for nothing of it, and removes whom it was about."""
        self.node.add(1)
        self.node.store.held = held = []
        self.pass_time(0.15)
        self.node.store.held = None
        self.assertIsInstance(held[0], Deferred)
        self.successResultOf(self.node.service.stopService())
        self.assertEqual(self.node.store.calls[-2:], [("remove", 1), ("give up", 0)])
