"""A WebSocket handshake that comes as a later request of an HTTP connection, as proxies send them.

The resource stands at `WS_PATH` in the HTTP tree. It takes the connection away from twisted.web, with all
bytes that came behind the head, and hands it to the same Entrance that first requests go through.
"""

from typing import Any

from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from ws_gateway.websocket.frontdoor import Entrance, House, hand_over
from ws_gateway.websocket.head import Head, split_target

__all__ = ["UpgradeResource"]


@implementer(IResource)
class UpgradeResource:
    """See the module."""

    isLeaf = True

    def __init__(self, house: House) -> None:
        self._house = house

    def getChildWithDefault(self, name: bytes, request: Any) -> Any:
        """Never asked: a leaf."""
        raise KeyError(name)

    def putChild(self, path: bytes, child: Any) -> None:
        """Never asked: a leaf."""
        raise KeyError(path)

    def render(self, request: Any) -> int | bytes:
        """Take the connection over, whatever the request is: the Entrance answers it."""
        house = self._house
        head = _head_of(request)
        if not house.admission.concerns(head):
            request.setResponseCode(404)
            return b""
        channel = request.channel
        transport = channel.transport
        rest = channel.detach()
        # The two know each other; apart, they go as soon as nobody else needs them.
        request.channel = None
        channel.requests = []
        deadline = house.wheel.now() + house.handshake_timeout
        hand_over(channel, Entrance(house, head, rest, deadline), transport, b"")
        return NOT_DONE_YET


def _head_of(request: Any) -> Head:
    path, query = split_target(request.uri)
    headers: dict[str, tuple[str, ...]] = {}
    for name, values in request.requestHeaders.getAllRawHeaders():
        lines = tuple(value.decode("latin-1").strip(" \t") for value in values)
        headers[name.decode("latin-1").lower()] = lines
    return Head(
        method=request.method.decode("latin-1"),
        path=path,
        query=query,
        version=request.clientproto.decode("latin-1").removeprefix("HTTP/"),
        headers=headers,
    )
