"""The listening socket of the demo."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger
from twisted.web.server import Site

__all__ = ["Listener"]

_log = Logger()


class Listener(Service):
    """Listens while the service runs; a port that cannot be had ends the start with one line."""

    name = "listener"

    def __init__(self, host: str, port: int, site: Site, reactor: Any) -> None:
        self._host = host
        self._port = port
        self._site = site
        self._reactor = reactor
        self._listening: IListeningPort | None = None

    def privilegedStartService(self) -> None:
        try:
            self._listening = self._reactor.listenTCP(self._port, self._site, interface=self._host)
        except CannotListenError as error:
            raise SystemExit(
                f"ws-demo: cannot listen on {self._host} port {self._port} ({error.socketError.strerror});"
                " DEMO_HOST and DEMO_PORT choose another"
            ) from error

    def startService(self) -> None:
        Service.startService(self)
        if self._listening is None:
            self.privilegedStartService()
        _log.info("the demo listens on {host} port {port}", host=self._host, port=self._port)

    def stopService(self) -> Deferred[Any]:
        Service.stopService(self)
        listening, self._listening = self._listening, None
        return succeed(None) if listening is None else maybeDeferred(listening.stopListening)
