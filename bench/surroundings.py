"""What every measurement needs, and where it asks before it begins."""

from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from bench.figures import API_KEY, Scale
from bench.generator import Generator
from bench.tokens import Credentials

__all__ = ["Bench"]


@frozen
class Bench:
    """What a measurement is made with.

    :ivar core: of the servers.
    :ivar other_core: of the generator, and of brokers.
    :ivar directory: for logs and files of this run.
    :ivar wanted: whether a figure of this name is to be measured.
    """

    generator: Generator
    core: int | None
    other_core: int | None
    directory: Path
    credentials: Credentials
    scale: Scale
    wanted: Callable[[str], bool]

    def settings(self, events: str = "none") -> dict[str, str]:
        """What is measured is the way of a frame; limits are off, as the other side has none."""
        return {
            "JWT_PUBLIC_KEY_FILE": str(self.credentials.public_key),
            "GATEWAY_API_KEY": API_KEY,
            "EVENTS_MODE": events,
            "WS_RATE_LIMIT_PER_SEC": "0",
            "WS_PING_INTERVAL_SECONDS": "0",
            "LOG_LEVEL": "WARN",
        }
