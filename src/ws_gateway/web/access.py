"""One log line for each request: never the query, which may hold a token, and never a header or a body."""

import re

from twisted.logger import Logger

__all__ = ["log_access"]

_log = Logger()

# Asked often and counted anyway: a line for each would cost more than the answer.
_PROBES = frozenset({b"/health", b"/ready", b"/metrics"})
_PUBLISHING = frozenset({b"/internal/publish", b"/internal/publish/batch"})
# A status page that is open asks all the time; that it was opened, and what it changed, is told.
_LOOKING = b"/internal/console/"

# Somebody who does not know where tokens go may put one into the path.
_TOKEN = re.compile(rb"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]*")

_MOST_METHOD_BYTES = 32
_MOST_PATH_BYTES = 256


def log_access(
    method: bytes, path: bytes, status: int, size: int, seconds: float, gone: bool = False
) -> None:
    """Write the line of one request; probes, and publishing and looking that went well, are at debug.

    :param path: without the query, as the peer wrote it.
    :param size: bytes of the answer's body.
    :param gone: the peer left before the answer was complete.
    """
    routine = path in _PUBLISHING or path.startswith(_LOOKING)
    quiet = path in _PROBES or (routine and status == 200)
    write = _log.debug if quiet else _log.info
    write(
        "{method} {path} left unanswered" if gone else "{method} {path} {status}",
        method=method[:_MOST_METHOD_BYTES].decode("ascii", "backslashreplace"),
        path=_TOKEN.sub(b"***", path)[:_MOST_PATH_BYTES].decode("ascii", "backslashreplace"),
        status=status,
        bytes=size,
        milliseconds=round(seconds * 1000, 2),
    )
