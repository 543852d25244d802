"""The feed: the overview once a second, to every console that is open, made once for all of them."""

from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.domain.outgoing import Batch, Outgoing
from ws_gateway.interfaces import IConnection

__all__ = ["FEED_INTERVAL", "ConsoleFeed"]

_log = Logger()

FEED_INTERVAL = 1.0


class ConsoleFeed(Service):
    """See the module. Nothing is put together while nobody looks.

    :param consoles: the open ones, at this moment.
    :param render: the overview as JSON.
    """

    name = "console feed"

    def __init__(
        self,
        clock: IReactorTime,
        consoles: Callable[[], Sequence[IConnection]],
        render: Callable[[], bytes],
    ) -> None:
        self._consoles = consoles
        self._render = render
        self._turning = LoopingCall(self._turn)
        self._turning.clock = clock
        self._ended: Deferred[Any] | None = None

    def startService(self) -> None:
        """Begin to look for consoles."""
        super().startService()  # type: ignore[no-untyped-call]
        self._ended = self._turning.start(FEED_INTERVAL, now=False)
        self._ended.addErrback(lambda failure: _log.failure("the console's feed stopped", failure))

    def stopService(self) -> Any:
        """Send every console away. (The page keeps asking by HTTP while that is served.)"""
        if self._turning.running:
            self._turning.stop()
        for console in self._consoles():
            console.shut_down()
        return super().stopService()  # type: ignore[no-untyped-call]

    def _turn(self) -> None:
        consoles = self._consoles()
        if not consoles:
            return
        try:
            overview = self._render()
        except Exception:
            # A defect behind the overview must not end the feed; the page shows that its figures are old.
            _log.failure("the overview for the console could not be made", Failure())
            return
        batch = Batch([Outgoing(overview)])
        for console in consoles:
            console.send_many(batch)
