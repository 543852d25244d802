"""A test case with a daemon, and with a webhook target where it wants one."""

import json
import signal
import unittest
from collections.abc import Mapping
from typing import Any, ClassVar

from tests.integration.harness.canary import leaks
from tests.integration.harness.daemon import Daemon
from tests.integration.harness.rawclient import RawClient
from tests.integration.harness.receiver import WEBHOOK_SECRET, Receiver
from tests.integration.harness.tokens import fresh_user, token_for

__all__ = ["GatewayTestCase", "HookedTestCase"]

_FAST = {"WEBHOOK_RETRY_BASE_SECONDS": "0.05", "WEBHOOK_RETRY_MAX_SECONDS": "0.2"}


class GatewayTestCase(unittest.TestCase):
    """One daemon for all tests of the class; after each of them, its log and all replies are searched.

    :cvar settings: over the harness's defaults.
    :cvar shared: False starts no daemon: each test starts its own.
    """

    settings: ClassVar[Mapping[str, str | None]] = {}
    shared: ClassVar[bool] = True
    daemon: ClassVar[Daemon]

    @classmethod
    def setUpClass(cls) -> None:
        if cls.shared:
            cls.daemon = Daemon(cls.all_settings())

    @classmethod
    def tearDownClass(cls) -> None:
        if cls.shared:
            status = cls.daemon.stop()
            assert status == -signal.SIGTERM, status

    @classmethod
    def all_settings(cls) -> Mapping[str, str | None]:
        return cls.settings

    def setUp(self) -> None:
        self._clients: list[RawClient] = []
        self._daemons: list[Daemon] = []
        self.addCleanup(self._search)

    def start(self, settings: Mapping[str, str | None] | None = None, *options: str, **more: Any) -> Daemon:
        """A daemon of this test's own, stopped at its end."""
        daemon = Daemon({**self.all_settings(), **(settings or {})}, options, **more)
        self._daemons.append(daemon)
        self.addCleanup(lambda: daemon.kill() if daemon.running else None)
        return daemon

    def raw(self, daemon: Daemon | None = None, **more: Any) -> RawClient:
        """A connected socket, closed at the end of the test."""
        port = (daemon or self.daemon).port
        client = RawClient(("127.0.0.1", port), **more)
        self._clients.append(client)
        self.addCleanup(client.socket.close)
        return client

    def open(
        self,
        user_id: Any = None,
        target: str = "/ws",
        daemon: Daemon | None = None,
        claims: Mapping[str, Any] | None = None,
        headers: list[tuple[str, str]] | None = None,
        receive_buffer: int | None = None,
    ) -> RawClient:
        """A client that is let in."""
        token = token_for(user_id or fresh_user(), **(claims or {}))
        client = self.raw(daemon, receive_buffer=receive_buffer)
        return client.handshake(token, target, headers=headers or [])

    def assert_alive(self, daemon: Daemon | None = None) -> None:
        """The daemon answers and lets clients in."""
        one = daemon or self.daemon
        self.assertEqual(one.request("GET", "/health").json(), {"ok": True})
        with self.open(daemon=one) as client:
            client.ping_pong()

    def assert_problem(self, client: RawClient, status: int) -> dict[str, Any]:
        """A problem document comes, and then the end.

        :returns: the document.
        """
        self.assertEqual(client.read_head(), status, bytes(client.everything))
        self.assertEqual(client.headers["content-type"], "application/problem+json")
        document: dict[str, Any] = json.loads(client.read_body())
        self.assertEqual(document["status"], status)
        self.assertEqual(client.read_rest(), b"")
        return document

    def _search(self) -> None:
        """Convention 19: no secret in what clients got, nothing disorderly in a log."""
        found = leaks(bytes(client.everything) for client in self._clients)
        self.assertEqual(found, [], "secrets sent to clients")
        for daemon in self._daemons:
            if daemon.running:
                self.assertEqual(daemon.stop(), -signal.SIGTERM)
            else:
                daemon.check()
        if self.shared:
            self.daemon.check()


class HookedTestCase(GatewayTestCase):
    """With a webhook target, whose requests are searched, too."""

    receiver: ClassVar[Receiver]

    @classmethod
    def setUpClass(cls) -> None:
        cls.receiver = Receiver()
        super().setUpClass()

    @classmethod
    def tearDownClass(cls) -> None:
        try:
            super().tearDownClass()
        finally:
            cls.receiver.stop()
        cls.judge_hooks()

    @classmethod
    def all_settings(cls) -> Mapping[str, str | None]:
        hooked = {
            "EVENTS_MODE": None,
            "SYMFONY_WEBHOOK_URL": cls.receiver.url,
            "SYMFONY_WEBHOOK_SECRET": WEBHOOK_SECRET,
        }
        return {**hooked, **_FAST, **cls.settings}

    @classmethod
    def judge_hooks(cls) -> None:
        """Every event was signed well and holds no secret."""
        for hook in cls.receiver.hooks:
            assert hook.signature == "good", (hook.signature, hook.headers, hook.body)
            found = leaks([hook.body, *(value.encode() for value in hook.headers.values())])
            assert not found, f"secrets sent to the backend: {found}"
