"""Whatever is lost on the way and whenever it comes: every entry stands in the stream once, in order."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from ws_gateway.brokers.redis import line as line_module
from ws_gateway.brokers.redis.line import Line
from ws_gateway.errors import BrokerDown

WINDOW = 4


class ModelRedis:
    """A Redis, and connections to it that are read in order, also after their end, at any time.

    :ivar stream: what it holds.
    """

    def __init__(self) -> None:
        self.stream: list[bytes] = []
        self.keys: dict[int, tuple[int, bool]] = {}
        self.up = True
        self.forbidding = False
        # Commands of the connection that lasts, with their answers; of those that ended, without.
        self.open: deque[tuple[tuple[object, ...], Deferred[object]]] = deque()
        self.answers: deque[tuple[Deferred[object], object]] = deque()
        self.ended: list[deque[tuple[object, ...]]] = []

    # The writer that the line sees.

    def side_by_side(self, stream: str) -> bool:
        return True

    def append(self, stream: str, epoch: int, number: int, data: Sequence[bytes]) -> Deferred[None]:
        return self._send(("append", epoch, number, tuple(data)))  # type: ignore[return-value]

    def fence(self, stream: str, epoch: int) -> Deferred[int]:
        return self._send(("fence", epoch))  # type: ignore[return-value]

    def _send(self, command: tuple[object, ...]) -> Deferred[object]:
        if not self.up:
            return fail(BrokerDown("down"))
        answer: Deferred[object] = Deferred()
        self.open.append((command, answer))
        return answer

    # What happens.

    def carry_out(self, count: int) -> None:
        """Read commands of the connection that lasts; their answers are on the way."""
        for _ in range(min(count, len(self.open))):
            command, answer = self.open.popleft()
            self.answers.append((answer, self._run(command)))

    def answer(self, count: int) -> None:
        """Answers arrive."""
        for _ in range(min(count, len(self.answers))):
            answer, result = self.answers.popleft()
            if isinstance(result, Exception):
                answer.errback(Failure(result))
            else:
                answer.callback(result)

    def cut(self) -> None:
        """The connection ends; what was written to it may be read much later."""
        self.up = False
        self.ended.append(deque(command for command, _ in self.open))
        waiting = [answer for answer, _ in self.answers] + [answer for _, answer in self.open]
        self.answers.clear()
        self.open.clear()
        for answer in waiting:
            answer.errback(Failure(BrokerDown("cut")))

    def read_late(self, which: int, count: int) -> None:
        """Read what stood in the buffer of a connection that has ended."""
        if self.ended:
            old = self.ended[which % len(self.ended)]
            for _ in range(min(count, len(old))):
                self._run(old.popleft())

    def connect(self) -> None:
        self.up = True

    def _run(self, command: tuple[object, ...]) -> object:
        word, epoch, *rest = command
        assert isinstance(epoch, int)
        stored, closed = self.keys.get(epoch, (0, False))
        if word == "fence":
            if self.forbidding:
                return BrokerDown("OOM")
            self.keys[epoch] = (stored, True)
            return stored
        number, data = rest
        assert isinstance(number, int) and isinstance(data, tuple)
        if closed:
            return BrokerDown("FENCED")
        if number <= stored:
            return None
        if number != stored + 1:
            return BrokerDown("GAP")
        if self.forbidding:
            return BrokerDown("OOM")
        self.stream.extend(data)
        self.keys[epoch] = (number, False)
        return None


class Offerer:
    """Offers as IStreamSink wants it."""

    def __init__(self, line: Line, count: int, seed: int) -> None:
        self.line = line
        self.left = list(range(count))
        self.under_way: list[list[int]] = []
        self.unsettled: list[list[int]] = []
        self.random = Random(seed)
        self.eager = False

    @property
    def over(self) -> bool:
        return not (self.left or self.under_way or self.unsettled)

    def offer(self) -> None:
        """One run more, if the rules allow it."""
        if self.unsettled:
            if self.under_way:
                return
            again = sorted(number for run in self.unsettled for number in run)
            self.unsettled.clear()
            self.left = again + self.left
        if not self.left or len(self.under_way) >= WINDOW:
            return
        length = self.random.randint(1, 7)
        run, self.left = self.left[:length], self.left[length:]
        self.under_way.append(run)
        entries = [(b"id%d" % number, b"%d" % number) for number in run]
        self.line.offer(entries).addCallbacks(self._settled, self._failed, (run,), {}, (run,), {})

    def _settled(self, result: None, run: list[int]) -> None:
        self.under_way.remove(run)
        if self.eager:
            self.offer()

    def _failed(self, failure: Failure, run: list[int]) -> None:
        assert failure.check(BrokerDown), failure
        self.under_way.remove(run)
        self.unsettled.append(run)


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.integers(1, 4), st.just(0)),
        st.tuples(st.just("carry_out"), st.integers(1, 6), st.just(0)),
        st.tuples(st.just("answer"), st.integers(1, 6), st.just(0)),
        st.tuples(st.just("cut"), st.just(0), st.just(0)),
        st.tuples(st.just("connect"), st.just(0), st.just(0)),
        st.tuples(st.just("late"), st.integers(0, 5), st.integers(1, 6)),
        st.tuples(st.just("forbid"), st.just(0), st.just(0)),
        st.tuples(st.just("allow"), st.just(0), st.just(0)),
        st.tuples(st.just("sleep"), st.just(0), st.just(0)),
    ),
    max_size=120,
)


@settings(max_examples=300, deadline=None)
@given(steps=STEPS, seed=st.integers(0, 1000), eager=st.booleans())
def test_once_and_in_order(steps: list[tuple[str, int, int]], seed: int, eager: bool) -> None:
    """Cut connections, commands that arrive late, answers that never do, refusals: once, in order, all."""
    redis = ModelRedis()
    clock = Clock()
    most, line_module.MOST_ENTRIES = line_module.MOST_ENTRIES, 3
    try:
        line = Line("inbox", redis, clock)
        offerer = Offerer(line, 60, seed)
        offerer.eager = eager
        for step, first, second in steps:
            if step == "offer":
                for _ in range(first):
                    offerer.offer()
            elif step == "carry_out":
                redis.carry_out(first)
            elif step == "answer":
                redis.answer(first)
            elif step == "cut" and redis.up:
                redis.cut()
            elif step == "connect":
                redis.connect()
            elif step == "late":
                redis.read_late(first, second)
            elif step in ("forbid", "allow"):
                redis.forbidding = step == "forbid"
            elif step == "sleep":
                clock.advance(50_000)
            held = [int(data) for data in redis.stream]
            assert held == list(range(len(held))), held
            assert line.remembered <= WINDOW * 7
        redis.connect()
        redis.forbidding = False
        for _ in range(500):
            offerer.offer()
            redis.carry_out(10)
            redis.answer(10)
            redis.read_late(0, 1)
        assert offerer.over
        assert [int(data) for data in redis.stream] == list(range(60))
        assert line.remembered == 0
    finally:
        line_module.MOST_ENTRIES = most
