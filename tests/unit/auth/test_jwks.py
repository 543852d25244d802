"""Keys from a URL: when they are fetched, who waits, and what stays when the source fails."""

import json
from typing import Any

from jwt.algorithms import get_default_algorithms
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from ws_gateway.auth.jwks import JwksKeys, JwksRules
from ws_gateway.auth.jwks_fetch import FetchFailed, Outcome
from ws_gateway.errors import KeysUnavailable
from ws_gateway.interfaces import IKeySource, IReadiness
from ws_gateway.testing.auth import Issuer
from ws_gateway.testing.metrics import FakeMetrics

_A, _B = Issuer.generate("ES256"), Issuer.generate("ES256")
_A_HEADER = {"alg": "ES256", "kid": "a"}
_B_HEADER = {"alg": "ES256", "kid": "b"}


def published(**issuers: Issuer) -> bytes:
    """A key set with these keys, by kid."""
    es256 = get_default_algorithms()["ES256"]
    keys = [
        {**es256.to_jwk(issuer.verification_key, as_dict=True), "kid": kid} for kid, issuer in issuers.items()
    ]
    return json.dumps({"keys": keys}).encode()


class Case(SynchronousTestCase):
    """A source of keys over a fetch that the test answers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.fetches: list[Deferred[bytes]] = []
        self.chance = 0.0
        self.keys = self.make()

    def make(self, rules: JwksRules | None = None, *algorithms: str) -> JwksKeys:
        """A source that was not started."""
        self.metrics = FakeMetrics()
        return JwksKeys(
            self.fetch,
            algorithms or ("ES256",),
            rules or JwksRules(cooldown=30, refresh=300),
            self.clock,
            self.clock.seconds,
            lambda: self.chance,
            self.metrics,
        )

    def fetch(self) -> Deferred[bytes]:
        """Begin a fetch, which the test ends."""
        self.fetches.append(Deferred())
        return self.fetches[-1]

    def load(self, **issuers: Issuer) -> None:
        """Start, and let the first fetch succeed."""
        self.keys.startService()
        self.fetches[0].callback(published(**issuers))

    def fetch_fails(self, outcome: Outcome = Outcome.UNREACHABLE) -> None:
        """The fetch that is under way fails."""
        self.fetches[-1].errback(FetchFailed(outcome, "no luck"))

    def found(self, header: dict[str, Any]) -> list[Any]:
        """Keys that are there at once."""
        return list(self.successResultOf(self.keys.candidates(header)))

    def unavailable(self) -> KeysUnavailable:
        """What is said while there are no keys."""
        error: KeysUnavailable = self.failureResultOf(self.keys.candidates(_A_HEADER), KeysUnavailable).value
        return error

    def fetched(self, outcome: Outcome) -> float:
        """How many fetches ended like this."""
        return self.metrics.value("jwks_fetches_total", outcome=outcome.value)


class FirstKeysTests(Case):
    """Before any key was ever loaded."""

    def test_provides(self) -> None:
        """It is a key source, and can say how it is."""
        self.assertTrue(verifyObject(IKeySource, self.keys))
        self.assertTrue(verifyObject(IReadiness, self.keys))

    def test_metrics_at_zero(self) -> None:
        """All instruments exist before the first fetch."""
        self.assertEqual(self.metrics.total("jwks_fetches_total"), 0)
        self.assertEqual(self.metrics.value("jwks_stale_total"), 0)
        self.assertEqual(self.metrics.value("jwks_keys"), 0)
        self.assertEqual(self.metrics.value("jwks_age_seconds"), 0)

    def test_starts_with_a_fetch(self) -> None:
        """The first fetch begins with the service, which does not wait for it."""
        self.assertEqual(self.fetches, [])
        self.keys.startService()
        self.assertEqual(len(self.fetches), 1)

    def test_waits_for_the_first_keys(self) -> None:
        """Whoever comes before the first keys waits for them; all wait for one fetch."""
        self.keys.startService()
        first, second = (self.keys.candidates(header) for header in (_A_HEADER, _B_HEADER))
        self.assertNoResult(first)
        self.fetches[0].callback(published(a=_A))
        self.assertEqual(list(self.successResultOf(first)), [_A.verification_key])
        self.assertEqual(list(self.successResultOf(second)), [])
        self.assertEqual((len(self.fetches), self.keys.waiting), (1, 0))

    def test_unavailable(self) -> None:
        """When the first fetch fails, those who wait are told when to come back, and so are those after."""
        self.keys.startService()
        waiting = self.keys.candidates(_A_HEADER)
        self.fetch_fails(Outcome.STATUS)
        self.assertEqual(self.failureResultOf(waiting, KeysUnavailable).value.retry_after, 30)
        self.clock.advance(10)
        self.assertEqual(self.unavailable().retry_after, 20)
        self.clock.advance(19.9)
        self.assertEqual(self.unavailable().retry_after, 1)
        self.assertEqual(len(self.fetches), 1)

    def test_again_by_itself(self) -> None:
        """A failed first fetch is repeated after the cool-down, without anybody asking."""
        self.keys.startService()
        self.fetch_fails(Outcome.STATUS)
        self.clock.advance(29.9)
        self.assertEqual(len(self.fetches), 1)
        self.clock.advance(0.1)
        self.assertEqual(len(self.fetches), 2)

    def test_again_sooner_if_nobody_was_reached(self) -> None:
        """A source that is not up yet is asked again soon, at growing intervals up to the cool-down."""
        self.chance = 0.999999
        self.keys.startService()
        moments = []
        for _ in range(7):
            before = self.clock.seconds()
            self.fetch_fails(Outcome.UNREACHABLE)
            while self.fetches[-1].called:
                self.clock.advance(0.5)
            moments.append(self.clock.seconds() - before)
        self.assertEqual(moments, [2, 4, 8, 16, 30, 30, 30])

    def test_cooldown_shorter_than_the_first_pause(self) -> None:
        """The cool-down is the longest pause of all."""
        self.keys = self.make(JwksRules(cooldown=0.5, refresh=300))
        self.keys.startService()
        self.fetch_fails(Outcome.UNREACHABLE)
        self.clock.advance(0.5)
        self.assertEqual(len(self.fetches), 2)

    def test_before_the_start(self) -> None:
        """A source that does not run fetches nothing."""
        self.unavailable()
        self.assertEqual(self.fetches, [])

    def test_an_answer_at_once(self) -> None:
        """A fetch may have its answer before it returns."""
        self.fetch = lambda: Deferred.fromCoroutine(self.at_once())  # type: ignore[method-assign]
        self.keys = JwksKeys(
            self.fetch, ["ES256"], JwksRules(), self.clock, self.clock.seconds, lambda: 0.0, FakeMetrics()
        )
        self.keys.startService()
        self.assertEqual(self.found(_A_HEADER), [_A.verification_key])
        self.assertEqual(self.found(_B_HEADER), [])

    async def at_once(self) -> bytes:
        """No waiting."""
        return published(a=_A)

    def test_no_shared_secrets(self) -> None:
        """HS algorithms have no place beside published keys."""
        for algorithms in (("HS256",), ("RS256", "HS512")):
            error = self.assertRaises(ValueError, self.make, None, *algorithms)
            self.assertIn(algorithms[-1], str(error))


class UnknownKeyTests(Case):
    """A token asks for a key that is not there."""

    def setUp(self) -> None:
        super().setUp()
        self.load(a=_A)

    def test_within_the_cooldown(self) -> None:
        """It is answered at once and causes no fetch, whatever it asks for and how often."""
        for number in range(1000):
            self.assertEqual(self.found({"alg": "ES256", "kid": f"kid {number}"}), [])
            self.clock.advance(0.029)
        self.assertEqual((len(self.fetches), self.keys.waiting), (1, 0))

    def test_after_the_cooldown(self) -> None:
        """The first to ask after it causes one fetch, and everybody who asks meanwhile waits for the same."""
        self.clock.advance(30)
        asked = [self.keys.candidates({"alg": "ES256", "kid": str(number)}) for number in range(20)]
        asked.append(self.keys.candidates(_B_HEADER))
        self.assertEqual((len(self.fetches), self.keys.waiting), (2, 21))
        self.fetches[1].callback(published(a=_A, b=_B))
        results = [list(self.successResultOf(one)) for one in asked]
        self.assertEqual(results, [[]] * 20 + [[_B.verification_key]])
        self.assertEqual(self.found({"alg": "ES256", "kid": "another"}), [])
        self.assertEqual(len(self.fetches), 2)

    def test_the_cooldown_begins_when_the_fetch_ends(self) -> None:
        """A slow source is given its rest, too."""
        self.clock.advance(30)
        self.keys.candidates(_B_HEADER)
        self.clock.advance(10)
        self.fetches[1].callback(published(a=_A))
        self.clock.advance(29)
        self.assertEqual(self.found(_B_HEADER), [])
        self.clock.advance(1)
        self.assertNoResult(self.keys.candidates(_B_HEADER))

    def test_known_keys_never_wait(self) -> None:
        """A token with a known key is answered at once while others wait."""
        self.clock.advance(30)
        self.assertNoResult(self.keys.candidates(_B_HEADER))
        self.assertEqual(self.found(_A_HEADER), [_A.verification_key])

    def test_the_fetch_fails(self) -> None:
        """Then the key is unknown; that there are keys at all is known."""
        self.clock.advance(30)
        asked = self.keys.candidates(_B_HEADER)
        self.fetch_fails()
        self.assertEqual(list(self.successResultOf(asked)), [])
        self.assertEqual(self.found(_B_HEADER), [])
        self.assertEqual(len(self.fetches), 2)

    def test_leaving(self) -> None:
        """Who leaves is forgotten; the fetch goes on for the others, and for nobody if need be."""
        self.clock.advance(30)
        gone, stays = (self.keys.candidates(_B_HEADER) for _ in range(2))
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.assertEqual(self.keys.waiting, 1)
        self.assertFalse(self.fetches[1].called)
        stays.cancel()
        self.failureResultOf(stays, CancelledError)
        self.assertEqual(self.keys.waiting, 0)
        self.assertFalse(self.fetches[1].called)
        self.fetches[1].callback(published(b=_B))
        self.assertEqual(self.found(_B_HEADER), [_B.verification_key])

    def test_an_algorithm_that_is_not_accepted(self) -> None:
        """It is no reason for a fetch."""
        self.clock.advance(30)
        self.assertEqual(self.found({"alg": "RS256", "kid": "b"}), [])
        self.assertEqual(len(self.fetches), 1)

    def test_where_a_token_wants_its_keys_from(self) -> None:
        """`jku`, `x5u`, `jwk` and `x5c` change nothing."""
        es256 = get_default_algorithms()["ES256"]
        own = es256.to_jwk(_B.verification_key, as_dict=True)
        more = {"jku": "http://evil/", "x5u": "http://evil/", "jwk": own, "x5c": ["AA=="]}
        self.assertEqual(self.found({**_A_HEADER, **more}), [_A.verification_key])
        self.assertEqual(self.found({**_B_HEADER, **more}), [])


class RefreshTests(Case):
    """Keys that grow old."""

    def setUp(self) -> None:
        super().setUp()
        self.load(a=_A)

    def test_in_the_background(self) -> None:
        """At their age they are fetched again, and meanwhile they serve."""
        self.clock.advance(299.9)
        self.assertEqual(len(self.fetches), 1)
        self.clock.advance(0.1)
        self.assertEqual(len(self.fetches), 2)
        self.assertEqual(self.found(_A_HEADER), [_A.verification_key])
        self.assertEqual(self.metrics.value("jwks_age_seconds"), 300)
        self.fetches[1].callback(published(b=_B))
        self.assertEqual(self.metrics.value("jwks_age_seconds"), 0)
        self.assertEqual(self.found(_B_HEADER), [_B.verification_key])
        self.assertEqual(self.found(_A_HEADER), [])
        self.clock.advance(300)
        self.assertEqual(len(self.fetches), 3)

    def test_not_in_step(self) -> None:
        """The moment is moved by chance, towards now."""
        self.clock.advance(300)
        self.chance = 0.5
        self.fetches[1].callback(published(a=_A))
        self.clock.advance(284.9)
        self.assertEqual(len(self.fetches), 2)
        self.clock.advance(0.1)
        self.assertEqual(len(self.fetches), 3)

    def test_not_before_the_cooldown(self) -> None:
        """A refresh more often than the cool-down allows waits for it."""
        self.keys = self.make(JwksRules(cooldown=30, refresh=1))
        self.fetches.clear()
        self.load(a=_A)
        self.clock.advance(29)
        self.assertEqual(len(self.fetches), 1)
        self.clock.advance(1)
        self.assertEqual(len(self.fetches), 2)

    def test_a_fetch_for_a_token_moves_it(self) -> None:
        """What a token caused counts as a refresh: there is one timer."""
        self.clock.advance(200)
        self.keys.candidates(_B_HEADER)
        self.fetches[1].callback(published(a=_A))
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        self.clock.advance(299)
        self.assertEqual(len(self.fetches), 2)

    def test_no_fetch_beside_one(self) -> None:
        """While one is under way, neither age nor tokens begin another."""
        self.clock.advance(200)
        self.keys.candidates(_B_HEADER)
        self.clock.advance(1000)
        self.keys.candidates({"alg": "ES256", "kid": "c"})
        self.assertEqual((len(self.fetches), self.keys.waiting), (2, 2))


class FailingSourceTests(Case):
    """A source that fails after it gave keys."""

    def setUp(self) -> None:
        super().setUp()
        self.load(a=_A)
        self.clock.advance(300)

    def test_stale_keys_serve(self) -> None:
        """Old keys stay in use without end, each use is counted, and the source is asked every cool-down."""
        for number in range(100):
            self.fetch_fails(Outcome.TIMEOUT if number % 2 else Outcome.UNREACHABLE)
            self.assertEqual(self.found(_A_HEADER), [_A.verification_key])
            self.clock.advance(30)
            self.assertEqual(len(self.fetches), number + 3)
        self.assertEqual(self.metrics.value("jwks_stale_total"), 100)
        self.assertEqual(self.metrics.value("jwks_age_seconds"), 3300)
        self.assertEqual(self.metrics.value("jwks_keys"), 1)
        self.assertEqual((self.fetched(Outcome.TIMEOUT), self.fetched(Outcome.UNREACHABLE)), (50, 50))

    def test_not_sooner_than_the_cooldown(self) -> None:
        """With keys at hand there is no hurry, also where nobody was reached."""
        self.fetch_fails(Outcome.UNREACHABLE)
        self.clock.advance(29.9)
        self.assertEqual(len(self.fetches), 2)
        self.clock.advance(0.1)
        self.assertEqual(len(self.fetches), 3)

    def test_unknown_keys_are_no_stale_ones(self) -> None:
        """Only keys that are found count as stale."""
        self.fetch_fails()
        self.assertEqual(self.found(_B_HEADER), [])
        self.assertEqual(self.metrics.value("jwks_stale_total"), 0)

    def test_back_again(self) -> None:
        """New keys end it: nothing is stale, the pause begins anew."""
        self.fetch_fails()
        self.clock.advance(30)
        self.fetches[-1].callback(published(a=_A, b=_B))
        self.assertEqual(self.found(_B_HEADER), [_B.verification_key])
        self.assertEqual(self.metrics.value("jwks_stale_total"), 0)
        self.assertEqual(self.fetched(Outcome.OK), 2)
        self.clock.advance(299)
        self.assertEqual(len(self.fetches), 3)

    def test_a_set_of_no_use(self) -> None:
        """An answer without a key of use is a failure like others: the old keys stay."""
        for body in (b"<html>", b'{"keys": []}', b'{"keys": [{"kty": "oct", "k": "AA"}]}'):
            self.fetches[-1].callback(body)
            self.assertEqual(self.found(_A_HEADER), [_A.verification_key])
            self.clock.advance(30)
        self.assertEqual(self.fetched(Outcome.UNUSABLE), 3)

    def test_a_defect_of_ours(self) -> None:
        """What nobody expected is logged as such, and is a failure like others."""
        self.fetches[-1].errback(ZeroDivisionError())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.fetched(Outcome.DEFECT), 1)
        self.assertEqual(self.found(_A_HEADER), [_A.verification_key])
        self.clock.advance(30)
        self.assertEqual(len(self.fetches), 3)


class ReadinessTests(Case):
    """What `/ready` is told."""

    def test_never_loaded(self) -> None:
        """Without a key this node must get no clients, with the reason as soon as there is one."""
        self.assertEqual(self.keys.readiness(), ("keys", "failed", "no token key was ever loaded"))
        self.keys.startService()
        self.fetch_fails()
        self.assertEqual(self.keys.readiness(), ("keys", "failed", "no token key was ever loaded: no luck"))

    def test_loaded(self) -> None:
        """With keys all is well, however old they are."""
        self.load(a=_A)
        self.clock.advance(10_000)
        self.assertEqual(self.keys.readiness(), ("keys", "ok", ""))

    def test_failing(self) -> None:
        """While the source fails this node works, and something behind it does not."""
        self.load(a=_A)
        self.clock.advance(300)
        self.fetch_fails()
        detail = "token keys of 300 s ago are used: no luck"
        self.assertEqual(self.keys.readiness(), ("keys", "degraded", detail))
        self.clock.advance(30)
        self.assertEqual(self.keys.readiness()[1], "degraded")
        self.fetches[-1].callback(published(a=_A))
        self.assertEqual(self.keys.readiness(), ("keys", "ok", ""))


class LogTests(Case):
    """What operators read."""

    def texts(self, level: LogLevel, events: Any) -> list[str]:
        """Lines of a level."""
        return [event["log_format"].format(**event) for event in events if event["log_level"] is level]

    def test_loaded(self) -> None:
        """The names of the keys are told when they change, and only then."""
        with capturedLogs() as events:
            self.load(a=_A)
            for issuers in ({"a": _A}, {"a": _A, "b": _B}):
                self.clock.advance(300)
                self.fetches[-1].callback(published(**issuers))
        self.assertEqual(
            self.texts(LogLevel.info, events),
            ["token keys loaded: 'a'; passed over: none", "token keys loaded: 'a', 'b'; passed over: none"],
        )

    def test_failing_at_a_limited_rate(self) -> None:
        """A source that stays down is told about once a minute at most, with the consequence."""
        self.load(a=_A)
        with capturedLogs() as events:
            self.clock.advance(300)
            for _ in range(5):
                self.fetch_fails()
                self.clock.advance(30)
        first, *others = self.texts(LogLevel.warn, events)
        self.assertIn("no luck; those of 300 s ago stay in use", first)
        self.assertEqual(len(others), 2)
        self.assertEqual([e["suppressed"] for e in events if e["log_level"] is LogLevel.warn], [0, 1, 1])

    def test_back_again(self) -> None:
        """The end of it is told, with how often it failed this time."""
        self.load(a=_A)
        for failures in (3, 2):
            self.clock.advance(300)
            for _ in range(failures):
                self.fetch_fails()
                self.clock.advance(30)
            with capturedLogs() as events:
                self.fetches[-1].callback(published(a=_A))
            told = f"the source of token keys is back after {failures} failures"
            self.assertEqual(self.texts(LogLevel.info, events), [told])

    def test_never_loaded(self) -> None:
        """Without any key the line says what that means."""
        with capturedLogs() as events:
            self.keys.startService()
            self.fetch_fails()
        self.assertIn("no client can be let in", self.texts(LogLevel.warn, events)[0])


class StopTests(Case):
    """The end of the service."""

    def test_everything_is_given_up(self) -> None:
        """The fetch is cancelled, nobody waits any more, no timer is left, and nothing is a failure."""
        self.keys.startService()
        waiting = self.keys.candidates(_A_HEADER)
        cancelled: list[Failure] = []
        self.fetches[0].addErrback(cancelled.append)
        with capturedLogs() as events:
            self.keys.stopService()
        self.assertEqual(self.failureResultOf(waiting, KeysUnavailable).value.retry_after, 1)
        self.assertTrue(self.fetches[0].called)
        self.assertEqual((self.keys.waiting, self.clock.getDelayedCalls(), events), (0, [], []))
        self.assertEqual(self.metrics.total("jwks_fetches_total"), 0)
        self.assertEqual(cancelled, [])

    def test_between_fetches(self) -> None:
        """The timer is cancelled; known keys still serve, unknown ones cause nothing."""
        self.load(a=_A)
        self.clock.advance(60)
        self.keys.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.found(_A_HEADER), [_A.verification_key])
        self.assertEqual(self.found(_B_HEADER), [])
        self.assertEqual(len(self.fetches), 1)

    def test_started_again(self) -> None:
        """It can be started again."""
        self.load(a=_A)
        self.keys.stopService()
        self.keys.startService()
        self.fetches[1].callback(published(b=_B))
        self.assertEqual(self.found(_B_HEADER), [_B.verification_key])
