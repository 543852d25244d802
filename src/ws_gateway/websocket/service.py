"""The client side as a service: turns the wheel of deadlines, and in the end sees everybody out.

`announce` and `close_sessions` are stages of the gateway's stop; the port is closed in between.
"""

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from ws_gateway.domain.registry import Registry
from ws_gateway.websocket.admit import Admission
from ws_gateway.websocket.deadlines import Wheel

__all__ = ["WebSocketService"]

_log = Logger()

CLOSES_AT_ONCE = 200
"""Connections that are told to close in one step of a stop .."""

CLOSE_STEP = 0.05
""".. and the seconds between two steps: 4,000 a second, so that they do not all come back at once."""


class WebSocketService(Service):
    """See the module.

    :param reactor: IReactorTime.
    :param drain_seconds: `SHUTDOWN_DRAIN_SECONDS`.
    """

    name = "websocket"

    def __init__(
        self,
        reactor: Any,
        wheel: Wheel,
        registry: Registry,
        admission: Admission,
        drain_seconds: float = 0,
    ) -> None:
        self._reactor = reactor
        self._wheel = wheel
        self._registry = registry
        self._admission = admission
        self._drain_seconds = drain_seconds
        self._turning: Deferred[Any] | None = None

    def startService(self) -> None:
        """Let the wheel turn."""
        super().startService()  # type: ignore[no-untyped-call]
        self._turning = self._wheel.start()
        self._turning.addErrback(lambda failure: _log.failure("the wheel of deadlines stopped", failure))

    async def announce(self) -> None:
        """Tell the load balancer that we go, and serve whom it still sends (`SHUTDOWN_DRAIN_SECONDS`)."""
        self._admission.announce()
        if self._drain_seconds:
            await self._pause(self._drain_seconds)

    async def close_sessions(self) -> None:
        """Close everybody with 1012, paced, and wait until all are gone."""
        everyone = self._registry.everyone()
        for begin in range(0, len(everyone), CLOSES_AT_ONCE):
            for connection in everyone[begin : begin + CLOSES_AT_ONCE]:
                connection.shut_down()
            await self._pause()
        while len(self._registry):
            await self._pause()

    def stopService(self) -> Any:
        """Stop the wheel; by now nobody is connected."""
        self._wheel.stop()
        return super().stopService()  # type: ignore[no-untyped-call]

    def _pause(self, seconds: float = CLOSE_STEP) -> Deferred[None]:
        done: Deferred[None] = Deferred(lambda _: call.cancel())
        call = self._reactor.callLater(seconds, done.callback, None)
        return done
