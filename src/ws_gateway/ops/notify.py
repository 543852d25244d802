"""Tells a service manager how we are, as sd_notify(3) does: datagrams of NAME=value lines to `NOTIFY_SOCKET`.

| when | what is sent |
|---|---|
| clients can connect and the reactor turns | `READY=1`; whether there are keys or a backend is no condition |
| every half of `WATCHDOG_USEC`, by the reactor: one that is stuck is to be ended | `WATCHDOG=1` |
| with each of these | `STATUS=` one line for `systemctl status` |
| a reload begins, and ends whichever way | `RELOADING=1` with `MONOTONIC_USEC`, then `READY=1` |
| a stop begins | `STOPPING=1`, and `EXTEND_TIMEOUT_USEC` for the time that it may take |

Without `NOTIFY_SOCKET` nobody is told and nothing is done.
"""

import os
import socket
import time
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any

from attrs import frozen
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from ws_gateway.domain.throttle import Throttle

__all__ = ["Manager", "Notifier", "NotifySocket"]

_log = Logger()

_STATUS_INTERVAL = 10.0
_LOG_INTERVAL = 60.0
_MARGIN = 5.0
_MICROSECONDS = 1_000_000


class NotifySocket:
    """Where messages go. Kept open: a watchdog must be fed also when descriptors run out.

    A manager that is gone or does not listen makes no error; a line in the log says so now and then.

    :param address: a path, or `@name` for a socket without one.
    """

    def __init__(self, address: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._monotonic = monotonic
        self._throttle = Throttle(_LOG_INTERVAL)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
        self._socket.setblocking(False)

    def send(self, message: str) -> None:
        """Send one message. Does not raise and does not block."""
        try:
            self._socket.sendto(message.encode("utf-8"), self._address)
        except OSError as error:
            suppressed = self._throttle.admit(self._monotonic())
            if suppressed is not None:
                _log.warn(
                    "the service manager cannot be told ({detail})",
                    detail=error.strerror or str(error),
                    suppressed=suppressed,
                )

    def close(self) -> None:
        """Nothing is sent any more."""
        self._socket.close()


@frozen
class Manager:
    """Who started us, and what is asked of us.

    :ivar address: where messages go; None: nobody asks.
    :ivar watchdog: seconds within which we must have said that we live; None: nobody waits for that.
    """

    address: str | None = None
    watchdog: float | None = None

    @classmethod
    def of(cls, environ: Mapping[str, str], pid: int | None = None) -> "Manager":
        """Read the variables of sd_notify(3) and sd_watchdog_enabled(3).

        :param pid: ours.
        """
        address = environ.get("NOTIFY_SOCKET", "")
        if not address:
            return cls()
        if not address.startswith(("/", "@")):
            _log.warn("NOTIFY_SOCKET={address}: is no socket that is known here", address=address)
            return cls()
        microseconds = environ.get("WATCHDOG_USEC", "")
        ours = environ.get("WATCHDOG_PID") in (None, "", str(os.getpid() if pid is None else pid))
        if not (ours and microseconds.isascii() and microseconds.isdigit() and int(microseconds) > 0):
            return cls(address)
        return cls(address, int(microseconds) / _MICROSECONDS)


class _Phase(Enum):
    STARTING = auto()
    READY = auto()
    RELOADING = auto()
    STOPPING = auto()


class Notifier(Service):
    """See the module.

    :param manager: whom to tell.
    :param reactor: IReactorTime and IReactorCore.
    :param up: asked once, at the start; its Deferred fires when the ports are open.
    :param status: how we are, in one line.
    :param grace: seconds that a stop may take.
    :param monotonic_ns: the clock that the manager compares its own with, CLOCK_MONOTONIC.
    """

    name = "manager"

    def __init__(
        self,
        manager: Manager,
        reactor: Any,
        up: Callable[[], Deferred[None]],
        status: Callable[[], str],
        grace: float,
        monotonic_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._manager = manager
        self._reactor = reactor
        self._up = up
        self._status = status
        self._grace = grace
        self._monotonic_ns = monotonic_ns
        self._socket: NotifySocket | None = None
        self._timer: IDelayedCall | None = None
        self._phase = _Phase.STARTING
        self._remark = ""

    def startService(self) -> None:
        """Wait until clients can connect, and say so."""
        super().startService()  # type: ignore[no-untyped-call]
        if self._manager.address is not None:
            self._socket = NotifySocket(self._manager.address)
            up = self._up()
            up.addCallback(lambda _: self._reactor.callWhenRunning(self._ready))
            up.addErrback(lambda failure: _log.failure("whether the ports are open is not known", failure))
            self._beat()

    def stopService(self) -> None:
        """The last of all: until here the watchdog is fed."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def reloading(self) -> None:
        """A reload begins."""
        if self._phase is _Phase.READY:
            self._phase = _Phase.RELOADING
            self._tell("RELOADING=1", f"MONOTONIC_USEC={self._monotonic_ns() // 1000}")

    def reloaded(self, refused: bool) -> None:
        """A reload is over; the status remembers one that was refused."""
        self._remark = "; the last reload was refused, see the log" if refused else ""
        if self._phase is _Phase.RELOADING:
            self._ready()

    def stopping(self) -> None:
        """A stop begins."""
        self._phase = _Phase.STOPPING
        enough = int((self._grace + _MARGIN) * _MICROSECONDS)
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={enough}")

    def _ready(self) -> None:
        if self._phase is not _Phase.STOPPING:
            self._phase = _Phase.READY
            self._tell("READY=1")

    def _beat(self) -> None:
        watchdog = self._manager.watchdog
        self._timer = self._reactor.callLater(watchdog / 2 if watchdog else _STATUS_INTERVAL, self._beat)
        self._tell(*(["WATCHDOG=1"] if watchdog else []))

    def _tell(self, *lines: str) -> None:
        if self._socket is not None:
            word = self._phase.name.lower()
            self._socket.send("\n".join([*lines, f"STATUS={word}: {self._status()}{self._remark}"]))
