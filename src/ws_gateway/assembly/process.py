"""The process around the gateway: where log lines go, and what signals mean."""

import atexit
import os
import sys
from collections.abc import Sequence
from typing import Any

from twisted.logger import Logger
from twisted.python.logfile import LogFile

from ws_gateway.assembly.reloadable import tell_warnings
from ws_gateway.ops.log_routes import route_logs
from ws_gateway.ops.logs import FORMATS, ByteStream, Threshold, filtered
from ws_gateway.ops.reload import Reload
from ws_gateway.ops.signals import reload_on_hup, rotate_on_usr1

__all__ = ["TurnBack", "belong_to"]

_log = Logger()


def belong_to(
    application: Any,
    twistd: Any,
    log_format: str,
    worth: Threshold,
    reload: Reload[Any],
    warnings: Sequence[str],
    reactor: Any,
) -> None:
    """We belong to `twistd` now: every line from here on is ours, and SIGHUP does not end us any more.

    :param twistd: its options, None if somebody else runs us.
    :param warnings: the first lines: what the settings gave reason to tell.
    """
    observer = filtered(FORMATS[log_format](_log_stream(twistd, reactor)), worth)
    route_logs(application, observer, worth.level)
    reload_on_hup(reactor, reload)
    tell_warnings(warnings)


class TurnBack:
    """Call it with a sentence to end the process because it has been set up wrongly: one line, status 1.

    Whoever else finds the same is not heard any more.
    """

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._called = False

    def __call__(self, problem: str) -> None:
        if self._called:
            return
        self._called = True
        _log.critical("the gateway cannot start: {problem}", problem=problem)
        # twistd ends with status 0 whatever made it end, so the status is set as the very last thing.
        atexit.register(os._exit, 1)
        self._reactor.callWhenRunning(self._reactor.stop)


def _log_stream(twistd: Any, reactor: Any) -> ByteStream:
    """Standard output, or twistd's log file when it runs as a daemon or was told of one."""
    if twistd is not None and (twistd["logfile"] or not twistd["nodaemon"]):
        path = twistd["logfile"] or "twistd.log"
        if path != "-":
            log_file = LogFile.fromFullPath(path, rotateLength=None, defaultMode=0o640)
            rotate_on_usr1(reactor, log_file.rotate)
            stream: ByteStream = log_file
            return stream
    return sys.stdout.buffer
