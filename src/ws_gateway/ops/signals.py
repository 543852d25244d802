"""Signals whose default would harm us.

While we go down, a further signal to stop changes nothing: Twisted's reactor answers it by trying to stop
once more, which is an error with a traceback. SIGUSR1 rotates the log file, as it does with `twistd`'s own
log, and SIGHUP reloads; left alone, both end the process.
"""

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any, Protocol

from twisted.logger import Logger

__all__ = ["absorb_stop_signals", "reload_on_hup", "rotate_on_usr1"]

_log = Logger()


class _CallsFromThread(Protocol):
    def callFromThread(self, callable: Callable[[], object]) -> None: ...


def absorb_stop_signals(
    reactor: _CallsFromThread, install: Callable[[signal.Signals, Any], object] = signal.signal
) -> None:
    """Take SIGTERM and SIGINT from the reactor, and SIGHUP, for the rest of the process's life.

    How the process ends is settled by the first signal and stays so. The first stage of the way down.

    :param reactor: where the log line is written: a signal may come in the middle of anything.
    :param install: `signal.signal`, which works in the main thread only.
    """

    def absorb(number: int, frame: FrameType | None) -> None:
        name = signal.Signals(number).name
        reactor.callFromThread(lambda: _log.info("{signal}: stopping already", signal=name))

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        install(number, absorb)


def rotate_on_usr1(
    reactor: _CallsFromThread,
    rotate: Callable[[], object],
    install: Callable[[signal.Signals, Any], object] = signal.signal,
) -> None:
    """Rotate the log file whenever SIGUSR1 comes.

    :param reactor: where it is done: a signal may come in the middle of a line.
    :param rotate: `LogFile.rotate`.
    :param install: `signal.signal`, which works in the main thread only.
    """
    install(signal.SIGUSR1, lambda number, frame: reactor.callFromThread(rotate))


def reload_on_hup(
    reactor: _CallsFromThread,
    reload: Callable[[], object],
    install: Callable[[signal.Signals, Any], object] = signal.signal,
) -> None:
    """Reload whenever SIGHUP comes.

    :param reactor: where it is done.
    :param reload: does not raise.
    :param install: `signal.signal`, which works in the main thread only.
    """
    install(signal.SIGHUP, lambda number, frame: reactor.callFromThread(reload))
