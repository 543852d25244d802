"""Those who wait for a key."""

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.auth.waiters import AT_ONCE, MOST, Asked, Waiters

ASKED = Asked("RS256", "a")


class Turns(Clock):
    """A clock that counts the turns that were asked for."""

    asked_for = 0

    def callLater(self, *args: Any, **kwargs: Any) -> Any:
        """Count."""
        self.asked_for += 1
        return super().callLater(*args, **kwargs)


class WaitersTests(SynchronousTestCase):
    """Joining, being called, leaving."""

    def setUp(self) -> None:
        self.clock = Turns()
        self.told: list[Asked] = []
        self.turns: list[int] = []
        self.waiters = Waiters(self.clock, self.answer)

    def answer(self, asked: Asked) -> Deferred[Sequence[Any]]:
        """Tell them their own name."""
        self.told.append(asked)
        self.turns.append(self.clock.asked_for)
        return succeed((asked.kid,))

    def join(self, count: int) -> list[Deferred[Sequence[Any]]]:
        """So many join."""
        return [self.waiters.join(Asked("RS256", str(number))) for number in range(count)]

    def test_called(self) -> None:
        """Everybody who waits is answered, by what each asked, in order."""
        joined = self.join(3)
        for waiter in joined:
            self.assertNoResult(waiter)
        self.waiters.call()
        self.assertEqual([self.successResultOf(waiter) for waiter in joined], [("0",), ("1",), ("2",)])
        self.assertEqual(len(self.waiters), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_turn_by_turn(self) -> None:
        """A crowd is answered over several turns of the reactor, in order."""
        joined = self.join(2 * AT_ONCE + 1)
        self.waiters.call()
        self.clock.advance(0)
        self.assertEqual(self.turns, [0] * AT_ONCE + [1] * AT_ONCE + [2])
        self.assertEqual([asked.kid for asked in self.told], [str(n) for n in range(2 * AT_ONCE + 1)])
        self.assertEqual([self.successResultOf(waiter) for waiter in joined][-1], (str(2 * AT_ONCE),))

    def test_newcomers_wait_for_their_own_call(self) -> None:
        """Who joins while the called ones are answered is not among them."""
        self.join(AT_ONCE + 1)
        self.waiters.call()
        newcomer = self.waiters.join(ASKED)
        self.clock.advance(0)
        self.assertNoResult(newcomer)
        self.assertEqual(len(self.waiters), 1)
        self.waiters.call()
        self.assertEqual(self.successResultOf(newcomer), ("a",))

    def test_a_second_call_in_between(self) -> None:
        """A call while others are answered puts the new ones behind them."""
        first = self.join(AT_ONCE + 1)
        self.waiters.call()
        second = self.waiters.join(ASKED)
        self.waiters.call()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.assertNoResult(first[-1])
        self.clock.advance(0)
        self.assertEqual(self.successResultOf(first[-1]), (str(AT_ONCE),))
        self.assertEqual(self.successResultOf(second), ("a",))

    def test_leaving(self) -> None:
        """Who cancels is forgotten, before the call and while others are answered."""
        joined = self.join(AT_ONCE + 2)
        for gone in (joined[0], joined[-1]):
            gone.addErrback(lambda failure: None)
        joined[0].cancel()
        self.assertEqual(len(self.waiters), AT_ONCE + 1)
        self.waiters.call()
        joined[-1].cancel()
        self.assertEqual(len(self.waiters), 0)
        self.clock.advance(0)
        self.assertNotIn(Asked("RS256", "0"), self.told)
        self.assertNotIn(Asked("RS256", str(AT_ONCE + 1)), self.told)
        self.assertEqual(len(self.told), AT_ONCE)

    def test_one_answer_makes_another_leave(self) -> None:
        """An answer may lead to anything, also to the leaving of who would be next."""
        first, second = self.join(2)
        second.addErrback(lambda failure: "left")
        first.addCallback(lambda _: second.cancel())
        self.waiters.call()
        self.assertEqual(self.successResultOf(second), "left")
        self.assertEqual(len(self.told), 1)

    def test_dismissed(self) -> None:
        """In the end everybody gets an error of its own, and no timer is left."""
        joined = self.join(AT_ONCE + 1)
        self.waiters.call()
        joined.append(self.waiters.join(ASKED))
        self.waiters.dismiss(lambda: ZeroDivisionError())
        errors = [self.failureResultOf(waiter, ZeroDivisionError).value for waiter in joined[AT_ONCE:]]
        self.assertEqual(len({id(error) for error in errors}), 2)
        self.assertEqual((len(self.waiters), self.clock.getDelayedCalls()), (0, []))

    def test_dismissed_while_leaving(self) -> None:
        """The end of one may be the leaving of another."""
        first, second = self.join(2)
        first.addErrback(lambda _: second.cancel())
        second.addErrback(lambda failure: failure.type.__name__)
        self.waiters.dismiss(lambda: ZeroDivisionError())
        self.assertEqual(self.successResultOf(second), "CancelledError")

    def test_too_many(self) -> None:
        """When too many wait, one more is answered at once."""
        self.join(MOST)
        self.assertEqual(self.successResultOf(self.waiters.join(ASKED)), ("a",))
        self.assertEqual(len(self.waiters), MOST)
