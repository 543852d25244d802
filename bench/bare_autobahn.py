"""What the gateway is measured beside: an Autobahn server that echoes and broadcasts, and nothing else.

No tokens, no JSON on the way in, no limits, no events. The publish calls have the form of the gateway's, on a
port of their own, so that the WebSocket port is Autobahn's alone.
"""

import argparse
from typing import TYPE_CHECKING, Any

import orjson
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket import protocol
from twisted.web.resource import Resource
from twisted.web.server import Site

if TYPE_CHECKING:
    from twisted.web.http import Request

FRAME_LIMIT = 65536


class Echo(WebSocketServerProtocol):
    """Sends back what comes, and can be broadcast to while it is open."""

    factory: Any

    def onOpen(self) -> None:
        """The handshake is done."""
        self.factory.open[self] = None

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        """A message is complete."""
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        """The connection is over, open or not."""
        self.factory.open.pop(self, None)


def text_frame(payload: bytes) -> bytes:
    """The frame of a payload below 64 KiB, made once for all connections."""
    size = len(payload)
    if size >= FRAME_LIMIT:
        raise ValueError("the comparison server broadcasts payloads below 64 KiB only")
    return b"\x81" + (bytes([size]) if size < 126 else b"\x7e" + size.to_bytes(2)) + payload


class Publish(Resource):
    """`POST /internal/publish[/batch]`: every publication goes to every connection.

    The query `how=message` uses Autobahn's `sendMessage` for each. Otherwise the frame is made once and given
    to `transport.write`, which is the faster of the two.
    """

    isLeaf = True

    def __init__(self, connections: dict[Any, None]) -> None:
        Resource.__init__(self)
        self._connections = connections

    def render_POST(self, request: "Request") -> bytes:
        """Answer how many connections each publication was written to."""
        assert request.content is not None and request.path is not None
        document = orjson.loads(request.content.read())
        one_by_one = request.args is not None and request.args.get(b"how") == [b"message"]
        batch = request.path.endswith(b"/batch")
        sent = [
            self._broadcast(orjson.dumps({"type": "event", "payload": publication["payload"]}), one_by_one)
            for publication in (document["publications"] if batch else [document])
        ]
        request.setHeader(b"content-type", b"application/json")
        return orjson.dumps({"sent": sent if batch else sent[0]})

    def _broadcast(self, message: bytes, one_by_one: bool) -> int:
        if one_by_one:
            for connection in self._connections:
                connection.sendMessage(message)
        else:
            frame = text_frame(message)
            for connection in self._connections:
                connection.transport.write(frame)
        return len(self._connections)


def main() -> None:
    """Listen on two ports of loopback until a signal comes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--port", type=int, required=True, help="for WebSockets")
    parser.add_argument("--http-port", type=int, required=True, help="for publish calls")
    parser.add_argument(
        "--as-shipped",
        action="store_true",
        help="leave Autobahn's formatting of all options at each connect on, which nobody reads",
    )
    options = parser.parse_args()
    if not options.as_shipped:
        # It costs more than the rest of the handshake together; without it the comparison is the harder one.
        vars(protocol)["pformat"] = lambda value: ""

    from twisted.internet import reactor as installed

    reactor: Any = installed
    build_factory: Any = WebSocketServerFactory
    factory = build_factory()
    factory.protocol = Echo
    factory.open = {}
    reactor.listenTCP(options.port, factory, backlog=1024, interface="127.0.0.1")
    reactor.listenTCP(options.http_port, Site(Publish(factory.open)), interface="127.0.0.1")
    reactor.run()


if __name__ == "__main__":
    main()
