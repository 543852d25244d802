"""No client sees behind nginx what a direct one would not, and no backend either."""

import re

from tests.integration.harness.case import HookedTestCase
from tests.integration.harness.waiting import until
from tests.proxy.nginx import Nginx
from tests.proxy.scenes import LIVES, REFUSALS
from tests.proxy.stage import Scene, Stage, play


class TranscriptTests(HookedTestCase):
    """The same scenes, directly and through nginx."""

    settings = {
        "TRUSTED_PROXIES": "127.0.0.1",
        "WS_ALLOWED_ORIGINS": "https://app.example.com",
        "WS_MAX_CONNECTIONS_PER_USER": "2",
        "WS_CHANNELS_OPEN": "1",
        "WS_RATE_LIMIT_PER_SEC": "0",
        "WS_PING_INTERVAL_SECONDS": "0",
        "EVENTS_CLIENT_IP": "1",
    }

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.nginx = cls.enterClassContext(Nginx(cls.daemon.port))

    def compare(self, scenes: tuple[Scene, ...]) -> None:
        self.maxDiff = 2000
        before = len(self.nginx.access_log())
        for scene in scenes:
            with self.subTest(scene.__name__.strip("_"), about=scene.__doc__):
                direct = play(scene, self.daemon.port, self.daemon, self.receiver)
                self.assertNotEqual(direct, [""], "a scene that shows nothing proves nothing")
                proxied = play(scene, self.nginx.port, self.daemon, self.receiver)
                self.assertEqual(proxied, direct)
        until(
            lambda: len(self.nginx.access_log()) - before >= len(scenes), "nginx to have served every scene"
        )

    def test_lives(self):
        """Everything that clients and backends say to each other looks the same."""
        self.compare(LIVES)

    def test_refusals(self):
        """So does every refusal: 4401, 4429, 400, 403, 405, 426."""
        self.compare(REFUSALS)

    def test_full(self):
        """A full node is 503 with Retry-After, for both."""
        daemon = self.start({"WS_MAX_CONNECTIONS": "1"})

        def knock(stage: Stage) -> None:
            client = stage.client()
            client.send(client.head(stage.token))
            stage.answer(client)

        with Nginx(daemon.port) as nginx, self.open(daemon=daemon):
            direct = play(knock, daemon.port, daemon, self.receiver)
            self.assertIn("answer 503", direct[0])
            self.assertIn("'retry-after'", direct[0])
            self.assertEqual(play(knock, nginx.port, daemon, self.receiver), direct)

    def test_too_many_failures(self):
        """429 for an address that brought bad tokens only, for both."""

        def knock(stage: Stage) -> None:
            for _ in range(3):
                stage.client().handshake("nonsense").read_close()
            client = stage.client()
            client.send(client.head(stage.token))
            stage.answer(client)

        seen = []
        for proxied in (False, True):
            daemon = self.start({"AUTH_FAILURES_PER_MINUTE": "3"})
            with Nginx(daemon.port) as nginx:
                seen.append(play(knock, nginx.port if proxied else daemon.port, daemon, self.receiver))
        self.assertIn("answer 429", seen[0][0])
        self.assertIn("'retry-after'", seen[0][0])
        self.assertEqual(*(re.sub(r"('retry-after', )'\d+'", r"\1N", lines[0]) for lines in seen))
