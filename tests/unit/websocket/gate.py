"""The whole client side over in-memory sockets: a front door, what stands behind it, and clients."""

import itertools
from base64 import b64encode
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from ws_gateway.auth.policy import ClaimsPolicy
from ws_gateway.domain.delivery import Delivery
from ws_gateway.domain.messages import Identity
from ws_gateway.domain.registry import Registry
from ws_gateway.domain.rules import SessionRules
from ws_gateway.testing.auth import FakeAuthenticator
from ws_gateway.testing.emitter import FakeEmitter
from ws_gateway.testing.frames import Received, read_frames
from ws_gateway.testing.metrics import FakeMetrics
from ws_gateway.web.guard import KeyRing
from ws_gateway.web.limits import HttpLimits
from ws_gateway.web.site import GatewaySite
from ws_gateway.web.tree import build_root
from ws_gateway.websocket.admit import Admission, AdmissionRules
from ws_gateway.websocket.deadlines import Wheel
from ws_gateway.websocket.factory import ConnectionFactory
from ws_gateway.websocket.frontdoor import FrontDoorFactory, House
from ws_gateway.websocket.intake import Intake
from ws_gateway.websocket.protocol import GatewayProtocol
from ws_gateway.websocket.queue import QueueLimits
from ws_gateway.websocket.refresh import Refresher
from ws_gateway.websocket.surroundings import Counters, Surroundings
from ws_gateway.websocket.upgrade import UpgradeResource

KEY = b64encode(b"sixteen bytes ok").decode()
TOKEN = "canary-token"
QUIET = SessionRules(ping_interval=0, rate_limit=0)
"""Rules under which nothing happens by itself."""

WALL = 1_700_000_000


def request(
    path: str = "/ws", token: str | None = TOKEN, *lines: str, method: str = "GET", without: str = ""
) -> bytes:
    """A handshake.

    :param lines: further header lines.
    :param without: a header that is left out.
    """
    usual = {
        "Host": "gateway.example",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
    }
    if token is not None:
        usual["Authorization"] = f"Bearer {token}"
    head = [f"{method} {path} HTTP/1.1"]
    head += [f"{name}: {value}" for name, value in usual.items() if name != without]
    return "\r\n".join([*head, *lines, "", ""]).encode("latin-1")


class Line(StringTransport):
    """A socket in memory, from the gateway's side.

    :ivar half_closed: our half was closed.
    """

    half_closed = False
    no_delay = False

    def __init__(self, protocol: Any, peer: Any) -> None:
        super().__init__(peerAddress=peer, lenient=True)
        self.protocol = protocol
        self._held = b""
        protocol.makeConnection(self)

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.no_delay = enabled

    # What the client does.

    def send(self, data: bytes = b"") -> None:
        """Bytes arrive, unless reading is paused: then they wait."""
        self._held += data
        if self._held and self.producerState == "producing" and not self.disconnected:
            data, self._held = self._held, b""
            self.protocol.dataReceived(data)

    def lose(self) -> None:
        """The connection is gone."""
        self.disconnected = self.disconnecting = True
        self.connected = False
        self.protocol.connectionLost(Failure(ConnectionDone()))

    @property
    def answer(self) -> str:
        """The head of the answer."""
        return self.value().partition(b"\r\n\r\n")[0].decode()

    @property
    def status(self) -> int:
        return int(self.answer.split(" ")[1])

    @property
    def received(self) -> Received:
        """What came behind the handshake's answer."""
        return read_frames(self.value().partition(b"\r\n\r\n")[2])


class Gate:
    """See the module. Everything that a gateway has in front, with fakes behind it.

    :param reactor: a Clock unless a test needs sockets.
    :param emitter: a fake one unless a test needs more.
    """

    def __init__(
        self,
        rules: AdmissionRules | None = None,
        session: SessionRules = QUIET,
        queue_limits: QueueLimits | None = None,
        base: type[GatewayProtocol] = GatewayProtocol,
        reactor: Any = None,
        emitter: Any = None,
        **factory: Any,
    ) -> None:
        self.clock: Any = Clock() if reactor is None else reactor
        self.registry = Registry()
        self.metrics = FakeMetrics()
        self.emitter: Any = FakeEmitter() if emitter is None else emitter
        self.wheel = Wheel(self.clock)
        dated = Identity("42", expires_at=WALL + 90.0, token_source="query")
        self.authenticator = FakeAuthenticator(
            {TOKEN: Identity("42"), "other": Identity("43"), "dated": dated}
        )
        self.admission = Admission(
            rules or AdmissionRules(),
            self.authenticator,
            ClaimsPolicy("user:", 100, True),
            self.registry,
            self.metrics,
            self.clock.seconds,
        )
        self.intake = Intake(self.wheel, lambda call: self.clock.callLater(0, call), self.metrics)
        numbers = itertools.count(1)
        self.around = Surroundings(
            registry=self.registry,
            emitter=self.emitter,
            wheel=self.wheel,
            intake=self.intake,
            rules=session,
            queue_limits=queue_limits or QueueLimits(),
            counters=Counters.of(self.metrics),
            node_id="node-1",
            wall=lambda: WALL + self.clock.seconds(),
            later=lambda call: self.clock.callLater(0, call),
            random=lambda: 0.5,
            new_id=lambda: f"c-{next(numbers)}",
            refresher=Refresher(self.authenticator, lambda: WALL + self.clock.seconds()),
        )
        self.connections = ConnectionFactory(self.around, self.clock, base=base, **factory)
        self.house = House(self.admission, self.connections.open, self.wheel)
        self.delivery = Delivery(
            self.registry, lambda call: self.clock.callLater(0, call), self.clock.seconds, self.metrics
        )
        limits = HttpLimits()
        root = build_root(
            delivery=self.delivery,
            directory=self.registry,
            readiness=[self.admission],
            metrics=self.metrics,
            render_metrics=lambda accept: (b"", "text/plain"),
            api_keys=KeyRing(["canary-key"]),
            metrics_token=KeyRing(),
            clock=self.clock,
            limits=limits,
            upgrade=UpgradeResource(self.house),
        )
        self.site = GatewaySite(root, self.clock, limits, self.metrics)
        self.factory = FrontDoorFactory(self.house, self.site)

    def start(self) -> None:
        """Let the wheel turn."""
        self.wheel.start().addErrback(lambda failure: failure.raiseException())

    def advance(self, seconds: float) -> None:
        """Let time pass, a slot at a time."""
        for _ in range(int(seconds / 0.25)):
            self.clock.advance(0.25)

    def line(self, *chunks: bytes) -> Line:
        """A socket that was accepted.

        :param chunks: bytes that arrive at once.
        """
        peer = IPv4Address("TCP", "192.0.2.7", 40000)
        line = Line(self.factory.buildProtocol(peer), peer)
        for chunk in chunks:
            line.send(chunk)
        return line

    def client(self, token: str = TOKEN, *lines: str) -> Line:
        """A client that was let in; what it received so far is forgotten."""
        line = self.line(request("/ws", token, *lines))
        assert line.status == 101, line.answer
        line.clear()
        line.write(b"\r\n\r\n")  # as if the handshake's answer ended here
        return line

    def refused(self, reason: str) -> float:
        """How many were refused for a reason."""
        return self.metrics.value("ws_refused_total", reason=reason)
