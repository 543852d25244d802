"""Keys from a JWKS URL: kept at hand, fetched again by one rule, and never fetched for a single client.

| when | a fetch begins |
|---|---|
| the service starts | at once; starting does not wait for it |
| the keys are `refresh` seconds old, or a little less, so that nodes do not ask in step | in the background |
| a token asks for a key that is not there | at once, if the last fetch ended `cooldown` seconds ago |
| an operator asks (`fetch_again`) | at once, unless one is under way |
| a fetch failed | `cooldown` seconds later; sooner if no key was ever loaded and nobody was reached |

So tokens cause one fetch in `cooldown` seconds at most, whatever they ask for, and nothing is remembered of
what they asked for. Everybody who waits for a key waits for the same fetch. Keys stay in use until newer ones
are there, however old they become: only while none was ever loaded are clients told to come back later.
Where a token wants its keys from (`jku`, `jwk`, `x5u`, `x5c`) is nowhere read.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from ws_gateway.auth.jwk_set import BadKeySet, KeySet, parse_key_set
from ws_gateway.auth.jwks_fetch import FetchFailed, Outcome
from ws_gateway.auth.waiters import Asked, Waiters
from ws_gateway.domain.retry import Backoff
from ws_gateway.domain.throttle import Throttle
from ws_gateway.errors import KeysUnavailable
from ws_gateway.interfaces import IKeySource, IMetrics, IReadiness

__all__ = ["JwksKeys", "JwksRules"]

_log = Logger()

_FIRST_PAUSE = 2.0
_SHARE_OF_JITTER = 0.1
_LOG_INTERVAL = 60.0
_LEAST_RETRY_AFTER = 1.0


@frozen
class JwksRules:
    """When keys are fetched; see the module.

    :ivar cooldown: `JWT_JWKS_COOLDOWN_SECONDS`, over 0.
    :ivar refresh: `JWT_JWKS_REFRESH_SECONDS`.
    """

    cooldown: float = 30
    refresh: float = 300


@implementer(IKeySource, IReadiness)
class JwksKeys(Service):
    """See the module.

    :param fetch: gets the key set as bytes, or fails with FetchFailed; can be cancelled.
    :param algorithms: what `JWT_ALG` allows.
    :param monotonic: seconds that never run backwards.
    :param chance: a random number, 0 <= chance < 1.
    :raises ValueError: an HS algorithm: a secret has no place at a URL.
    """

    name = "keys"

    def __init__(
        self,
        fetch: Callable[[], Deferred[bytes]],
        algorithms: Sequence[str],
        rules: JwksRules,
        clock: IReactorTime,
        monotonic: Callable[[], float],
        chance: Callable[[], float],
        metrics: IMetrics,
    ) -> None:
        shared = sorted(name for name in algorithms if name.startswith("HS"))
        if shared:
            raise ValueError(f"{', '.join(shared)} must not be used with keys that are published")
        self._fetch = fetch
        self._algorithms = tuple(algorithms)
        self._rules = rules
        self._clock = clock
        self._monotonic = monotonic
        self._chance = chance
        self._backoff = Backoff(min(_FIRST_PAUSE, rules.cooldown), rules.cooldown)
        self._throttle = Throttle(_LOG_INTERVAL)
        self._waiters = Waiters(clock, self._verdict)
        self._keys: KeySet | None = None
        self._loaded_at = monotonic()
        # Why the last fetch failed, and how many failed in a row; None and 0 after one that went well.
        self._problem: str | None = None
        self._failures = 0
        self._fetching: Deferred[Any] | None = None
        self._free_at = 0.0
        self._timer: IDelayedCall | None = None
        self._outcomes = {
            outcome: metrics.counter(
                "jwks_fetches_total", "Fetches of the key set, by how they ended.", {"outcome": outcome.value}
            )
            for outcome in Outcome
        }
        self._stale = metrics.counter(
            "jwks_stale_total", "Tokens whose key came from a set that could not be refreshed."
        )
        metrics.gauge("jwks_keys", "Keys that verify tokens.", lambda: len(self._keys or ()))
        metrics.gauge(
            "jwks_age_seconds", "Time since keys were loaded, or since the start if never.", self._age
        )

    @property
    def waiting(self) -> int:
        """How many wait for a key."""
        return len(self._waiters)

    def candidates(self, header: Mapping[str, Any]) -> Deferred[Sequence[Any]]:
        asked = Asked(header["alg"], header.get("kid"))
        if asked.algorithm not in self._algorithms:
            return succeed(())
        known = self._known(asked)
        if known:
            return succeed(known)
        if self._fetching is None and self.running and self._monotonic() >= self._free_at:
            self._begin()
        return self._verdict(asked) if self._fetching is None else self._waiters.join(asked)

    def readiness(self) -> tuple[str, str, str]:
        if self._keys is None:
            because = f": {self._problem}" if self._problem else ""
            return self.name, "failed", f"no token key was ever loaded{because}"
        if self._problem:
            detail = f"token keys of {self._age():.0f} s ago are used: {self._problem}"
            return self.name, "degraded", detail
        return self.name, "ok", ""

    def startService(self) -> None:
        """Begin the first fetch."""
        super().startService()  # type: ignore[no-untyped-call]
        self._loaded_at = self._monotonic()
        self._begin()

    def fetch_again(self) -> None:
        """Fetch now, because somebody knows of new keys. Those at hand serve until these are there."""
        if self.running and self._fetching is None:
            self._begin()

    def stopService(self) -> None:
        """Give up what is under way; whoever waits is told to come back later."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        fetching, self._fetching = self._fetching, None
        if fetching is not None:
            fetching.cancel()
        self._waiters.dismiss(lambda: KeysUnavailable("the node stops", _LEAST_RETRY_AFTER))

    def _known(self, asked: Asked) -> tuple[Any, ...]:
        if self._keys is None:
            return ()
        found = self._keys.candidates(asked.algorithm, asked.kid)
        if found and self._problem:
            self._stale.inc()
        return found

    def _verdict(self, asked: Asked) -> Deferred[Sequence[Any]]:
        """The answer by what is known now."""
        if self._keys is None:
            until = max(self._free_at - self._monotonic(), _LEAST_RETRY_AFTER)
            return fail(KeysUnavailable("no token key was ever loaded", until))
        return succeed(self._known(asked))

    def _age(self) -> float:
        return self._monotonic() - self._loaded_at

    def _begin(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
        fetching: Deferred[Any] = self._fetch()
        # Kept before it is asked: it may have an answer already, and taking that over forgets it again.
        self._fetching = fetching
        fetching.addCallback(parse_key_set, self._algorithms)
        fetching.addCallbacks(self._loaded, self._not_loaded)
        fetching.addErrback(lambda failure: _log.failure("token keys could not be taken over", failure))

    def _loaded(self, keys: KeySet) -> None:
        before, self._keys = self._keys, keys
        self._loaded_at = self._monotonic()
        self._outcomes[Outcome.OK].inc()
        if before is None or (before.kids, before.skipped) != (keys.kids, keys.skipped):
            _log.info(
                "token keys loaded: {kids}; passed over: {skipped}",
                kids=keys.described(),
                skipped=keys.skipped or "none",
            )
        if self._failures:
            _log.info("the source of token keys is back after {failures} failures", failures=self._failures)
        self._problem = None
        self._failures = 0
        early = self._rules.refresh * _SHARE_OF_JITTER * self._chance()
        self._rest(self._rules.cooldown, max(self._rules.refresh - early, self._rules.cooldown))

    def _not_loaded(self, failure: Failure) -> None:
        if not self.running:
            return
        if isinstance(failure.value, FetchFailed):
            outcome, self._problem = failure.value.outcome, failure.value.detail
        elif isinstance(failure.value, BadKeySet):
            outcome, self._problem = Outcome.UNUSABLE, str(failure.value)
        else:
            _log.failure("fetching token keys failed within the gateway", failure)
            outcome, self._problem = Outcome.DEFECT, "the gateway failed to fetch them"
        self._outcomes[outcome].inc()
        pause = self._rules.cooldown
        if self._keys is None and outcome is Outcome.UNREACHABLE:
            pause = self._backoff.delay(self._failures, self._chance())
        self._failures += 1
        self._complain(outcome, pause)
        self._rest(pause, pause)

    def _complain(self, outcome: Outcome, pause: float) -> None:
        suppressed = self._throttle.admit(self._monotonic())
        if suppressed is None:
            return
        _log.warn(
            "token keys could not be fetched from JWT_JWKS_URL: {detail}; {consequence}",
            detail=self._problem,
            consequence="no client can be let in before there are some"
            if self._keys is None
            else f"those of {self._age():.0f} s ago stay in use",
            outcome=outcome.value,
            next_attempt_seconds=round(pause, 1),
            suppressed=suppressed,
        )

    def _rest(self, pause: float, until_next: float) -> None:
        """A fetch is over: none for a while, and whoever waited for this one is answered."""
        self._fetching = None
        self._free_at = self._monotonic() + pause
        self._timer = self._clock.callLater(until_next, self._begin)
        self._waiters.call()
