"""The table of what a reload changes: each row reaches whoever holds the thing."""

import logging
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from ws_gateway.assembly.reading import Reading, read
from ws_gateway.assembly.reloadable import metrics_tokens, takers, webhook_secrets
from ws_gateway.auth.jwks import JwksKeys, JwksRules
from ws_gateway.auth.jwks_fetch import FetchFailed, Outcome
from ws_gateway.auth.keys import ReplaceableKeys, SecretKeys
from ws_gateway.config.fields import settings_of
from ws_gateway.config.load import groups
from ws_gateway.domain.spans import UNTRACED
from ws_gateway.events.signing import Signer
from ws_gateway.ops.logs import Threshold
from ws_gateway.tap import SINKS
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.testing.sinks import FakeSink
from ws_gateway.web.guard import KeyRing


def reading(**environ: str) -> Reading:
    least = {"JWT_ALG": "HS256", "JWT_SECRET": "old", "WEBHOOK_URL": "http://backend.test/"}
    return read({**least, **environ}, {}, lambda path: "")


class TableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(logging.root.setLevel, logging.root.level)
        self.keys = ReplaceableKeys(SecretKeys("old", ["HS256"]))
        made: Any = SINKS["webhook"](
            reading(WEBHOOK_SECRET="old").settings, [], None, FakeMetrics(), UNTRACED
        )
        [self.sink] = made
        self.api_keys, self.metrics_token = KeyRing(["old"]), KeyRing(["old"])
        self.worth = Threshold(LogLevel.info)
        sinks = [FakeSink(), self.sink]
        self.rows = takers(self.keys, sinks, self.api_keys, self.metrics_token, self.worth)

    def take(self, now: Reading) -> None:
        for row in self.rows:
            row.take(now)

    def test_names_are_settings(self) -> None:
        """Every name in the table is a setting, and stands there once."""
        known = {one.name for group in groups().values() for one in settings_of(group).values()}
        names = [name for row in self.rows for name in row.settings]
        self.assertEqual(len(names), len(set(names)))
        self.assertLessEqual(set(names), known)

    def test_everything_is_taken(self) -> None:
        """Old keys, secrets and levels are out of force, new ones in."""
        now = reading(
            JWT_SECRET="new",
            WEBHOOK_SECRET="new",
            WEBHOOK_SECRET_PREVIOUS="old",
            GATEWAY_API_KEY="new",
            METRICS_TOKEN="new",
            LOG_LEVEL="debug",
        )
        self.take(now)
        self.assertEqual(self.successResultOf(self.keys.candidates({"alg": "HS256"})), (b"new",))
        self.assertEqual(self.sink._signer, Signer(("new", "old")))
        for ring in (self.api_keys, self.metrics_token):
            self.assertEqual((ring.fits(b"old"), ring.fits(b"new")), (False, True))
        self.assertEqual((self.worth.level, logging.root.level), (LogLevel.debug, logging.DEBUG))

    def test_keys_at_a_url(self) -> None:
        """They are asked for again, at every reload, and the row says so."""
        fetches: list[Deferred[bytes]] = []

        def fetch() -> Deferred[bytes]:
            fetches.append(Deferred())
            return fetches[-1]

        clock = Clock()
        keys = JwksKeys(fetch, ("RS256",), JwksRules(), clock, clock.seconds, lambda: 0.0, FakeMetrics())
        keys.startService()
        self.addCleanup(keys.stopService)
        fetches[0].errback(FetchFailed(Outcome.STATUS, "it answered 500"))
        row = takers(keys, [], self.api_keys, self.metrics_token, self.worth)[0]
        row.take(reading())
        self.assertEqual(len(fetches), 2)
        self.assertIn("JWT_JWKS_URL", row.besides or "")

    def test_taken_away(self) -> None:
        """What is set no more is in force no more."""
        self.take(reading())
        self.assertEqual(self.sink._signer, Signer(()))
        self.assertFalse(self.api_keys)
        self.assertFalse(self.metrics_token)

    def test_warnings(self) -> None:
        """What an operator should know is said at every reload."""
        with capturedLogs() as events:
            self.take(reading())
        self.assertTrue([event for event in events if "GATEWAY_API_KEY" in event.get("detail", "")])

    def test_values(self) -> None:
        """Unset secrets are none, not empty ones."""
        self.assertEqual(webhook_secrets(reading().settings), ())
        self.assertEqual(metrics_tokens(reading().settings), ())
