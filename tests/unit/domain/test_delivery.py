"""Publications to connections: each once, in order, in slices."""

from collections import deque
from collections.abc import Callable, Sequence

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ws_gateway.domain.delivery import AT_ONCE, CHECK_EVERY, Delivery
from ws_gateway.domain.messages import Publication
from ws_gateway.domain.outgoing import Batch
from ws_gateway.domain.registry import Registry
from ws_gateway.errors import Overloaded
from ws_gateway.interfaces import IDelivery
from ws_gateway.testing.connections import FakeConnection
from ws_gateway.testing.metrics import FakeMetrics


class Loop:
    """A loop whose turns the test runs, and a clock that stands still unless told."""

    def __init__(self) -> None:
        self.waiting: deque[Callable[[], None]] = deque()
        self.time = 0.0

    def later(self, function: Callable[[], None]) -> None:
        self.waiting.append(function)

    def turn(self) -> None:
        """One turn: what waits now, not what it brings."""
        for _ in range(len(self.waiting)):
            self.waiting.popleft()()

    def run(self) -> int:
        """Turns until nothing waits; returns how many."""
        turns = 0
        while self.waiting:
            turns += 1
            self.turn()
        return turns


class Slow(FakeConnection):
    """Takes a second of the loop's time for each call."""

    def __init__(self, loop: Loop, connection_id: str, *subjects: str) -> None:
        super().__init__(connection_id, "42", subjects)
        self.loop = loop

    def send_many(self, batch: Batch) -> int:
        self.loop.time += 1
        return super().send_many(batch)


class Broken(FakeConnection):
    """Does what no connection may do."""

    def send_many(self, batch: Batch) -> int:
        raise RuntimeError("a defect")


class Case(SynchronousTestCase):
    max_bytes = 64 * 1024 * 1024
    max_waiting = 100_000
    slice_seconds = 0.010
    gather_seconds = 0.0

    def setUp(self) -> None:
        self.loop = Loop()
        self.registry = Registry()
        self.metrics = FakeMetrics()
        self.delivery = Delivery(
            self.registry,
            self.loop.later,
            lambda: self.loop.time,
            self.metrics,
            slice_seconds=self.slice_seconds,
            max_bytes=self.max_bytes,
            max_waiting=self.max_waiting,
            gather_seconds=self.gather_seconds,
        )

    def add(self, key: str, *subjects: str, room: int | None = None) -> FakeConnection:
        connection = FakeConnection(key, key, subjects, room=room)
        self.registry.add(connection)
        return connection

    def publish(self, *publications: Publication) -> Deferred[list[int]]:
        return self.delivery.deliver(publications)

    def sent(self, *publications: Publication) -> list[int]:
        """Publish, run the loop and return the counts."""
        done = self.publish(*publications)
        self.loop.run()
        return self.successResultOf(done)

    def counted(self) -> tuple[float, float]:
        """(delivered, refused)"""
        return (
            self.metrics.value("publish_deliveries_total"),
            self.metrics.value("publish_overloaded_total"),
        )

    def waiting(self) -> tuple[float, float]:
        """(publications, bytes)"""
        return self.metrics.value("publish_waiting"), self.metrics.value("publish_waiting_bytes")


def to(*subjects: str, payload: bytes = b"1", excluded: Sequence[str] = ()) -> Publication:
    return Publication(subjects, payload, excluded=frozenset(excluded))


class WhoGetsItTests(Case):
    def test_interface(self) -> None:
        """It is the one way to clients."""
        verifyObject(IDelivery, self.delivery)

    def test_members_only(self) -> None:
        """The connections of the subject get it, others do not."""
        one, two, other = self.add("a", "x"), self.add("b", "x", "y"), self.add("c", "y")
        self.assertEqual(self.sent(to("x", payload=b'{"n":1.10}')), [2])
        self.assertEqual((one.payloads, two.payloads), ([b'{"n":1.10}'], [b'{"n":1.10}']))
        self.assertEqual(other.batches, [])

    def test_once(self) -> None:
        """A connection gets a publication once, however many of its subjects match."""
        one, two = self.add("a", "x", "y", "z"), self.add("b", "y")
        self.assertEqual(self.sent(to("x", "y", "z", "*")), [2])
        self.assertEqual(self.sent(to("x", "y"), to("y", "z")), [2, 2])
        self.assertEqual(len(one.payloads), 3)
        self.assertEqual(len(two.payloads), 3)

    def test_nobody(self) -> None:
        """A subject without connections is no error."""
        self.add("a", "x")
        self.assertEqual(self.sent(to("nobody")), [0])
        self.assertEqual(self.sent(to("nobody"), to("x"), to("nobody either")), [0, 1, 0])

    def test_everybody(self) -> None:
        """The subject `*` reaches every connection, also beside others."""
        for key in ("a", "b", "c"):
            self.add(key, key)
        self.assertEqual(self.sent(to("*")), [3])
        self.assertEqual(self.sent(to("*"), to("a", "*"), to("a")), [3, 3, 1])

    def test_except(self) -> None:
        """Excluded connections do not get it; ids that are not here exclude nobody."""
        one, two, three = self.add("a", "x"), self.add("b", "x"), self.add("c", "x")
        self.assertEqual(self.sent(to("x", excluded=["a", "unknown"])), [2])
        self.assertEqual(self.sent(to("*", excluded=["a"]), to("x", excluded=["b"]), to("x")), [2, 2, 3])
        self.assertEqual([len(one.payloads), len(two.payloads), len(three.payloads)], [2, 3, 4])
        self.assertEqual(self.sent(to("x", excluded=["a", "b", "c"])), [0])

    def test_nothing_to_publish(self) -> None:
        """An empty call is answered with an empty list."""
        self.assertEqual(self.sent(), [])

    def test_left_meanwhile(self) -> None:
        """Who is there when it is handed out gets it, not who was there when it was published."""
        gone = self.add("a", "x")
        done = self.publish(to("x"))
        self.registry.remove(gone)
        new = self.add("b", "x")
        self.loop.run()
        self.assertEqual(self.successResultOf(done), [1])
        self.assertEqual((gone.batches, new.payloads), ([], [b"1"]))


class CountTests(Case):
    def test_refused_by_some(self) -> None:
        """Only what was queued counts; a full client misses the newest."""
        full = self.add("a", "x", "y", room=2)
        self.add("b", "x")
        closing = self.add("c", "x")
        closing.kick(4403, "")
        counts = self.sent(*(to("x", payload=b"%d" % number) for number in range(4)))
        self.assertEqual(counts, [2, 2, 1, 1])
        self.assertEqual(full.payloads, [b"0", b"1"])
        self.assertEqual(self.sent(to("x"), to("y")), [1, 0])

    def test_refused_in_different_groups(self) -> None:
        """The newest are refused across groups: a batch is in order of publication."""
        full = self.add("a", "x", "y", room=2)
        other = self.add("b", "y")
        counts = self.sent(
            to("x", payload=b"0"), to("y", payload=b"1"), to("x", payload=b"2"), to("y", payload=b"3")
        )
        self.assertEqual(counts, [1, 2, 0, 1])
        self.assertEqual(full.payloads, [b"0", b"1"])
        self.assertEqual(other.payloads, [b"1", b"3"])

    def test_each_call_its_own(self) -> None:
        """Calls of one turn are handed out together and answered apart."""
        one = self.add("a", "x")
        self.add("b", "y")
        calls = [self.publish(to("x"), to("y"), to("*")), self.publish(), self.publish(to("z"))]
        calls.append(self.publish(to("*", payload=b"4")))
        for call in calls:
            self.assertNoResult(call)
        self.assertEqual(self.loop.run(), 1)
        self.assertEqual([self.successResultOf(call) for call in calls], [[1, 1, 2], [], [0], [2]])
        self.assertEqual(len(one.batches), 1)

    def test_metrics(self) -> None:
        """What was delivered and what waits is counted, from the first moment on."""
        self.assertEqual((self.counted(), self.waiting()), ((0, 0), (0, 0)))
        self.add("a", "x")
        self.add("b", "x")
        self.publish(to("x", payload=b"12345"), to("y", payload=b"1"))
        self.assertEqual((self.counted(), self.waiting()), ((0, 0), (2, 6)))
        self.loop.run()
        self.assertEqual((self.counted(), self.waiting()), ((2, 0), (0, 0)))


class SharingTests(Case):
    def test_one_group(self) -> None:
        """All connections of one target share one batch."""
        connections = [self.add(f"c{number}", "x") for number in range(5)]
        self.sent(to("x", payload=b"1"), to("x", payload=b"2"))
        self.assertEqual(len({id(one.batches[0]) for one in connections}), 1)

    def test_same_set(self) -> None:
        """Connections that get the same publications share a batch, whichever subjects brought them."""
        both = [self.add("a", "x", "y"), self.add("b", "y", "x"), self.add("c", "x", "y", "z")]
        only = [self.add("d", "x"), self.add("e", "x")]
        last = self.add("f", "y")
        self.sent(to("x", payload=b"1"), to("y", payload=b"2"), to("x", payload=b"3"))
        for connection, payloads in (
            *((one, [b"1", b"2", b"3"]) for one in both),
            *((one, [b"1", b"3"]) for one in only),
            (last, [b"2"]),
        ):
            self.assertEqual(len(connection.batches), 1)
            self.assertEqual(connection.payloads, payloads)
        self.assertEqual(len({id(one.batches[0]) for one in both}), 1)
        self.assertEqual(len({id(one.batches[0]) for one in only}), 1)

    def test_encoded_once(self) -> None:
        """Different batches share the encoding of a publication."""
        one, two = self.add("a", "x", "y"), self.add("b", "x")
        self.sent(to("x"), to("y"))
        self.assertIs(one.batches[0].outgoings[0], two.batches[0].outgoings[0])

    def test_members_looked_up_once(self) -> None:
        """Publications with the same target are one look-up."""
        looked = []
        members = self.registry.members
        self.registry.members = lambda subject: (looked.append(subject), members(subject))[1]  # type: ignore
        self.add("a", "x")
        self.sent(*(to("x", payload=b"%d" % number) for number in range(50)), to("y"))
        self.assertEqual(looked, ["x", "y"])


class OrderTests(Case):
    def test_over_turns(self) -> None:
        """First in, first out, over calls and turns."""
        one = self.add("a", "x", "y")
        for number in range(30):
            self.publish(to("xy"[number % 2], payload=b"%d" % number))
            if number % 7 == 0:
                self.loop.turn()
        self.loop.run()
        self.assertEqual(one.payloads, [b"%d" % number for number in range(30)])

    def test_published_while_handed_out(self) -> None:
        """What a connection's end or an answer publishes comes after, in a later turn."""
        one = self.add("a", "x")
        first = self.publish(to("x", payload=b"1"))
        first.addCallback(lambda _: self.publish(to("x", payload=b"2")))
        self.assertEqual(self.loop.run(), 2)
        self.assertEqual(self.successResultOf(first), [1])
        self.assertEqual(one.payloads, [b"1", b"2"])

    def test_idle_loop(self) -> None:
        """With nothing to do no turn is asked for, and one turn is asked for many calls."""
        self.assertEqual(len(self.loop.waiting), 0)
        for _ in range(3):
            self.publish(to("x"))
        self.assertEqual(len(self.loop.waiting), 1)
        self.loop.run()
        self.publish(to("x"))
        self.assertEqual(len(self.loop.waiting), 1)
        self.loop.run()
        self.assertEqual(len(self.loop.waiting), 0)


class GatherTests(Case):
    """What arrives in turns that follow one another goes out together."""

    gather_seconds = 0.002

    def calls(self, *turns: int) -> tuple[int, list[int]]:
        """Publish so many calls before each turn.

        :returns: how many turns it took, and how many publications each send held.
        """
        one = self.add("a", "x")
        for count in turns:
            for _ in range(count):
                self.publish(to("x"))
            self.loop.turn()
        return len(turns) + self.loop.run(), [len(batch) for batch in one.batches]

    def test_alone(self) -> None:
        """A call that comes alone waits for one more turn, to see whether it is alone."""
        self.assertEqual(self.calls(1), (2, [1]))

    def test_joined(self) -> None:
        """Calls that come turn after turn are joined; the turn that brings none hands out."""
        self.assertEqual(self.calls(1, 3, 4), (4, [8]))

    def test_gap(self) -> None:
        """A call that comes after a turn without any is the next group's first."""
        self.assertEqual(self.calls(1, 0, 7), (4, [1, 7]))

    def test_not_for_ever(self) -> None:
        """Where every turn brings more, the time ends the collecting."""
        one = self.add("a", "x")
        for _ in range(20):
            self.publish(to("x"))
            self.loop.turn()
            self.loop.time += 0.0005
        self.assertEqual([len(batch) for batch in one.batches], [5, 5, 5, 5])


class WholeTests(Case):
    """What was collected before waits for nobody."""

    gather_seconds = 0.002

    def whole(self, *payloads: bytes, subject: str = "x") -> Deferred[list[int]]:
        return self.delivery.deliver([to(subject, payload=payload) for payload in payloads], whole=True)

    def test_handful(self) -> None:
        """A handful goes out within the call, and leaves nothing for a later turn."""
        one = self.add("a", "x")
        self.assertEqual(self.successResultOf(self.whole(b"1", b"2")), [1, 1])
        self.assertEqual(one.payloads, [b"1", b"2"])
        self.assertEqual((self.loop.run(), self.waiting()), (0, (0, 0)))

    def test_many(self) -> None:
        """More go out in the next turn: whoever read them has used up this one."""
        one = self.add("a", "x")
        done = self.whole(*[b"1"] * (AT_ONCE + 1))
        self.assertEqual(one.batches, [])
        self.assertEqual(self.loop.run(), 1)
        self.assertEqual(self.successResultOf(done), [1] * (AT_ONCE + 1))

    def test_behind_others(self) -> None:
        """It comes behind what is being collected, and goes out together with that."""
        one = self.add("a", "x")
        self.publish(to("x", payload=b"1"))
        done = self.whole(b"2")
        self.assertNoResult(done)
        self.publish(to("x", payload=b"3"))
        self.loop.run()
        self.assertEqual(one.payloads, [b"1", b"2", b"3"])
        self.assertEqual(len(one.batches), 1)

    def test_from_an_answer(self) -> None:
        """What an answer publishes comes in a later turn, as ever."""
        one = self.add("a", "x")
        first = self.publish(to("x", payload=b"1"))
        first.addCallback(lambda _: self.whole(b"2"))
        self.assertEqual(self.loop.run(), 3)
        self.assertEqual(self.successResultOf(first), [1])
        self.assertEqual(one.payloads, [b"1", b"2"])

    def test_large_crowd(self) -> None:
        """A slice is the limit in the call, too; the rest comes in later turns, what follows behind it."""
        crowd = [Slow(self.loop, f"x{number}", "x") for number in range(CHECK_EVERY + 1)]
        for each in crowd:
            self.registry.add(each)
        first, second = self.whole(b"1"), self.whole(b"2")
        self.assertEqual(sum(len(each.payloads) for each in crowd), CHECK_EVERY)
        self.assertNoResult(first)
        self.loop.run()
        self.assertEqual([self.successResultOf(done) for done in (first, second)], [[len(crowd)]] * 2)
        self.assertEqual({tuple(each.payloads) for each in crowd}, {(b"1", b"2")})

    def test_defect(self) -> None:
        """A defect fails the call, and the next one goes out."""
        self.registry.add(Broken("b", "b", ("y",)))
        self.failureResultOf(self.whole(b"1", subject="y"), RuntimeError)
        self.add("a", "x")
        self.assertEqual(self.successResultOf(self.whole(b"1")), [1])


class SliceTests(Case):
    """Each connection costs a second here, a slice has ten milliseconds: every look at the clock ends it."""

    def crowd(self, count: int, *subjects: str) -> list[Slow]:
        connections = [Slow(self.loop, f"{subjects[0]}{number}", *subjects) for number in range(count)]
        for connection in connections:
            self.registry.add(connection)
        return connections

    def test_cut(self) -> None:
        """A long turn is cut into slices, and the answer comes with the last."""
        crowd = self.crowd(3 * CHECK_EVERY + 10, "x")
        done = self.publish(to("x"))
        reached = []
        while self.loop.waiting:
            self.assertNoResult(done)
            self.loop.turn()
            reached.append(sum(len(one.payloads) for one in crowd))
        self.assertEqual(reached, [CHECK_EVERY, 2 * CHECK_EVERY, 3 * CHECK_EVERY, 3 * CHECK_EVERY + 10])
        self.assertEqual(self.successResultOf(done), [len(crowd)])

    def test_not_cut(self) -> None:
        """As long as the slice has time the turn goes on."""
        for number in range(10 * CHECK_EVERY):
            self.add(f"c{number}", "x")
        done = self.publish(to("x"), to("*"))
        self.assertEqual(self.loop.run(), 1)
        self.assertEqual(self.successResultOf(done), [10 * CHECK_EVERY] * 2)

    def test_order_over_slices(self) -> None:
        """What is published between two slices waits behind them, for every connection."""
        crowd = self.crowd(2 * CHECK_EVERY + 1, "x", "y")
        calls = [self.publish(to("x", payload=b"0"), to("y", payload=b"1"))]
        number = 1
        while self.loop.waiting and number < 6:
            self.loop.turn()
            number += 1
            calls.append(self.publish(to("xy"[number % 2], payload=b"%d" % number)))
        self.loop.run()
        for one in crowd:
            self.assertEqual(one.payloads, [b"%d" % at for at in range(number + 1)])
        for call in calls[1:]:
            self.assertEqual(self.successResultOf(call), [len(crowd)])

    def test_leaving_between_slices(self) -> None:
        """Who leaves between two slices counts only if it got something."""
        crowd = self.crowd(CHECK_EVERY + 5, "x")
        done = self.publish(to("x"))
        self.loop.turn()
        for one in crowd[-2:]:
            one.kick(4403, "")
            self.registry.remove(one)
        self.loop.run()
        self.assertEqual(self.successResultOf(done), [CHECK_EVERY + 3])

    def test_finding_out_is_cut_too(self) -> None:
        """To find out who gets what takes its own slices where many targets have many members."""
        for number in range(2 * CHECK_EVERY):
            self.add(f"c{number}", "x", "y", "z")
        ticking = Delivery(self.registry, self.loop.later, self.tick, FakeMetrics())
        done = ticking.deliver([to("x"), to("y"), to("z")])
        # A pause after each target's members, two while they are sorted, two while they are sent to, the end.
        self.assertEqual(self.loop.run(), 3 + 2 + 2 + 1)
        self.assertEqual(self.successResultOf(done), [2 * CHECK_EVERY] * 3)
        self.assertEqual({len(one.batches) for one in self.registry.everyone()}, {1})  # type: ignore[attr-defined]

    def tick(self) -> float:
        """A clock that moves on with every look."""
        self.loop.time += 1
        return self.loop.time

    def test_many_small_parts(self) -> None:
        """Connections count over the parts: thousands of small groups are cut as well."""
        count = 3 * CHECK_EVERY
        for number in range(count):
            self.registry.add(Slow(self.loop, f"c{number}", f"s{number}"))
        done = self.publish(*(to(f"s{number}") for number in range(count)))
        self.assertGreaterEqual(self.loop.run(), 3)
        self.assertEqual(self.successResultOf(done), [1] * count)


class BoundsTests(Case):
    max_bytes = 100
    max_waiting = 10

    def test_bytes(self) -> None:
        """What would not fit is refused whole, counted, and leaves no trace."""
        one = self.add("a", "x")
        first = self.publish(to("x", payload=b"1" * 60))
        refused = self.publish(to("x", payload=b"2" * 40), to("x", payload=b"3"))
        self.failureResultOf(refused, Overloaded)
        fits = self.publish(to("x", payload=b"4" * 40))
        self.assertEqual(self.counted(), (0, 2))
        self.assertEqual(self.waiting(), (2, 100))
        self.loop.run()
        self.assertEqual((self.successResultOf(first), self.successResultOf(fits)), ([1], [1]))
        self.assertEqual(one.payloads, [b"1" * 60, b"4" * 40])
        self.assertEqual(self.waiting(), (0, 0))
        self.assertEqual(self.sent(to("x", payload=b"5" * 100)), [1])

    def test_count(self) -> None:
        """Small publications are bounded by their number."""
        self.publish(*[to("x")] * 9)
        self.failureResultOf(self.publish(to("x"), to("x")), Overloaded)
        last = self.publish(to("x"))
        self.failureResultOf(self.publish(to("x")), Overloaded)
        self.loop.run()
        self.assertEqual(self.successResultOf(last), [0])
        self.assertEqual(self.waiting(), (0, 0))

    def test_alone(self) -> None:
        """What comes alone is taken, whatever its size."""
        self.add("a", "x")
        self.assertEqual(self.sent(to("x", payload=b"1" * 1_000)), [1])
        self.assertEqual(self.sent(*[to("x")] * 50), [1] * 50)

    def test_under_way_still_waits(self) -> None:
        """What is being handed out counts until its last slice."""
        for number in range(CHECK_EVERY + 1):
            self.registry.add(Slow(self.loop, f"c{number}", "x"))
        self.publish(to("x", payload=b"1" * 60))
        self.loop.turn()
        self.assertEqual(self.waiting(), (1, 60))
        self.failureResultOf(self.publish(to("x", payload=b"2" * 41)), Overloaded)
        self.loop.run()
        self.assertEqual(self.waiting(), (0, 0))


class DefectTests(Case):
    def test_raising_connection(self) -> None:
        """A connection that raises is told to whoever published; the street stays open."""
        self.registry.add(Broken("a", "1", ("x",)))
        other = self.add("b", "y")
        calls = [self.publish(to("x")), self.publish(to("x"), to("y"))]
        self.loop.run()
        for call in calls:
            self.failureResultOf(call, RuntimeError)
        self.assertEqual(self.waiting(), (0, 0))
        other.payloads.clear()
        self.assertEqual(self.sent(to("y", payload=b"2")), [1])
        self.assertEqual(other.payloads, [b"2"])

    def test_what_waits_behind_it(self) -> None:
        """What was published during the turn that failed is handed out in the next."""
        one = self.add("b", "y")
        publish = self.publish

        class Publishing(Broken):
            def send_many(self, batch: Batch) -> int:
                later.append(publish(to("y")))
                return super().send_many(batch)

        later: list[Deferred[list[int]]] = []
        self.registry.add(Publishing("a", "1", ("x",)))
        failed = self.publish(to("x"))
        self.loop.run()
        self.failureResultOf(failed, RuntimeError)
        self.assertEqual([self.successResultOf(call) for call in later], [[1]])
        self.assertEqual(one.payloads, [b"1"])

    def test_caller_gone(self) -> None:
        """Who gave up waiting disturbs nobody; the publication goes out."""
        one = self.add("a", "x")
        given_up, other = self.publish(to("x")), self.publish(to("x", payload=b"2"))
        given_up.addErrback(lambda _: None)
        given_up.cancel()
        self.loop.run()
        self.assertEqual(self.successResultOf(other), [1])
        self.assertEqual(one.payloads, [b"1", b"2"])
        self.assertEqual(self.waiting(), (0, 0))


class TimeTests(Case):
    """`publish_fanout_seconds`: each connection costs a second here."""

    slice_seconds = 0.5

    def observed(self) -> list[float]:
        return self.metrics.observed("publish_fanout_seconds")

    def test_until_all_is_handed_out(self) -> None:
        """From the first call to the last connection, over all slices, once for what goes out together."""
        for number in range(CHECK_EVERY * 2):
            self.registry.add(Slow(self.loop, str(number), "x"))
        self.publish(to("x"))
        self.loop.time += 2  # the loop is busy with other things
        self.publish(to("x"))
        self.loop.time += 3
        self.assertEqual(self.observed(), [])
        self.assertGreater(self.loop.run(), 1)
        self.assertEqual(self.observed(), [5 + CHECK_EVERY * 2])

    def test_what_waits_behind(self) -> None:
        """What comes while something is handed out counts from its own call, waiting included."""
        for number in range(CHECK_EVERY * 2):
            self.registry.add(Slow(self.loop, str(number), "x"))
        self.publish(to("x"))
        self.loop.turn()
        self.loop.time += 3
        self.publish(to("nobody"))
        self.loop.run()
        self.assertEqual(self.observed(), [CHECK_EVERY * 2 + 3, CHECK_EVERY])

    def test_nobody_listens(self) -> None:
        """A publication to nobody is handed out as well."""
        self.sent(to("x"))
        self.assertEqual(self.observed(), [0])
