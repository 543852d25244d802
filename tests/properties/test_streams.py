"""Whatever becomes of runs, however they are cut: each stream holds each of its events once, in order."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.events.street import Connection, Street
from ws_gateway.domain.messages import Envelope
from ws_gateway.testing.sinks import FakeSink, Outcome
from ws_gateway.testing.stream_sinks import FakeStreamSink, RunOutcome

STREAMS = ["k1", "k2", "k3"]
OUTCOMES = st.sampled_from([*RunOutcome, RunOutcome.TAKEN, RunOutcome.HANG])
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("say"), st.sampled_from(STREAMS), st.integers(1, 7)),
        st.tuples(st.just("say"), st.sampled_from(STREAMS), st.integers(1, 7)),
        st.tuples(st.just("turn")),
        st.tuples(st.just("script"), OUTCOMES),
        st.tuples(st.just("fault"), st.sampled_from(STREAMS), OUTCOMES),
        st.tuples(st.just("settle"), st.integers(0, 5), OUTCOMES),
        st.tuples(st.just("wait"), st.sampled_from([0.5, 1.0, 3.0, 20.0])),
        st.tuples(st.just("cut"), st.integers(1, 9)),
        st.tuples(st.just("other"), st.sampled_from([Outcome.ACCEPT, Outcome.DOWN, Outcome.FAIL])),
    ),
    max_size=60,
)


def stream_of(envelope: Envelope) -> str:
    """Each ordering key is a stream."""
    return envelope.key


@settings(deadline=None, max_examples=300)
@given(STEPS, st.integers(1, 5), st.integers(1, 4), st.integers(1, 6), st.booleans())
def test_any_life(
    steps: list[tuple[Any, ...]], max_batch: int, window: int, concurrency: int, at_once: bool
) -> None:
    """Any sequence of events, outages and waiting settles every event once, in the order of its stream."""
    clock: list[Any] = []
    later = None if at_once else lambda call: clock[0].callLater(0, call)
    stream = FakeStreamSink("runs", max_batch, window, stream_of, later)
    single = FakeSink("single")
    street = Street([stream, single], concurrency=concurrency, attempts=1000)
    clock.append(street.clock)
    connections = {key: Connection(f"of-{key}") for key in STREAMS}
    emitted: dict[str, list[bytes]] = defaultdict(list)
    told: list[int] = []
    count = 0

    for step in steps:
        match step:
            case ("say", key, many):
                for _ in range(many):
                    connection = connections[key]
                    street.emit(connection.message(key), lambda number=count: told.append(number))
                    count += 1
                    emitted[key].append(f"of-{key}/{connection.seq}".encode())
            case ("turn",):
                street.clock.advance(0)
            case ("script", outcome):
                stream.script(outcome)
            case ("fault", key, outcome):
                stream.always(outcome, key)
            case ("settle", place, outcome):
                hanging = stream.hanging
                if hanging and outcome is not RunOutcome.HANG:
                    stream.settle(hanging[place % len(hanging)], outcome)
            case ("wait", seconds):
                street.clock.advance(seconds)
            case ("cut", size):
                # A sink's bound is read when it is plugged in; runs are cut anew behind the pipeline's back.
                street.pipeline._destinations[0]._max_batch = min(size, max_batch)
            case ("other", outcome):
                single.always(outcome)
        assert not stream.violations
        for key, bodies in emitted.items():
            held = [envelope.body.strip() for envelope in stream.streams[key]]
            assert held == bodies[: len(held)]

    # From now on the targets are sound: what waits must come to an end.
    single.always(Outcome.ACCEPT)
    drained = street.pipeline.drain()
    for _ in range(400):
        stream.heal()
        street.clock.advance(0)
        street.clock.advance(16)
        if street.pipeline.waiting == 0:
            break
    assert drained.called
    assert street.pipeline.idle
    assert street.pipeline.waiting_bytes == 0
    assert not street.clock.getDelayedCalls()
    assert not stream.violations
    assert {
        key: [envelope.body.strip() for envelope in held] for key, held in stream.streams.items() if held
    } == emitted
    assert sorted(told) == list(range(count))
    assert street.metrics.total("event_dropped_total") == 0
    assert street.pipeline.sinks()[0].waiting == street.pipeline.sinks()[0].in_flight == 0
