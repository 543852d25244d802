"""The wheel: late by a slot at most, never early, whatever the clock and the watched do."""

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.websocket.deadlines import Wheel


class Someone:
    """Remembers when it was called."""

    def __init__(self, error: Exception | None = None) -> None:
        self.called: list[float] = []
        self._error = error

    def due(self, now: float) -> None:
        self.called.append(now)
        if self._error is not None:
            raise self._error


class Again(Someone):
    """Watches again whenever it is called."""

    def __init__(self, wheel: Wheel, every: float) -> None:
        super().__init__()
        self._wheel = wheel
        self._every = every

    def due(self, now: float) -> None:
        super().due(now)
        self._wheel.watch(self, now + self._every)


class WheelTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000.1)
        self.wheel = Wheel(self.clock)
        self.wheel.start()

    def turn(self, seconds: float, step: float = 0.05) -> None:
        for _ in range(round(seconds / step)):
            self.clock.advance(step)

    def test_in_time(self) -> None:
        """A deadline is met late by a slot at most, never early, and once."""
        watched = {1000.1 + place * 0.037: Someone() for place in range(300)}
        for deadline, someone in watched.items():
            self.wheel.watch(someone, deadline)
        self.assertEqual(len(self.wheel), 300)
        self.turn(20)
        for deadline, someone in watched.items():
            (called,) = someone.called
            self.assertGreaterEqual(called, deadline)
            self.assertLess(called, deadline + 0.56)
        self.assertEqual(len(self.wheel), 0)

    def test_past(self) -> None:
        """A deadline that has passed is met in the next slot, not within the call."""
        someone = Someone()
        self.wheel.watch(someone, 3)
        self.assertEqual(someone.called, [])
        self.turn(0.3)
        self.assertEqual(len(someone.called), 1)

    def test_far(self) -> None:
        """A deadline beyond all days is kept and harms nobody."""
        someone = Someone()
        slot = self.wheel.watch(someone, 1e300)
        self.turn(1)
        self.assertEqual(someone.called, [])
        self.wheel.forget(someone, slot)
        self.assertEqual(len(self.wheel), 0)

    def test_forget(self) -> None:
        """Who is forgotten is not called; forgetting twice, or too late, does nothing."""
        one, two = Someone(), Someone()
        slot = self.wheel.watch(one, 1001)
        self.assertEqual(self.wheel.watch(two, 1001), slot)
        self.wheel.forget(one, slot)
        self.wheel.forget(one, slot)
        self.turn(2)
        self.assertEqual((one.called, len(two.called)), ([], 1))
        self.wheel.forget(two, slot)

    def test_again(self) -> None:
        """Who watches again while it is called is called again, in a later slot."""
        someone = Again(self.wheel, 0)
        self.wheel.watch(someone, 1000.1)
        self.turn(3)
        self.assertGreater(len(someone.called), 5)
        self.assertEqual(len(set(someone.called)), len(someone.called))

    def test_forget_within(self) -> None:
        """One that is due may make another one be forgotten."""
        wheel = self.wheel

        class Forgetting(Someone):
            def due(self, now: float) -> None:
                super().due(now)
                wheel.forget(other, slot)

        other = Someone()
        slot = wheel.watch(other, 1003)
        wheel.watch(Forgetting(), 1001)
        self.turn(5)
        self.assertEqual(other.called, [])

    def test_jump(self) -> None:
        """After a long stall everything that is due is called, in order, and the rest in its time."""
        order: list[int] = []

        class Noting(Someone):
            def __init__(self, number: int) -> None:
                super().__init__()
                self._number = number

            def due(self, now: float) -> None:
                order.append(self._number)

        for number in (5, 1, 9, 3):
            self.wheel.watch(Noting(number), 1000 + number * 10)
        later = Someone()
        self.wheel.watch(later, 101_000)
        self.clock.advance(90_000)
        self.assertEqual(order, [1, 3, 5, 9])
        self.assertEqual(later.called, [])
        self.turn(10_010, 5)
        self.assertEqual(len(later.called), 1)

    def test_failing(self) -> None:
        """One that fails is logged and stops nobody."""
        bad, good, next_one = Someone(ValueError("oh")), Someone(), Someone()
        self.wheel.watch(bad, 1001)
        self.wheel.watch(good, 1001)
        self.wheel.watch(next_one, 1002)
        self.turn(3)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual((len(good.called), len(next_one.called)), (1, 1))

    def test_stop(self) -> None:
        """A stopped wheel calls nobody and holds nobody; stopping twice is fine."""
        clock = Clock()
        wheel = Wheel(clock)
        done: list[object] = []
        wheel.start().addCallback(done.append)
        someone = Someone()
        wheel.watch(someone, 1)
        wheel.stop()
        wheel.stop()
        clock.advance(5)
        self.assertEqual((someone.called, len(wheel), len(done)), ([], 0, 1))
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_many(self) -> None:
        """Thousands are one delayed call."""
        everybody = [Someone() for _ in range(5000)]
        slots = [self.wheel.watch(one, 1010 + place % 97) for place, one in enumerate(everybody)]
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        for one, slot in zip(everybody[::2], slots[::2], strict=True):
            self.wheel.forget(one, slot)
        self.turn(120, 0.25)
        self.assertEqual([len(one.called) for one in everybody], [0, 1] * 2500)
