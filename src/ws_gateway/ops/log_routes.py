"""Brings everything that is said in the process to one observer, from the first line on.

`twistd` looks for an observer on the Application before it says its first word, but after `makeService` has
returned: the only moment in between is when our service is given its parent. What was said earlier is kept by
Twisted and comes first; it also brings prints and warnings of Python. The `logging` module is brought here.
"""

import logging
from collections.abc import Callable
from typing import cast

from constantly import NamedConstant
from twisted.logger import ILogObserver, Logger, LogLevel
from twisted.python.components import Componentized
from twisted.python.failure import Failure

__all__ = ["StandardLogging", "route_logs", "spare_below"]

_STANDARD_LEVELS = {
    LogLevel.debug: logging.DEBUG,
    LogLevel.info: logging.INFO,
    LogLevel.warn: logging.WARNING,
    LogLevel.error: logging.ERROR,
    LogLevel.critical: logging.CRITICAL,
}


def route_logs(
    application: Componentized,
    observer: ILogObserver,
    level: NamedConstant,
    root: logging.Logger = logging.root,
) -> None:
    """Make an observer the one that `twistd` begins logging to.

    :param application: what `twistd` has made to hold our service.
    :param level: as for `spare_below`.
    :param root: the logger of Python's `logging` whose records come here.
    """
    application.setComponent(ILogObserver, observer)
    root.addHandler(StandardLogging())
    spare_below(level, root)


def spare_below(level: NamedConstant, root: logging.Logger = logging.root) -> None:
    """Spare Python's `logging` the work for lines that nobody sees.

    :param level: the least level that somebody does see.
    """
    root.setLevel(_STANDARD_LEVELS[level])


class StandardLogging(logging.Handler):
    """Hands records of Python's `logging` to Twisted's; their logger's name is the namespace.

    :param make_logger: gives a Twisted logger for a namespace.
    """

    def __init__(self, make_logger: Callable[[str], Logger] = Logger) -> None:
        super().__init__()
        self._make_logger = make_logger

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = record.getMessage()
        except Exception as error:  # A library's own slip, such as too few arguments; the line is still told.
            text = f"{record.msg} (unformatted: {error})"
        log = self._make_logger(record.name)
        level = _nearest(record.levelno)
        if record.exc_info and record.exc_info[1] is not None:
            # Given its level, too: Logger.failure() would say "critical" whatever it is.
            failure = Failure(record.exc_info[1], record.exc_info[0], record.exc_info[2])
            log.emit(level, "{log_text}", log_text=text, log_failure=failure)
        else:
            log.emit(level, "{log_text}", log_text=text)


def _nearest(levelno: int) -> LogLevel:
    for level in (LogLevel.critical, LogLevel.error, LogLevel.warn, LogLevel.info):
        if levelno >= _STANDARD_LEVELS[level]:
            return cast(LogLevel, level)
    return cast(LogLevel, LogLevel.debug)
