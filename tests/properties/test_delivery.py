"""Delivery against a model that knows nothing of groups, batches and slices."""

from collections import deque
from collections.abc import Callable

import attrs
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred

from ws_gateway.domain.delivery import Delivery
from ws_gateway.domain.messages import Publication
from ws_gateway.domain.registry import Registry
from ws_gateway.testing.connections import FakeConnection
from ws_gateway.testing.metrics import FakeMetrics

SUBJECTS = ["a", "b", "c", "d"]
IDS = [f"c{number}" for number in range(8)]


@attrs.frozen
class Member:
    """A connection as the model sees it."""

    connection_id: str
    subjects: frozenset[str]
    room: int


MEMBERS = st.lists(
    st.builds(
        Member,
        connection_id=st.sampled_from(IDS),
        subjects=st.frozensets(st.sampled_from(SUBJECTS)),
        room=st.integers(0, 3) | st.just(1_000),
    ),
    max_size=8,
    unique_by=lambda member: member.connection_id,
)

PUBLICATIONS = st.builds(
    lambda subjects, excluded: Publication(tuple(subjects), b"", excluded=excluded),
    st.lists(st.sampled_from([*SUBJECTS, "*", "nobody"]), min_size=1, max_size=3, unique=True),
    st.just(frozenset()) | st.frozensets(st.sampled_from(IDS), max_size=3),
)

CALLS = st.lists(st.tuples(st.lists(PUBLICATIONS, max_size=5), st.booleans()), max_size=6)
"""What each call publishes, and whether a turn of the loop follows it."""


def modelled(
    members: list[Member], calls: list[list[Publication]]
) -> tuple[list[list[int]], dict[str, list[bytes]]]:
    """One publication after the other to one connection after the other."""
    got: dict[str, list[bytes]] = {member.connection_id: [] for member in members}
    counts = []
    for call in calls:
        sent = []
        for publication in call:
            count = 0
            for member in members:
                wanted = "*" in publication.subjects or member.subjects.intersection(publication.subjects)
                if not wanted or member.connection_id in publication.excluded:
                    continue
                if len(got[member.connection_id]) < member.room:
                    got[member.connection_id].append(publication.payload)
                    count += 1
            sent.append(count)
        counts.append(sent)
    return counts, got


@settings(max_examples=300, deadline=None)
@given(members=MEMBERS, calls=CALLS, step=st.sampled_from([0.0, 0.004, 1.0]))
def test_like_the_model(
    members: list[Member], calls: list[tuple[list[Publication], bool]], step: float
) -> None:
    """Whatever comes in one turn or in several, cut or not: the same counts and the same order."""
    registry, metrics = Registry(), FakeMetrics()
    connections = [
        FakeConnection(member.connection_id, "u", tuple(sorted(member.subjects)), room=member.room)
        for member in members
    ]
    for connection in connections:
        registry.add(connection)
    turns: deque[Callable[[], None]] = deque()
    time = [0.0]

    def now() -> float:
        time[0] += step
        return time[0]

    delivery = Delivery(registry, turns.append, now, metrics)
    number = 0
    published: list[list[Publication]] = []
    answers: list[Deferred[list[int]]] = []
    for publications, then_turn in calls:
        numbered = []
        for publication in publications:
            numbered.append(attrs.evolve(publication, payload=b"%d" % number))
            number += 1
        published.append(numbered)
        answers.append(delivery.deliver(numbered))
        if then_turn and turns:
            turns.popleft()()
    while turns:
        turns.popleft()()

    counts, got = modelled(members, published)
    assert [answer.result for answer in answers] == counts
    assert {connection.connection_id: connection.payloads for connection in connections} == got
    assert metrics.value("publish_waiting") == metrics.value("publish_waiting_bytes") == 0
    assert metrics.value("publish_deliveries_total") == sum(map(sum, counts))
