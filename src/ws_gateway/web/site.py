"""The site: makes channels, counts and logs requests."""

# mypy: allow-untyped-calls
# (The parent is annotated in part.)

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.web.resource import IResource
from twisted.web.server import Site

from ws_gateway.interfaces import IMetrics
from ws_gateway.web.channel import GatewayChannel
from ws_gateway.web.keyless import LEAST_KEYLESS_BYTES, KeylessBodies
from ws_gateway.web.limits import HttpLimits
from ws_gateway.web.request import GatewayRequest

__all__ = ["GatewaySite"]


class GatewaySite(Site):
    """Serves a tree over HTTP/1.1. HTTP/2 is left to the proxy in front.

    It opens no log file and needs no `startFactory`; `buildProtocol(address)` gives channels from the start.

    :param clock: for all deadlines.
    :ivar keyless: the bodies that are read now without a key.
    """

    # Twisted types this as the wrapper that chooses between HTTP/1.1 and HTTP/2.
    protocol = GatewayChannel  # type: ignore[assignment]
    noisy = False

    def __init__(self, root: IResource, clock: IReactorTime, limits: HttpLimits, metrics: IMetrics) -> None:
        super().__init__(
            root,
            requestFactory=GatewayRequest,
            parsePOSTFormSubmission=False,
            timeout=limits.keepalive_seconds,
            reactor=clock,
        )
        self._limits = limits
        self.keyless = KeylessBodies(max(LEAST_KEYLESS_BYTES, 2 * limits.max_body_bytes))
        self._answers = [
            metrics.counter("http_requests_total", "HTTP requests answered.", {"status": f"{hundred}xx"})
            for hundred in range(1, 6)
        ]

    def startFactory(self) -> None:
        """Nothing to open: access lines go to the log."""

    def stopFactory(self) -> None:
        """Nothing to close."""

    def buildProtocol(self, addr: IAddress | None) -> GatewayChannel:  # type: ignore[override]
        channel: GatewayChannel = super().buildProtocol(addr)
        channel.request_seconds = self._limits.request_seconds
        return channel

    def acceptableProtocols(self) -> list[bytes]:
        return [b"http/1.1"]

    def log(self, request: GatewayRequest) -> None:  # type: ignore[override]
        """Called once for every answer that is complete."""
        self._answers[request.code // 100 - 1].inc()
        request.answered()
