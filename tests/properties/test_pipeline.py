"""Whatever is emitted and whatever the targets answer: the order holds and nothing is lost in silence."""

from __future__ import annotations

from collections import defaultdict
from itertools import pairwise
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.events.street import Connection, Street
from ws_gateway.domain.messages import Envelope, EventType
from ws_gateway.testing.sinks import FakeSink, Outcome

OUTCOMES = st.sampled_from(
    [Outcome.ACCEPT, Outcome.ACCEPT, Outcome.HANG, Outcome.HANG, Outcome.FAIL, Outcome.DOWN, Outcome.REFUSE]
)
STEPS = st.lists(
    st.one_of(
        # Somebody comes, says something (in a lane of its own or a shared one) or goes.
        st.tuples(st.just("next"), st.integers(0, 3), st.sampled_from([None, None, "k1", "k2", "id-0"])),
        st.tuples(st.just("leave"), st.integers(0, 3)),
        st.tuples(st.just("script"), st.integers(0, 1), OUTCOMES),
        st.tuples(st.just("settle"), st.integers(0, 1), st.integers(0, 5), OUTCOMES),
        st.tuples(st.just("wait"), st.sampled_from([0.0, 0.5, 1.0, 3.0, 20.0])),
    ),
    max_size=60,
)


def offers_in_order(sink: FakeSink, kept: list[Envelope]) -> None:
    """Judge the whole history of a sink.

    :param kept: every event that the pipeline took, in the order of emission.
    """
    first_offer: dict[str, int] = {}
    last_offer: dict[str, int] = {}
    for place, delivery in enumerate(sink.deliveries):
        keys = [envelope.key for envelope in delivery]
        assert len(set(keys)) == len(keys), "two events of one key in one delivery"
        for envelope in delivery:
            first_offer.setdefault(envelope.event_id, place)
            last_offer[envelope.event_id] = place

    by_key: dict[str, list[Envelope]] = defaultdict(list)
    by_connection: dict[str, list[Envelope]] = defaultdict(list)
    for envelope in kept:
        by_key[envelope.key].append(envelope)
        by_connection[envelope.connection_id].append(envelope)
    for line in by_key.values():
        for older, newer in pairwise(line):
            # An event is offered for the first time after the last offer of the one before it in its key.
            assert last_offer[older.event_id] < first_offer[newer.event_id]
    for line in by_connection.values():
        for other in line:
            for envelope in line:
                if envelope.type is EventType.CONNECTED and other is not envelope:
                    assert last_offer[envelope.event_id] < first_offer[other.event_id]
                if envelope.type is EventType.DISCONNECTED and other is not envelope:
                    assert last_offer[other.event_id] < first_offer[envelope.event_id]


class ConcurrencyGuard(FakeSink):
    """A fake that notes every delivery that may not be made while others are under way.

    It cannot raise: the pipeline would take that for a failure of the sink.
    """

    def __init__(self, name: str, max_batch: int) -> None:
        super().__init__(name, max_batch)
        self.most = 0
        self.violations: list[str] = []

    def deliver(self, envelopes: Any) -> Any:
        under_way = [envelope for hanging in self.hanging for envelope in hanging.envelopes]
        for envelope in envelopes:
            for other in under_way:
                if other.key == envelope.key:
                    self.violations.append(f"{envelope} while its key has {other} under way")
                if other.connection_id == envelope.connection_id:
                    types = {other.type, envelope.type}
                    if types != {EventType.MESSAGE_RECEIVED}:
                        self.violations.append(f"{envelope} while {other} is under way")
        answer = super().deliver(envelopes)
        self.most = max(self.most, len(self.hanging))
        return answer


@settings(deadline=None, max_examples=200)
@given(STEPS, st.sampled_from([1, 3]), st.sampled_from([3, 1000]))
def test_any_life(steps: list[tuple[Any, ...]], max_batch: int, max_per_key: int) -> None:
    """Any sequence of events, answers and waiting keeps the order rules and accounts for every event."""
    sinks = [ConcurrencyGuard("one", max_batch), ConcurrencyGuard("two", 1)]
    street = Street(sinks, max_per_key=max_per_key, attempts=3, concurrency=4)
    lives: list[Connection | None] = [None] * 4
    born = 0
    emitted = 0
    told: list[int] = []

    def emit(event: Any) -> None:
        nonlocal emitted
        number = emitted
        emitted += 1
        street.emit(event, lambda: told.append(number))

    for step in steps:
        match step:
            case ("next", place, key):
                life = lives[place]
                if life is None:
                    life = lives[place] = Connection(f"id-{born}")
                    born += 1
                    emit(life.connected())
                else:
                    emit(life.message(key))
            case ("leave", place):
                life = lives[place]
                if life is not None:
                    emit(life.disconnected())
                    lives[place] = None
            case ("script", which, outcome):
                sinks[which].script(outcome)
            case ("settle", which, place, outcome):
                hanging = sinks[which].hanging
                if hanging and outcome is not Outcome.HANG:
                    hanging[place % len(hanging)].settle(outcome)
            case ("wait", seconds):
                street.clock.advance(seconds)
        for sink in sinks:
            assert sink.most <= 4
            assert not sink.violations

    # From now on the targets are sound: what waits must come to an end.
    drained = street.pipeline.drain()
    for _ in range(200):
        for sink in sinks:
            sink._script.clear()
            for hanging in list(sink.hanging):
                hanging.settle(Outcome.ACCEPT)
        street.clock.advance(16)
        if street.pipeline.waiting == 0:
            break
    assert drained.called
    assert street.pipeline.idle
    assert street.pipeline.waiting_bytes == 0
    assert not street.clock.getDelayedCalls()

    dropped = street.metrics.total("event_dropped_total")
    for sink in sinks:
        assert not sink.violations
        dead = [letter for letter in street.pipeline.dead_letters if letter.sink == sink.name]
        assert len(sink.accepted) + len(dead) + dropped == emitted
        assert len({envelope.event_id for envelope in sink.accepted}) == len(sink.accepted)
        kept = sorted(
            [*sink.accepted, *(letter.envelope for letter in dead)], key=lambda envelope: envelope.event_id
        )
        offers_in_order(sink, kept)
    assert sorted(told) == list(range(emitted))
