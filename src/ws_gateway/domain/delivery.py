"""Publications to connections, with as little work as possible for each connection.

What comes together is collected and handed out together, in order:

1. publications with the same subjects (and exclusions) form a group, so that members are looked up once;
2. a connection's part is the set of groups that reach it; all connections with the same set share one
   `Batch`, encoded and joined once;
3. each connection gets one call, whatever the number of publications.

Parallel calls rarely arrive in one turn: the first wakes the loop, the others come while its head is read.
So collecting goes on as long as each turn brings more, but not for long; a call that comes alone waits for
one look at the sockets. Whoever has collected by himself says so, and waits for nobody: a handful of
publications goes out within the call, more of them in the next turn.

A turn that would hold the loop for longer than a slice is cut there and goes on in the next one; what was
published meanwhile waits behind it, so order holds for the whole node.
"""

from collections import deque
from collections.abc import Callable, Iterator, Sequence

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from ws_gateway.domain.messages import Publication
from ws_gateway.domain.outgoing import Batch, Outgoing
from ws_gateway.domain.registry import Registry
from ws_gateway.errors import Overloaded
from ws_gateway.interfaces import IConnection, ICounter, IDelivery, IHistogram, IMetrics

__all__ = ["Delivery"]

CHECK_EVERY = 64
"""Connections between two looks at the clock."""

GATHER_SECONDS = 0.002
"""How long calls that keep coming are collected: half the time that 1,000 connections take."""

AT_ONCE = 16
"""Publications that may go out within the call: to read so few has not taken long."""

FANOUT_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)

Target = tuple[tuple[str, ...], frozenset[str]]

Part = tuple[Batch, list[int], list[IConnection]]
"""What goes out: a batch, the places of its publications in the whole turn, and who gets it."""


@define(eq=False)
class _Call:
    """One call of deliver() that waits for its turn."""

    publications: Sequence[Publication]
    size: int
    done: Deferred[list[int]] = field(factory=Deferred)


class _Slice:
    """How long one turn may go on; the clock is looked at only now and then."""

    __slots__ = ("_end", "_now", "_seconds", "_until_look")

    def __init__(self, now: Callable[[], float], seconds: float) -> None:
        self._now = now
        self._seconds = seconds
        self.begin()

    def begin(self) -> None:
        self._end = self._now() + self._seconds
        self._until_look = CHECK_EVERY

    def over(self, connections: int) -> bool:
        """Whether to stop here, after work for so many more connections."""
        self._until_look -= connections
        if self._until_look > 0:
            return False
        self._until_look = CHECK_EVERY
        return self._now() >= self._end


@implementer(IDelivery)
class Delivery:
    """See the module.

    :param later: runs a function in a later turn of the loop.
    :param now: monotonic seconds.
    :param slice_seconds: how long one turn may hand out.
    :param gather_seconds: how long calls that keep coming are collected; 0: only those of one turn.
    :param max_bytes: payload bytes that may wait; more is refused.
    :param max_waiting: publications that may wait; more are refused.
    """

    def __init__(
        self,
        registry: Registry,
        later: Callable[[Callable[[], None]], object],
        now: Callable[[], float],
        metrics: IMetrics,
        slice_seconds: float = 0.010,
        max_bytes: int = 64 * 1024 * 1024,
        max_waiting: int = 100_000,
        gather_seconds: float = GATHER_SECONDS,
    ) -> None:
        self._registry = registry
        self._later = later
        self._now = now
        self._slice = slice_seconds
        self._max_bytes = max_bytes
        self._max_waiting = max_waiting
        self._gather_seconds = gather_seconds
        self._calls: deque[_Call] = deque()
        self._bytes = 0
        self._waiting = 0
        self._oldest = 0.0  # when the first of the calls that wait came
        self._running: Iterator[None] | None = None
        self._scheduled = False
        self._delivered: ICounter = metrics.counter(
            "publish_deliveries_total", "Publications queued to connections."
        )
        self._refused: ICounter = metrics.counter(
            "publish_overloaded_total", "Publications refused because too much was waiting."
        )
        # Once for what goes out together, not for each call: observing costs as much as a call in a crowd.
        self._fanout: IHistogram = metrics.histogram(
            "publish_fanout_seconds",
            "Time from publishing until everything that went out together was queued to all its connections.",
            FANOUT_BUCKETS,
        )
        metrics.gauge("publish_waiting_bytes", "Payload bytes waiting to be handed out.", lambda: self._bytes)
        metrics.gauge("publish_waiting", "Publications waiting to be handed out.", lambda: self._waiting)

    def deliver(self, publications: Sequence[Publication], whole: bool = False) -> Deferred[list[int]]:
        """See IDelivery."""
        size = sum([len(publication.payload) for publication in publications])
        # Whatever comes alone is taken: what a single call may bring is limited where it comes in.
        if self._waiting and (
            self._bytes + size > self._max_bytes or self._waiting + len(publications) > self._max_waiting
        ):
            self._refused.inc(len(publications))
            return fail(Overloaded("too many publications are waiting"))
        call = _Call(publications, size)
        self._bytes += size
        self._waiting += len(publications)
        if not self._calls:
            self._oldest = self._now()
        self._calls.append(call)
        if not self._scheduled:
            self._scheduled = True
            if not whole:
                until = self._oldest + self._gather_seconds
                self._later(lambda: self._gather(0, until))
            elif len(publications) > AT_ONCE:
                self._later(self._turn)
            else:
                self._turn()
        return call.done

    def _gather(self, known: int, until: float) -> None:
        """Collect for another turn if the last one brought more than the calls that were known before it."""
        waiting = len(self._calls)
        if waiting > known and self._now() < until:
            self._later(lambda: self._gather(waiting, until))
        else:
            self._turn()

    def _turn(self) -> None:
        """Hand out what has come, for one slice of time."""
        if self._running is None:
            self._running = self._hand_out()
        for _ in self._running:
            self._later(self._turn)
            return
        self._running = None
        if self._calls:
            self._later(self._turn)
        else:
            self._scheduled = False

    def _hand_out(self) -> Iterator[None]:
        """Deliver all calls that wait now; yields when the slice is over."""
        calls, oldest = list(self._calls), self._oldest
        self._calls.clear()
        try:
            yield from self._send(calls, oldest)
        except Exception as error:  # a defect of ours: whoever published learns of it, the street stays open
            for call in calls:
                self._settle(call)
                call.done.errback(error)

    def _send(self, calls: Sequence[_Call], oldest: float) -> Iterator[None]:
        publications = [publication for call in calls for publication in call.publications]
        sent = [0] * len(publications)
        turn = _Slice(self._now, self._slice)
        for part in self._parts(publications, turn):
            if part is None:
                yield
                turn.begin()
                continue
            batch, places, connections = part
            count, whole = batch.count, 0
            for start in range(0, len(connections), CHECK_EVERY):
                some = connections[start : start + CHECK_EVERY]
                for connection in some:
                    taken = connection.send_many(batch)
                    if taken == count:
                        whole += 1
                    else:
                        for place in places[:taken]:
                            sent[place] += 1
                if turn.over(len(some)):
                    yield
                    turn.begin()
            for place in places:
                sent[place] += whole
        self._delivered.inc(sum(sent))
        self._fanout.observe(self._now() - oldest)
        self._answer(calls, sent)

    def _parts(self, publications: Sequence[Publication], turn: _Slice) -> Iterator[Part | None]:
        """What goes out, in parts. None is a place to pause, where finding out takes longer than a slice."""
        outgoings = [Outgoing(publication.payload) for publication in publications]
        groups: dict[Target, list[int]] = {}
        for place, publication in enumerate(publications):
            groups.setdefault((publication.subjects, publication.excluded), []).append(place)
        if len(groups) == 1:
            ((target, places),) = groups.items()
            yield Batch(outgoings), places, self._members(target)
            return
        reached: dict[IConnection, list[int]] = {}
        group_places = list(groups.values())
        for number, target in enumerate(groups):
            members = self._members(target)
            for connection in members:
                reached.setdefault(connection, []).append(number)
            if turn.over(len(members)):
                yield None
        shared: dict[tuple[int, ...], list[IConnection]] = {}
        for connection, numbers in reached.items():
            shared.setdefault(tuple(numbers), []).append(connection)
            if turn.over(1):
                yield None
        for numbers_key, connections in shared.items():
            places = sorted(place for number in numbers_key for place in group_places[number])
            yield Batch([outgoings[place] for place in places]), places, connections

    def _members(self, target: Target) -> list[IConnection]:
        subjects, excluded = target
        if len(subjects) == 1:
            found = self._registry.members(subjects[0])
        else:
            found = {}
            for subject in subjects:
                found.update(self._registry.members(subject))
        if not excluded:
            return list(found.values())
        return [connection for key, connection in found.items() if key not in excluded]

    def _answer(self, calls: Sequence[_Call], sent: Sequence[int]) -> None:
        at = 0
        for call in calls:
            end = at + len(call.publications)
            self._settle(call)
            call.done.callback(list(sent[at:end]))
            at = end

    def _settle(self, call: _Call) -> None:
        """A call waits no longer."""
        self._bytes -= call.size
        self._waiting -= len(call.publications)
