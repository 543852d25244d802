"""A test case with nodes around one broker."""

from collections.abc import Mapping
from typing import Any, ClassVar

from tests.core.brokers import Broker
from tests.integration.harness.case import GatewayTestCase
from tests.integration.harness.daemon import Daemon
from tests.integration.harness.waiting import until

__all__ = ["CoreTestCase"]


class CoreTestCase(GatewayTestCase):
    """Each test has a broker of its own, or a part of one, and starts its nodes.

    Subclasses say which broker.
    """

    shared = False
    settings: ClassVar[Mapping[str, str | None]] = {}
    broker: Broker

    def make_broker(self) -> Broker:
        raise NotImplementedError

    def setUp(self) -> None:
        super().setUp()
        self.broker = self.make_broker()

    def node(self, name: str = "node-1", status: str = "ok", **settings: str | None) -> Daemon:
        """A node in core mode that knows where its outbox begins.

        :param status: what it says of itself when it is taken for started.
        """
        daemon = self.start(
            {
                "WS_MODE": "core",
                "EVENTS_MODE": None,
                "NODE_ID": name,
                # Brokers take longer to come back than a quiet client is left alone.
                "WS_PING_INTERVAL_SECONDS": "0",
                **self.broker.settings(),
                **settings,
            }
        )
        self.wait_ready(daemon, status)
        return daemon

    def ready(self, daemon: Daemon) -> dict[str, Any]:
        """What `/ready` says."""
        document: dict[str, Any] = daemon.call("GET", "/ready").json()
        return document

    def wait_ready(self, daemon: Daemon, status: str = "ok") -> None:
        """Wait until `/ready` says this."""
        until(lambda: self.ready(daemon)["status"] == status, f"/ready {status}", daemon.log)

    def wait_inbox(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many message events at least.

        :returns: all of them.
        """
        return until(lambda: self._at_least(self.broker.inbox(), count), f"{count} messages")

    def wait_events(self, count: int) -> list[dict[str, Any]]:
        """Wait for so many other events at least."""
        return until(lambda: self._at_least(self.broker.events(), count), f"{count} events")

    @staticmethod
    def _at_least(found: list[dict[str, Any]], count: int) -> list[dict[str, Any]]:
        return found if len(found) >= count else []

    once = False
    """Whether nothing may come twice."""

    def assert_accounted_for(self, messages: list[dict[str, Any]], connections: int, count: int) -> None:
        """Each connection's messages 0, 1, 2.. are all there, in order; what comes twice repeats a stretch
        that ends before anything new comes."""
        by_connection: dict[str, list[dict[str, Any]]] = {}
        for message in messages:
            by_connection.setdefault(message["connection_id"], []).append(message)
        self.assertEqual(len(by_connection), connections)
        for mine in by_connection.values():
            numbers = [one["message"]["n"] for one in mine]
            ids: dict[int, str] = {}
            new = 0
            for one, number in zip(mine, numbers, strict=True):
                self.assertLessEqual(number, new, numbers)
                new = max(new, number + 1)
                self.assertEqual(ids.setdefault(number, one["event_id"]), one["event_id"])
            self.assertEqual(new, count)
            if self.once:
                self.assertEqual(numbers, list(range(count)))

    @staticmethod
    def complete(messages: list[dict[str, Any]], connections: int, count: int) -> bool:
        return len({one["event_id"] for one in messages}) >= connections * count
