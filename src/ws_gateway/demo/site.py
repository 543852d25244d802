"""The tree of addresses, and a request that does not let its body grow without end."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Request, Site

from ws_gateway.demo.answers import answer_problem

__all__ = ["DemoRequest", "DemoSite"]

_LARGEST_BODY = 2 * 1024 * 1024
_MOST_PATIENCE = 8 * _LARGEST_BODY


class DemoRequest(Request):
    """Keeps a body in memory up to a limit.

    What is beyond is read and thrown away, so that an honest client sees the 413; who sends far more
    is cut off.
    """

    _received = 0

    def gotLength(self, length: int | None) -> None:
        self.content = BytesIO()
        if length is not None and length > _MOST_PATIENCE:
            self._received = length

    def handleContentChunk(self, data: bytes) -> None:
        self._received += len(data)
        if self._received > _MOST_PATIENCE:
            self.channel.loseConnection()
        elif self._received <= _LARGEST_BODY:
            assert self.content is not None
            self.content.write(data)

    def process(self) -> None:
        if self._received > _LARGEST_BODY:
            self.write(answer_problem(self, 413, f"the body is longer than {_LARGEST_BODY} bytes"))  # type: ignore[no-untyped-call]
            self.finish()  # type: ignore[no-untyped-call]
            return
        super().process()  # type: ignore[no-untyped-call]


class DemoSite(Site):
    """Serves the tree; keeps no access log, since the room tells what happens."""

    requestFactory = DemoRequest
    displayTracebacks = False
    noisy = False

    def __init__(self, root: Resource, reactor: Any) -> None:
        super().__init__(root, timeout=60, reactor=reactor)  # type: ignore[no-untyped-call]

    def log(self, request: object) -> None:
        """The query of a request holds names; nobody needs them in a log."""
