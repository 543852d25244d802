"""What the backend hears of dead nodes: each connection once, at a pace, and nothing forgotten."""

from collections import Counter

from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import LogEvent, globalLogPublisher

from tests.unit.presence.node import Case, Node
from ws_gateway.domain.lost import Claim
from ws_gateway.domain.messages import DisconnectCause, Disconnected
from ws_gateway.errors import BrokerDown, BrokerRefused
from ws_gateway.presence.lost import MOST_UNDER_WAY, LostConnections
from ws_gateway.presence.service import LEASE_SECONDS
from ws_gateway.presence.sweep import SWEEP_SECONDS
from ws_gateway.testing.presence import FakePresenceStore

DOWN = BrokerDown("the connection was lost")


class LostCase(Case):
    def setUp(self) -> None:
        super().setUp()
        self.pass_time(LEASE_SECONDS)  # until then it looks at nobody

    def lose(self, *numbers: int) -> None:
        """Another node with these connections dies, and its lease is over."""
        other = self.start("other")
        other.add(*numbers)
        self.pass_time(2 + len(numbers) / 2_000)
        self.kill(other)
        self.place.leases.pop("other")

    def told(self, node: Node | None = None) -> Counter[str]:
        """How often each connection was told."""
        return Counter(event.facts.connection_id for event in (node or self.node).emitter.endings)

    def accept(self, count: int) -> None:
        """The oldest events are accepted."""
        assert self.node.emitter.waiting is not None
        for _ in range(count):
            self.node.emitter.waiting.pop(0)()

    def owed(self) -> int:
        """How many the store has to be told."""
        return sum(map(len, self.place.owed.values()))


class TellingTests(LostCase):
    def test_told(self) -> None:
        """Each connection of a dead node is told once, as lost, and then owed no more."""
        self.node.add(1)
        self.lose(*range(100, 400))
        self.pass_time(10)
        self.assertEqual(self.told(), Counter(f"c-{number}" for number in range(100, 400)))
        event = self.node.emitter.endings[0]
        self.assertEqual(
            (event.seq, event.code, event.reason, event.cause), (None, 1006, "", DisconnectCause.NODE_LOST)
        )
        self.assertEqual(event.facts.node_id, "other")
        self.assertEqual(self.owed(), 0)
        self.assertEqual(self.node.metrics.value("ws_node_lost_total"), 300)

    def test_address(self) -> None:
        """Events carry the address only where they are to."""
        (connection,) = self.node.add(1, client_ip="192.0.2.7")
        self.successResultOf(FakePresenceStore(self.place, "other").put([connection.view()], 60))
        claim = self.successResultOf(self.node.store.claim(10, 17, False))
        found = []
        for with_address in (True, False):
            lost = LostConnections(
                self.node.store, self.node.emitter, lambda: 17, with_address, self.node.metrics
            )
            self.assertTrue(lost.tell(claim))
            found.append(self.node.emitter.endings[-1].facts.client_ip)
        self.assertEqual(found, ["192.0.2.7", None])

    def test_pace(self) -> None:
        """No more events are under way than a bound, however many connections are lost; as some are accepted
        others follow, and the lease is held meanwhile."""
        self.node.emitter.waiting = waiting = []
        self.lose(*range(3_000))
        self.pass_time(20)
        self.assertEqual(len(waiting), MOST_UNDER_WAY)
        self.assertEqual(self.owed(), MOST_UNDER_WAY)
        self.accept(120)
        self.pass_time(1)
        self.assertEqual(len(waiting), MOST_UNDER_WAY)
        for _ in range(40):
            self.accept(len(waiting))
            self.pass_time(1)
            self.assertLessEqual(len(waiting), MOST_UNDER_WAY)
            self.assertGreater(self.place.leases["here"], self.clock.seconds())
        self.assertEqual(self.told(), Counter(f"c-{number}" for number in range(3_000)))
        self.assertEqual(self.owed(), 0)

    def test_in_portions(self) -> None:
        """What one call carries is bounded."""
        self.lose(*range(1_000))
        self.pass_time(10)
        self.assertEqual(self.node.store.most, 1)
        self.assertLessEqual(self.node.store.count("settle"), 1_000)
        settles = [number for word, number in self.node.store.calls if word == "settle"]
        self.assertLessEqual(max(settles), MOST_UNDER_WAY)

    def test_not_accepted(self) -> None:
        """What is not accepted is owed, for as long as it takes."""
        self.node.emitter.waiting = []
        self.lose(1, 2, 3)
        self.pass_time(300)
        self.assertEqual(self.owed(), 3)
        self.assertEqual(sum(self.told().values()), 3)
        self.accept(2)
        self.pass_time(1)
        self.assertEqual(self.owed(), 1)

    def test_seldom(self) -> None:
        """While nobody dies the store is asked now and then, also while something is under way."""
        self.node.emitter.waiting = []
        self.lose(1)
        self.pass_time(5)
        del self.node.store.calls[:]
        self.pass_time(60)
        claims = sum(word == "claim" for word, _ in self.node.store.calls)
        self.assertLessEqual(claims, 60 / SWEEP_SECONDS + 1)

    def test_ends_are_not_told(self) -> None:
        """Where the backend hears of no ends, a dead node is swept without a word."""
        self.kill(self.node)
        quiet = self.start("quiet", telling=False)
        self.lose(*range(300))
        self.pass_time(15)
        self.assertEqual((self.place.entries, self.owed()), ({}, 0))
        self.assertEqual(quiet.metrics.value("presence_swept_total"), 300)
        self.assertEqual(quiet.emitter.events, [])

    def test_unreadable(self) -> None:
        """What is none of ours is counted, said, and settled."""
        logged: list[LogEvent] = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        node = self.node
        lost = LostConnections(node.store, node.emitter, lambda: 17, False, node.metrics)
        self.assertTrue(lost.tell(Claim(2, (), ("strange", "other"))))
        self.assertEqual(node.metrics.value("ws_node_lost_untold_total"), 2)
        self.assertEqual(len(logged), 1)
        self.assertTrue(self.successResultOf(Deferred.fromCoroutine(lost.settle())))
        self.assertEqual(node.store.calls[-1], ("settle", 2))
        self.assertEqual(node.emitter.events, [])

    def test_one_line_a_node(self) -> None:
        """The log has one line for each node that is lost."""
        logged: list[LogEvent] = []
        globalLogPublisher.addObserver(logged.append)
        self.addCleanup(globalLogPublisher.removeObserver, logged.append)
        self.lose(*range(200))
        self.pass_time(10)
        lines = [event for event in logged if "is lost" in str(event.get("log_format"))]
        self.assertEqual([event["node_id"] for event in lines], ["other"])


class TroubleTests(LostCase):
    def test_refused(self) -> None:
        """What the pipeline refuses is owed, tried again without haste, and told when there is room."""
        self.node.emitter.full = True
        self.lose(*range(120))
        self.pass_time(30)
        self.assertEqual(self.node.emitter.events, [])
        self.assertEqual(self.node.metrics.value("ws_node_lost_total"), 0)
        claims = sum(word == "claim" for word, _ in self.node.store.calls)
        self.assertLess(claims, 20)
        self.assertGreater(self.owed(), 0)
        self.node.emitter.full = False
        self.pass_time(30)
        self.assertEqual(self.told(), Counter(f"c-{number}" for number in range(120)))
        self.assertEqual(self.owed(), 0)

    def test_unheard_claim(self) -> None:
        """A claim whose answer is lost is not: it is made again."""
        claim, lose = self.node.store.claim, [True]

        def lossy(most: int, at_ms: int, again: bool) -> Deferred[Claim]:
            found = self.successResultOf(claim(most, at_ms, again))
            if found.looked_at and lose:
                lose.clear()
                return fail(DOWN)
            return succeed(found)

        self.node.store.claim = lossy  # type: ignore[method-assign]
        self.lose(*range(30))
        self.pass_time(30)
        self.assertEqual(lose, [])
        self.assertEqual(self.told(), Counter(f"c-{number}" for number in range(30)))
        self.assertEqual(self.owed(), 0)

    def test_settled_later(self) -> None:
        """What could not be settled is settled later, and told no second time; meanwhile the store is not
        asked again and again."""
        for failure in (DOWN, BrokerRefused("NOPERM", "no")):
            self.node.store.failures["settle"] = failure
            self.lose(1, 2, 3)
            self.pass_time(20)
            self.assertEqual(self.owed(), 3)
            del self.node.store.calls[:]
            self.pass_time(15)
            self.assertLess(len([word for word, _ in self.node.store.calls if word == "settle"]), 8)
            del self.node.store.failures["settle"]
            self.pass_time(5)
            self.assertEqual((self.owed(), self.told()), (0, Counter(["c-1", "c-2", "c-3"])))
            self.node.emitter.events.clear()

    def test_sweeper_dies(self) -> None:
        """What a node could not tell any more another one tells: the same events."""
        self.node.emitter.waiting = []
        self.lose(*range(100))
        self.pass_time(5)
        self.kill(self.node)
        again = self.start("again")
        self.pass_time(LEASE_SECONDS * 2 + 5)
        self.assertEqual(self.told(again), self.told())
        self.assertEqual(stamps(again), stamps(self.node))
        self.assertEqual(self.owed(), 0)

    def test_lease_lost(self) -> None:
        """Who has lost its own lease tells nobody for a while: others may have lost theirs with it."""
        self.lose(1)
        self.place.leases.clear()
        self.node.service.write_anew()
        self.pass_time(LEASE_SECONDS - 1)
        self.assertEqual(self.node.emitter.events, [])
        self.pass_time(5)
        self.assertEqual(self.told(), Counter(["c-1"]))


class StopTests(LostCase):
    def test_no_more(self) -> None:
        """A node that is about to stop claims nothing more, and settles what is accepted until its end."""
        self.node.emitter.waiting = []
        self.lose(*range(1_000))
        self.pass_time(10)
        self.node.service.stop_sweeping()
        self.accept(100)
        self.pass_time(10)
        self.assertEqual(sum(self.told().values()), MOST_UNDER_WAY)
        self.assertEqual(self.owed(), MOST_UNDER_WAY - 100)
        self.accept(150)
        self.successResultOf(self.node.service.stopService())
        self.assertEqual(self.owed(), MOST_UNDER_WAY - 250)

    def test_left_to_others(self) -> None:
        """What is not accepted when a node has stopped is not settled, whatever becomes of it later: another
        one tells it."""
        self.node.emitter.waiting = []
        self.lose(1, 2)
        self.pass_time(5)
        self.successResultOf(self.node.service.stopService())
        self.accept(2)
        self.assertEqual(self.owed(), 2)
        again = self.start("again")
        self.pass_time(LEASE_SECONDS + 5)
        self.assertEqual(stamps(again), stamps(self.node))


def stamps(node: Node) -> dict[str, object]:
    """What makes the events of a node the same as those of another."""
    events: list[Disconnected] = node.emitter.endings
    return {event.facts.connection_id: event.stamp for event in events}
