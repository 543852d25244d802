"""A stream sink whose target is a script, and the contract suite that proves it beside the real ones.

The module is long because the two belong together: the script speaks the words in which the suite asks.
"""

# mypy: allow-untyped-calls
# (the assertions of twisted.trial have no types)

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from enum import Enum
from typing import Protocol

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, gatherResults, succeed
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ws_gateway.domain.messages import Envelope, EventType
from ws_gateway.errors import TargetDown
from ws_gateway.interfaces import IStreamSink
from ws_gateway.testing.sinks import make_envelope

__all__ = ["Appending", "FakeStreamSink", "RunOutcome", "StreamSinkUnderTest", "stream_sink_contract_tests"]


class RunOutcome(Enum):
    """What becomes of a run of events."""

    TAKEN = "taken"
    LOST = "lost"
    """Taken, but the answer never came."""
    DOWN = "down"
    """Not taken: the target was not reached, or did not want it."""
    HANG = "hang"


@define(eq=False)
class Appending:
    """A run that is under way.

    :ivar outcome: what the target will do with it; HANG until somebody says.
    """

    stream: str
    envelopes: tuple[Envelope, ...]
    outcome: RunOutcome | Exception = field()
    answer: Deferred[None] = field(factory=Deferred, repr=False)


def _by_type(envelope: Envelope) -> str:
    return "messages" if envelope.type is EventType.MESSAGE_RECEIVED else "events"


@implementer(IStreamSink)
class FakeStreamSink:
    """Does with each run what the script says next, and takes it when the script is over.

    Its target is one that runs reach in order, through one connection: a run is answered after those of its
    stream that were offered before it, and when one of them was not taken, none behind it is. What the target
    has is known to it by event_id.

    :param later: runs a function in a later turn, so that no run is answered before append() returns; without
        it runs are answered at once.
    :ivar runs: every call, in order: (stream, envelopes).
    :ivar streams: what the target holds.
    :ivar under_way: runs without an answer, oldest first; settle() decides what hangs.
    :ivar violations: how the promises of whoever calls were broken. It cannot raise: the pipeline would take
        that for a failure of the target.
    :ivar closed: how often close() was called.
    """

    def __init__(
        self,
        name: str = "stream",
        max_batch: int = 100,
        window: int = 4,
        stream_of: Callable[[Envelope], str] = _by_type,
        later: Callable[[Callable[[], None]], object] | None = None,
    ) -> None:
        self.name = name
        self.max_batch = max_batch
        self.window = window
        self.stream_of = stream_of
        self._later = later
        self.runs: list[tuple[str, tuple[Envelope, ...]]] = []
        self.streams: dict[str, list[Envelope]] = defaultdict(list)
        self.under_way: list[Appending] = []
        self.violations: list[str] = []
        self.closed = 0
        self._script: deque[RunOutcome | Exception] = deque()
        self._default: RunOutcome | Exception = RunOutcome.TAKEN
        self._faults: dict[str, RunOutcome | Exception] = {}
        self._known: set[str] = set()
        self._failed: set[str] = set()
        self._answering = False

    def script(self, *outcomes: RunOutcome | Exception) -> None:
        """Append what happens to the next runs; with an exception they are not taken and fail with it."""
        self._script.extend(outcomes)

    def always(self, outcome: RunOutcome | Exception, stream: str | None = None) -> None:
        """What happens when the script is over, to all runs or to those of one stream."""
        if stream is None:
            self._default = outcome
        else:
            self._faults[stream] = outcome

    def heal(self) -> None:
        """From now on everything is taken; what hangs, too."""
        self._script.clear()
        self._faults.clear()
        self._default = RunOutcome.TAKEN
        while self.hanging:
            self.settle(self.hanging[0])

    @property
    def hanging(self) -> list[Appending]:
        """Runs about which nothing is decided yet, oldest first."""
        return [appending for appending in self.under_way if appending.outcome is RunOutcome.HANG]

    def settle(self, appending: Appending, outcome: RunOutcome | Exception = RunOutcome.TAKEN) -> None:
        """Decide about a run that hangs. It is answered when those before it are."""
        appending.outcome = outcome
        self._answer()

    def append(self, stream: str, envelopes: Sequence[Envelope]) -> Deferred[None]:
        run = tuple(envelopes)
        self._judge(stream, run)
        self.runs.append((stream, run))
        outcome = self._script.popleft() if self._script else self._faults.get(stream, self._default)
        appending = Appending(stream, run, outcome)
        self.under_way.append(appending)
        if self._later is None:
            self._answer()
        else:
            self._later(self._answer)
        return appending.answer

    def close(self) -> Deferred[None]:
        """Give up what hangs: its outcome is unknown, so the target counts as down."""
        self.closed += 1
        while self.hanging:
            self.settle(self.hanging[0], TargetDown("the sink was closed"))
        return succeed(None)

    def _judge(self, stream: str, run: tuple[Envelope, ...]) -> None:
        alongside = [appending for appending in self.under_way if appending.stream == stream]
        if not 0 < len(run) <= self.max_batch:
            self.violations.append(f"a run of {len(run)}")
        if len(alongside) >= self.window:
            self.violations.append(f"{len(alongside) + 1} runs of {stream} side by side")
        if stream in self._failed:
            if alongside:
                self.violations.append(f"a run of {stream} was offered though one before it failed")
            self._failed.discard(stream)
        for envelope in run:
            if self.stream_of(envelope) != stream:
                self.violations.append(f"{envelope} does not belong to {stream}")

    def _answer(self) -> None:
        """Answer what can be answered. Whoever hears an answer may offer at once."""
        if self._answering:
            return
        self._answering = True
        try:
            while (appending := next(self._answerable(), None)) is not None:
                self.under_way.remove(appending)
                self._conclude(appending)
        finally:
            self._answering = False

    def _answerable(self) -> Iterator[Appending]:
        held: set[str] = set()
        for appending in self.under_way:
            if appending.stream not in held and appending.outcome is not RunOutcome.HANG:
                yield appending
            held.add(appending.stream)

    def _conclude(self, appending: Appending) -> None:
        outcome = appending.outcome
        stream = appending.stream
        untaken = outcome is RunOutcome.DOWN or isinstance(outcome, Exception)
        if stream in self._failed and not untaken:
            untaken, outcome = True, RunOutcome.DOWN  # there is a gap before it
        if untaken:
            self._failed.add(stream)
            error = outcome if isinstance(outcome, Exception) else TargetDown("scripted: down")
            appending.answer.errback(Failure(error))
            return
        fresh = [envelope for envelope in appending.envelopes if envelope.event_id not in self._known]
        self._known.update(envelope.event_id for envelope in fresh)
        self.streams[stream].extend(fresh)
        if outcome is RunOutcome.LOST:
            appending.answer.errback(Failure(TargetDown("scripted: nobody knows")))
        else:
            appending.answer.callback(None)


class StreamSinkUnderTest(Protocol):
    """A stream sink together with a target that does what the suite says."""

    @property
    def sink(self) -> IStreamSink:
        """The sink."""

    def will(self, *outcomes: RunOutcome) -> None:
        """What becomes of the next runs that are offered, one each; further ones are taken.

        A run behind one that is LOST or DOWN may meet the same fate, whatever is said here.
        """

    def held(self, stream: str) -> Deferred[list[bytes]]:
        """The bodies that the target holds, in order."""

    def recovered(self) -> Deferred[None]:
        """Wait until the target can be reached again after a run that failed."""

    def tear_down(self) -> Deferred[None]:
        """End the target. Called after the sink was closed."""


def _envelopes(count: int, first: int = 0) -> list[Envelope]:
    return [make_envelope(number) for number in range(first, first + count)]


def _cut(envelopes: Sequence[Envelope], sizes: Iterable[int]) -> list[list[Envelope]]:
    """Runs of these sizes, the last size for all further ones."""
    runs: list[list[Envelope]] = []
    left = list(envelopes)
    size = 1
    wanted = iter(sizes)
    while left:
        size = next(wanted, size)
        runs.append(left[:size])
        left = left[size:]
    return runs


def stream_sink_contract_tests(
    make: Callable[[TestCase], Deferred[StreamSinkUnderTest]],
) -> type[TestCase]:
    """What every IStreamSink promises, as a TestCase to subclass. The sink takes runs of 4 events at least,
    and 3 runs of a stream side by side.

    :param make: builds a fresh sink and its target for a test.
    """

    class StreamSinkContract(TestCase):
        async def _offer(self, under_test: StreamSinkUnderTest, runs: list[list[Envelope]]) -> list[Envelope]:
            """Offer runs of one stream side by side, until one has failed.

            :returns: what is not settled, in order.
            """
            sink = under_test.sink
            self.assertLessEqual(len(runs), sink.window)
            stream = sink.stream_of(runs[0][0])
            unsettled: list[list[Envelope]] = []
            answers: list[Deferred[None]] = []

            def failed(failure: Failure, run: list[Envelope]) -> None:
                self.assertIs(failure.type, TargetDown, failure)
                self.assertTrue(str(failure.value))
                unsettled.append(run)

            for place, run in enumerate(runs):
                if unsettled:
                    unsettled.extend(runs[place:])
                    break
                answers.append(
                    sink.append(stream, run).addCallbacks(self.assertIsNone, failed, (), {}, (run,))
                )
            await gatherResults(answers)
            return [envelope for run in sorted(unsettled, key=runs.index) for envelope in run]

        async def _finish(
            self, under_test: StreamSinkUnderTest, envelopes: Sequence[Envelope], size: int
        ) -> None:
            """Offer one run after the other until everything is settled."""
            left = list(envelopes)
            while left:
                failed = await self._offer(under_test, [left[:size]])
                if failed:
                    await under_test.recovered()
                else:
                    left = left[size:]

        async def _assert_held(
            self, under_test: StreamSinkUnderTest, envelopes: Sequence[Envelope], stream: str = ""
        ) -> None:
            stream = stream or under_test.sink.stream_of(envelopes[0])
            self.assertEqual(
                await under_test.held(stream), [envelope.body for envelope in envelopes], "not once, in order"
            )

        async def _end(self, under_test: StreamSinkUnderTest) -> None:
            await under_test.sink.close()
            await under_test.tear_down()

        async def test_interface(self) -> None:
            """The sink provides IStreamSink, has a name and bounds, and tells the stream of an event."""
            under_test = await make(self)
            sink = under_test.sink
            verifyObject(IStreamSink, sink)
            self.assertTrue(sink.name.isidentifier())
            self.assertGreaterEqual(sink.max_batch, 4)
            self.assertGreaterEqual(sink.window, 3)
            self.assertEqual(sink.stream_of(make_envelope(1)), sink.stream_of(make_envelope(2)))
            await self._end(under_test)

        async def test_taken(self) -> None:
            """Runs of any length are held in order, byte for byte."""
            under_test = await make(self)
            envelopes = _envelopes(1 + 4 + 2)
            for run in _cut(envelopes, [1, 4, 2]):
                self.assertEqual(await self._offer(under_test, [run]), [])
            await self._assert_held(under_test, envelopes)
            await self._end(under_test)

        async def test_longest_run(self) -> None:
            """A run of max_batch events is taken."""
            under_test = await make(self)
            envelopes = _envelopes(under_test.sink.max_batch)
            self.assertEqual(await self._offer(under_test, [envelopes]), [])
            await self._assert_held(under_test, envelopes)
            await self._end(under_test)

        async def test_window(self) -> None:
            """Runs that are under way side by side are held in the order of their offering."""
            under_test = await make(self)
            envelopes = _envelopes(3 * under_test.sink.window)
            self.assertEqual(await self._offer(under_test, _cut(envelopes, [3])), [])
            await self._assert_held(under_test, envelopes)
            await self._end(under_test)

        async def test_down(self) -> None:
            """A run that did not get through fails with TargetDown, is held nowhere, and is taken later."""
            under_test = await make(self)
            envelopes = _envelopes(3)
            under_test.will(RunOutcome.DOWN)
            self.assertEqual(await self._offer(under_test, [envelopes]), envelopes)
            await under_test.recovered()
            self.assertEqual(await under_test.held(under_test.sink.stream_of(envelopes[0])), [])
            await self._finish(under_test, envelopes, 3)
            await self._assert_held(under_test, envelopes)
            await self._end(under_test)

        async def test_lost_answer(self) -> None:
            """A run of which nobody knows is offered again as it was and held once."""
            await self._assert_once([RunOutcome.LOST], first_cut=[4], second_size=4)

        async def test_lost_answer_shorter(self) -> None:
            """The same, in shorter runs."""
            await self._assert_once([RunOutcome.LOST], first_cut=[4], second_size=1)

        async def test_lost_answer_longer(self) -> None:
            """The same, in runs that go on with events that were never offered."""
            await self._assert_once([RunOutcome.LOST], first_cut=[3], second_size=4)

        async def test_lost_answers_in_window(self) -> None:
            """Several runs in a row of which nobody knows."""
            await self._assert_once([RunOutcome.LOST] * 3, first_cut=[2, 3, 1], second_size=4)

        async def test_lost_in_the_middle(self) -> None:
            """A run that was taken, one of which nobody knows and one that was not taken, side by side."""
            outcomes = [RunOutcome.TAKEN, RunOutcome.LOST, RunOutcome.DOWN]
            await self._assert_once(outcomes, first_cut=[2, 2, 2], second_size=3)

        async def test_down_before_others(self) -> None:
            """What is under way behind a run that was not taken does not overtake it."""
            outcomes = [RunOutcome.DOWN, RunOutcome.TAKEN, RunOutcome.TAKEN]
            await self._assert_once(outcomes, first_cut=[2, 2, 2], second_size=4)

        async def test_twice_lost(self) -> None:
            """A run that is lost again when it is offered again."""
            await self._assert_once([RunOutcome.LOST, RunOutcome.LOST], first_cut=[4], second_size=2)

        async def test_lost_then_down(self) -> None:
            """A run that is lost, and does not get through when it is offered again."""
            await self._assert_once([RunOutcome.LOST, RunOutcome.DOWN], first_cut=[4], second_size=3)

        async def _assert_once(
            self, outcomes: Sequence[RunOutcome], first_cut: Sequence[int], second_size: int
        ) -> None:
            """Begin with runs side by side, go on with what is left and four more, one run at a time."""
            under_test = await make(self)
            begun = _envelopes(sum(first_cut))
            further = _envelopes(4, first=len(begun))
            under_test.will(*outcomes)
            unsettled = await self._offer(under_test, _cut(begun, first_cut))
            self.assertTrue(unsettled)
            await under_test.recovered()
            await self._finish(under_test, [*unsettled, *further], second_size)
            await self._assert_held(under_test, [*begun, *further])
            await self._end(under_test)

        async def test_streams(self) -> None:
            """What fails on the way to one stream is held there once, whatever goes to another meanwhile."""
            under_test = await make(self)
            sink = under_test.sink
            messages = _envelopes(4)
            others = [evolve(envelope, type=EventType.CONNECTED) for envelope in _envelopes(4, first=100)]
            self.assertNotEqual(sink.stream_of(messages[0]), sink.stream_of(others[0]))
            under_test.will(RunOutcome.LOST)
            unsettled = await self._offer(under_test, [messages])
            await under_test.recovered()
            await self._finish(under_test, others, 3)
            await self._finish(under_test, unsettled, 4)
            await self._assert_held(under_test, messages)
            await self._assert_held(under_test, others)
            await self._end(under_test)

        async def test_close_under_way(self) -> None:
            """A run that is under way when the sink is closed ends as TargetDown: nobody knows."""
            under_test = await make(self)
            under_test.will(RunOutcome.HANG)
            envelope = make_envelope()
            answer = under_test.sink.append(under_test.sink.stream_of(envelope), [envelope])
            self.assertNoResult(answer)
            await under_test.sink.close()
            await self.assertFailure(answer, TargetDown)
            await under_test.tear_down()

    return StreamSinkContract
