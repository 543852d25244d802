"""Two gateway nodes around one broker, and a demo backend that speaks with nobody but the broker."""

from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.browser.stack import DEMO_KEY, Demo, free_port
from tests.integration.harness.daemon import Daemon
from tests.integration.harness.keys import key_pair
from tests.integration.harness.waiting import until

__all__ = ["CoreStack"]


class CoreStack:
    """All three, on ports that stay the same when one of them is started again.

    :param broker: the settings that all of them share.
    :ivar url: of the chat page; `?node=2` is the page that connects to the second node.
    :ivar ws_urls: of the nodes.
    :ivar private_key_file: signs tokens.
    """

    def __init__(self, broker: Mapping[str, str]) -> None:
        self._keys = TemporaryDirectory(prefix="keys")
        private = Path(self._keys.name, "private.pem")
        private.write_bytes(
            key_pair("RS256").private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        )
        self.private_key_file = str(private)
        self._broker = dict(broker)
        self._ports = [free_port(), free_port()]
        self.ws_urls = [f"ws://127.0.0.1:{port}/ws" for port in self._ports]
        demo_port = free_port()
        self._demo_settings = {
            **self._broker,
            "WS_MODE": "core",
            "DEMO_PORT": str(demo_port),
            "DEMO_MODE": "1",
            "DEMO_API_KEY": DEMO_KEY,
            "DEMO_JWT_PRIVATE_KEY_FILE": self.private_key_file,
            "DEMO_WS_URL": " ".join(self.ws_urls),
        }
        self.url = f"http://127.0.0.1:{demo_port}/demo/chat"
        self.nodes: list[Daemon] = []
        self.start_demo()
        try:
            for number in range(2):
                self.nodes.append(self._node(number))
        except BaseException:
            self.demo.stop()
            raise

    @property
    def gateway(self) -> Daemon:
        """One of the nodes, for whoever reports."""
        return self.nodes[0]

    def _node(self, number: int) -> Daemon:
        node = Daemon(
            {
                "WS_MODE": "core",
                "EVENTS_MODE": None,
                "NODE_ID": f"node-{number + 1}",
                "WS_LISTEN": None,
                "WS_HOST": "127.0.0.1",
                "WS_PORT": str(self._ports[number]),
                **self._broker,
            }
        )
        until(lambda: node.call("GET", "/ready").json()["status"] == "ok", "the node to be ready", node.log)
        return node

    def start_node(self, number: int) -> None:
        """A node, again."""
        self.nodes[number] = self._node(number)

    def start_demo(self) -> None:
        """The demo backend, again."""
        self.demo = Demo(self._demo_settings)
        until(lambda: "reading " in self.demo.log(), "the demo to read", self.demo.log)

    def last_message(self) -> dict[str, Any] | None:
        """What `/api/ws/last-message` says."""
        status, body = self.demo.ask("GET", "/api/ws/last-message", X_Demo_Key=DEMO_KEY)
        return body["data"] if status == 200 else None

    def online(self) -> list[str]:
        """The users that `/api/online` names, sorted."""
        _, body = self.demo.ask("GET", "/api/online", X_Demo_Key=DEMO_KEY)
        return sorted(found["user_id"] for found in body["connections"])

    def stop(self) -> None:
        """The nodes first, so that the demo still takes their last events; then its log is judged."""
        try:
            for node in self.nodes:
                if node.running:
                    node.stop()
        finally:
            self.demo.stop()
            self._keys.cleanup()
        self.demo.check()
