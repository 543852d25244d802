"""Plays a scene and writes down what its client and its backend see, so that two ways can be compared."""

import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from tests.integration.harness.daemon import Daemon
from tests.integration.harness.rawclient import RawClient
from tests.integration.harness.receiver import Receiver
from tests.integration.harness.tokens import fresh_user, token_for

__all__ = ["Scene", "Stage", "play"]

_VARYING = {"server", "date", "connection", "keep-alive", "sec-websocket-accept"}
"""Header lines about the hop, the clock and the key; `expect_open` judges the last."""


class Stage:
    """What a scene acts with.

    :param port: where its clients connect: the gateway, or nginx before it.
    :ivar user: its user, whom no other scene has.
    :ivar lines: what was seen so far.
    """

    def __init__(self, port: int, daemon: Daemon, receiver: Receiver, closing: ExitStack) -> None:
        self.daemon = daemon
        self.user = fresh_user("proxied")
        self.token = token_for(self.user)
        self.lines: list[str] = []
        self._port = port
        self._receiver = receiver
        self._closing = closing

    def client(self) -> RawClient:
        """A connected socket."""
        return self._closing.enter_context(RawClient(("127.0.0.1", self._port)))

    def open(self, target: str = "/ws", **more: Any) -> RawClient:
        """A client that is let in."""
        return self.client().handshake(self.token, target, **more)

    def publish(self, payload: Any) -> None:
        """Publish to the scene's user; it must reach one connection."""
        self.say("sent to", self.daemon.publish([f"user:{self.user}"], payload))

    def say(self, what: str, *seen: Any) -> None:
        """Write down what was seen."""
        self.lines.append(f"{what} {' '.join(map(repr, seen))}".replace(self.user, "USER"))

    def answer(self, client: RawClient) -> None:
        """Write down an HTTP answer."""
        status = client.read_head()
        headers = {name: value for name, value in client.headers.items() if name not in _VARYING}
        body = client.read_body() if "content-length" in headers else b""
        self.say("answer", status, sorted(headers.items()), body)

    def frames(self, client: RawClient, count: int) -> None:
        """Write down so many frames."""
        for _ in range(count):
            self.say("frame", client.read_frame())

    def closed(self, client: RawClient) -> None:
        """Write down how the other side closes."""
        self.say("closed with", *client.read_close())

    def events(self) -> None:
        """Write down what the backend got of a connection that is over."""
        for event in self._receiver.wait_end(self.user):
            kept = {
                name: value
                for name, value in event.items()
                if name not in ("event_id", "occurred_at_ms", "connected_at", "connection_id")
            }
            self.say("event", json.dumps(kept, sort_keys=True))


Scene = Callable[[Stage], None]


def play(scene: Scene, port: int, daemon: Daemon, receiver: Receiver) -> list[str]:
    """Play a scene.

    :returns: what was seen.
    """
    with ExitStack() as closing:
        stage = Stage(port, daemon, receiver, closing)
        scene(stage)
        text = "\n".join(stage.lines)
    uuid = r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    return re.sub(uuid, "UUID", text).split("\n")
