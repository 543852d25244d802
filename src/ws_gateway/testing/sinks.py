"""A sink whose target is a script, and the contract suite that proves it beside the real ones."""

# mypy: allow-untyped-calls
# (the assertions of twisted.trial have no types)

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from ws_gateway.domain.messages import Envelope, EventType, Receipt
from ws_gateway.errors import EventFailed, EventRefused, TargetDown
from ws_gateway.interfaces import IEventSink

__all__ = ["FakeSink", "Hanging", "Outcome", "SinkUnderTest", "make_envelope", "sink_contract_tests"]


class Outcome(Enum):
    """What a target does with an event."""

    ACCEPT = "accept"
    DOWN = "down"
    FAIL = "fail"
    REFUSE = "refuse"
    HANG = "hang"


_ERRORS: dict[Outcome, Callable[[], Exception]] = {
    Outcome.DOWN: lambda: TargetDown("scripted: down"),
    Outcome.FAIL: lambda: EventFailed("scripted: failed"),
    Outcome.REFUSE: lambda: EventRefused("scripted: refused"),
}


def _result(outcome: Outcome | Exception) -> Receipt | Failure:
    if isinstance(outcome, Exception):
        return Failure(outcome)
    return Receipt() if outcome is Outcome.ACCEPT else Failure(_ERRORS[outcome]())


@define(eq=False)
class Hanging:
    """A delivery that is under way until the test settles it."""

    envelopes: tuple[Envelope, ...]
    _answer: Deferred[list[Receipt | Failure]] = field(repr=False)

    def settle(self, *outcomes: Outcome | Exception) -> None:
        """Answer now; one outcome is meant for all events of the delivery."""
        chosen = list(outcomes) if len(outcomes) > 1 else list(outcomes) * len(self.envelopes)
        self._answer.callback([_result(outcome) for outcome in chosen])


@implementer(IEventSink)
class FakeSink:
    """Does with each event what the script says next, and accepts when the script is over.

    A delivery of which one event hangs hangs as a whole.

    :ivar deliveries: every call, in order, as tuples of envelopes.
    :ivar accepted: the envelopes that the target took, in order.
    :ivar hanging: what is under way, oldest first; settle() answers.
    :ivar closed: how often close() was called.
    """

    def __init__(self, name: str = "fake", max_batch: int = 1) -> None:
        self.name = name
        self.max_batch = max_batch
        self.deliveries: list[tuple[Envelope, ...]] = []
        self.accepted: list[Envelope] = []
        self.hanging: list[Hanging] = []
        self.closed = 0
        self._script: deque[Outcome | Exception] = deque()
        self._default: Outcome | Exception = Outcome.ACCEPT

    def script(self, *outcomes: Outcome | Exception) -> None:
        """Append what happens to the next events; an exception is given back as it is."""
        self._script.extend(outcomes)

    def always(self, outcome: Outcome | Exception) -> None:
        """What happens when the script is over."""
        self._default = outcome

    @property
    def offered(self) -> list[Envelope]:
        """Every envelope of every delivery, in order."""
        return [envelope for delivery in self.deliveries for envelope in delivery]

    def deliver(self, envelopes: Sequence[Envelope]) -> Deferred[list[Receipt | Failure]]:
        delivery = tuple(envelopes)
        self.deliveries.append(delivery)
        outcomes = [self._script.popleft() if self._script else self._default for _ in delivery]
        if Outcome.HANG not in outcomes:
            return succeed(self._note(delivery, [_result(outcome) for outcome in outcomes]))
        answer: Deferred[list[Receipt | Failure]] = Deferred()
        hanging = Hanging(delivery, answer)
        self.hanging.append(hanging)

        def settled(results: list[Receipt | Failure]) -> list[Receipt | Failure]:
            self.hanging.remove(hanging)
            return self._note(delivery, results)

        return answer.addCallback(settled)

    def close(self) -> Deferred[None]:
        """Give up what hangs: its outcome is unknown, so the target counts as down."""
        self.closed += 1
        for hanging in list(self.hanging):
            hanging.settle(TargetDown("the sink was closed"))
        return succeed(None)

    def _note(
        self, delivery: tuple[Envelope, ...], results: list[Receipt | Failure]
    ) -> list[Receipt | Failure]:
        self.accepted.extend(
            envelope
            for envelope, result in zip(delivery, results, strict=True)
            if not isinstance(result, Failure)
        )
        return results


class SinkUnderTest(Protocol):
    """A sink together with a target that does what the suite says."""

    @property
    def sink(self) -> IEventSink:
        """The sink."""

    def will(self, *outcomes: Outcome) -> None:
        """What the target does with the next events that reach it; it accepts further ones."""

    def taken(self) -> list[tuple[str, bytes]]:
        """(event_id, body) of what the target accepted so far, in order."""

    def tear_down(self) -> Deferred[None]:
        """End the target. Called after the sink was closed."""


def make_envelope(number: int = 1, connection_id: str = "c-1", traceparent: str | None = None) -> Envelope:
    """An envelope that differs from those with other numbers."""
    return Envelope(
        event_id=f"0190a0b0-0000-7000-8000-{number:012d}",
        type=EventType.MESSAGE_RECEIVED,
        connection_id=connection_id,
        key=connection_id,
        body=b'{"type":"message_received","seq":%d,"text":"gr\xc3\xbc\xc3\x9fe"}' % number,
        occurred_at_ms=1_700_000_000_000 + number,
        traceparent=traceparent,
    )


def sink_contract_tests(make: Callable[[TestCase], Deferred[SinkUnderTest]]) -> type[TestCase]:
    """What every IEventSink promises, as a TestCase to subclass.

    :param make: builds a fresh sink and its target for a test.
    """

    class SinkContract(TestCase):
        async def _deliver(self, *outcomes: Outcome) -> tuple[SinkUnderTest, list[Receipt | Failure]]:
            under_test = await make(self)
            under_test.will(*outcomes)
            envelopes = [make_envelope(number) for number in range(len(outcomes))]
            results: list[Receipt | Failure] = []
            size = under_test.sink.max_batch
            for start in range(0, len(envelopes), size):
                results += await under_test.sink.deliver(envelopes[start : start + size])
            await under_test.sink.close()
            await under_test.tear_down()
            return under_test, results

        async def test_interface(self) -> None:
            """The sink provides IEventSink, has a name and takes at least one event at once."""
            under_test = await make(self)
            verifyObject(IEventSink, under_test.sink)
            self.assertTrue(under_test.sink.name.isidentifier())
            self.assertGreaterEqual(under_test.sink.max_batch, 1)
            await under_test.sink.close()
            await under_test.tear_down()

        async def test_accepted(self) -> None:
            """Accepted events give a Receipt each and reach the target in order, byte for byte."""
            under_test, results = await self._deliver(Outcome.ACCEPT, Outcome.ACCEPT, Outcome.ACCEPT)
            self.assertEqual([type(result) for result in results], [Receipt] * 3)
            sent = [make_envelope(number) for number in range(3)]
            self.assertEqual(under_test.taken(), [(envelope.event_id, envelope.body) for envelope in sent])

        async def test_down(self) -> None:
            """A target that is down is a failure with TargetDown, not a failed Deferred."""
            await self._assert_failure(Outcome.DOWN, TargetDown)

        async def test_failed(self) -> None:
            """A target that fails on the event is a failure with EventFailed."""
            await self._assert_failure(Outcome.FAIL, EventFailed)

        async def test_refused(self) -> None:
            """A target that refuses the event is a failure with EventRefused."""
            await self._assert_failure(Outcome.REFUSE, EventRefused)

        async def _assert_failure(self, outcome: Outcome, expected: type[Exception]) -> None:
            under_test, [result] = await self._deliver(outcome)
            assert isinstance(result, Failure)
            self.assertIs(result.type, expected)
            self.assertTrue(str(result.value))
            self.assertEqual(under_test.taken(), [])

        async def test_no_memory(self) -> None:
            """What went wrong before does not touch the next delivery."""
            under_test, results = await self._deliver(Outcome.REFUSE, Outcome.ACCEPT)
            self.assertIsInstance(results[0], Failure)
            self.assertIsInstance(results[1], Receipt)
            self.assertEqual([event_id for event_id, _ in under_test.taken()], [make_envelope(1).event_id])

        async def test_close_under_way(self) -> None:
            """A delivery that is under way when the sink is closed ends as TargetDown: nobody knows."""
            under_test = await make(self)
            under_test.will(Outcome.HANG)
            answer = under_test.sink.deliver([make_envelope()])
            self.assertNoResult(answer)
            await under_test.sink.close()
            [result] = await answer
            assert isinstance(result, Failure)
            self.assertIs(result.type, TargetDown)
            await under_test.tear_down()

    return SinkContract
