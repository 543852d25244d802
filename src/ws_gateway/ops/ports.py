"""The ports of the gateway: all of them open or none, each closed when its stage of a stop has come.

What a port serves is the affair of whoever gives the factory.
"""

from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from ws_gateway.ops.listening import listen

__all__ = ["Opening", "Ports"]

_log = Logger()

OpenPort = Callable[[Any, str, IProtocolFactory], Deferred[IListeningPort]]


@frozen
class Opening:
    """A port that is wanted.

    :ivar serves: a word for the log, and the name by which the port is closed.
    :ivar setting: what an operator changes to have another one.
    :ivar description: where to listen, as a Twisted endpoint string.
    """

    serves: str
    setting: str
    description: str
    factory: IProtocolFactory


class Ports(Service):
    """See the module.

    Endpoints answer at once, with few exceptions. One that fails later stops the reactor.

    :param openings: the ports, in the order in which they are opened and told of.
    """

    name = "ports"

    def __init__(self, reactor: Any, openings: Sequence[Opening], open_port: OpenPort = listen) -> None:
        self._reactor = reactor
        self._openings = tuple(openings)
        self._open_port = open_port
        self._asked: dict[str, Deferred[Any]] = {}
        self._open: dict[str, IListeningPort] = {}
        self._problem: str | None = None
        self._starting = False
        self._waiting: list[Deferred[None]] = []

    def privilegedStartService(self) -> None:
        """Open the ports while we still may.

        :raises SystemExit: one cannot be opened: its text says which and why; the others are closed again.
        """
        super().privilegedStartService()  # type: ignore[no-untyped-call]
        if self._asked:
            return
        self._starting = True
        for opening in self._openings:
            asked = self._open_port(self._reactor, opening.description, opening.factory)
            self._asked[opening.serves] = asked
            asked.addCallbacks(self._opened, self._failed, callbackArgs=(opening,), errbackArgs=(opening,))
            if self._problem is not None:
                self._close_all()
                # Raised to twistd, any other error would bury this sentence in a traceback.
                raise SystemExit(self._problem)
        self._starting = False
        for opening in self._openings:
            self._tell(opening)
        self._tell_waiting()

    def startService(self) -> None:
        """Open the ports, where there was no privileged start."""
        self.privilegedStartService()
        super().startService()  # type: ignore[no-untyped-call]

    def when_open(self) -> Deferred[None]:
        """:returns Deferred[None]: when clients can connect to every port; never if there is no such time."""
        opened: Deferred[None] = Deferred()
        self._waiting.append(opened)
        self._tell_waiting()
        return opened

    def close(self, serves: str) -> Deferred[Any]:
        """Accept nobody any more on one port. Connections that are open stay open.

        :returns Deferred[object]: when the port is closed; at once if it is not open.
        """
        asked = self._asked.pop(serves, None)
        if asked is not None:
            asked.cancel()
        port = self._open.pop(serves, None)
        return succeed(None) if port is None else maybeDeferred(port.stopListening)

    def stopService(self) -> Deferred[Any]:
        """Close the ports that no stage has closed."""
        super().stopService()  # type: ignore[no-untyped-call]
        return self._close_all()

    def _close_all(self) -> Deferred[Any]:
        return gatherResults([self.close(serves) for serves in list(self._asked)])

    def _opened(self, port: IListeningPort, opening: Opening) -> None:
        self._open[opening.serves] = port
        if not self._starting:
            self._tell(opening)
            self._tell_waiting()

    def _failed(self, failure: Failure, opening: Opening) -> None:
        if opening.serves not in self._asked:
            return  # closed, and cancelled for that
        problem = f"cannot listen on {opening.description} ({opening.setting}): {_reason(failure.value)}"
        if self._starting:
            self._problem = problem
            return
        _log.critical("{problem}; the gateway stops", problem=problem)
        self._reactor.callWhenRunning(self._reactor.stop)

    def _tell_waiting(self) -> None:
        if not self._starting and len(self._open) == len(self._openings):
            waiting, self._waiting = self._waiting, []
            for opened in waiting:
                opened.callback(None)

    def _tell(self, opening: Opening) -> None:
        port = self._open.get(opening.serves)
        if port is not None:
            address = port.getHost()
            _log.info(
                "listening on {address}",
                address=str(address),
                port=getattr(address, "port", None),
                serves=opening.serves,
            )


def _reason(error: BaseException | None) -> str:
    """What is wrong, in the words of whoever noticed."""
    if isinstance(error, CannotListenError):
        error = error.socketError
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"
