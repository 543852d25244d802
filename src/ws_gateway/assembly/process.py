"""The process around the gateway: where log lines go, and what signals mean."""

import sys
from collections.abc import Sequence
from typing import Any

from twisted.python.logfile import LogFile

from ws_gateway.assembly.reloadable import tell_warnings
from ws_gateway.ops.log_routes import route_logs
from ws_gateway.ops.logs import FORMATS, ByteStream, Threshold, filtered
from ws_gateway.ops.reload import Reload
from ws_gateway.ops.signals import reload_on_hup, rotate_on_usr1

__all__ = ["belong_to"]


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
