"""Log lines: JSON for machines, text for people at a terminal; in both, one event is one line.

A JSON line has the keys `time` (RFC 3339, UTC, milliseconds), `level`, `logger`, `event` (the formatted
text), then the structured fields of the event, then `traceback` where there is one. A field with the name of
one of these gets an underscore behind it.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import orjson
from constantly import NamedConstant
from twisted.logger import (
    FilteringLogObserver,
    ILogFilterPredicate,
    ILogObserver,
    LogEvent,
    LogLevel,
    LogLevelFilterPredicate,
    PredicateResult,
    formatEvent,
)
from zope.interface import implementer

from ws_gateway.ops.log_values import escape_controls, plain, readable, traceback_text

__all__ = ["FORMATS", "LEVELS", "ByteStream", "Threshold", "filtered", "json_observer", "text_observer"]

LEVELS = {
    "DEBUG": LogLevel.debug,
    "INFO": LogLevel.info,
    "WARN": LogLevel.warn,
    "WARNING": LogLevel.warn,
    "ERROR": LogLevel.error,
    "CRITICAL": LogLevel.critical,
}
"""What `LOG_LEVEL` may say."""

_MAX_LINE = 131072

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_RESERVED = frozenset({"time", "level", "logger", "event", "traceback"})

# What twisted.python.log adds to an event for observers of the old kind.
_LEGACY = frozenset(
    {"time", "system", "message", "isError", "format", "failure", "why", "printed", "logLevel"}
)

# Twisted says these at `info`; they matter to whoever looks for a fault.
_DEMOTED = (
    "Starting factory {",
    "Stopping factory {",
    "Timing out client",
    "Forcibly timing out client",
    "Using GET to fake a HEAD request",
)

# Twisted shows the request here, with its query, where a token may stand.
_NEVER = ("Warning: HEAD request {slf}",)


class ByteStream(Protocol):
    """Where lines go: `sys.stdout.buffer`, or a `twisted.python.logfile.LogFile`."""

    def write(self, data: bytes, /) -> Any: ...

    def flush(self) -> Any: ...


def json_observer(stream: ByteStream) -> ILogObserver:
    """An observer that writes one JSON object a line, whatever stands in the event."""
    return _Lines(stream, _json_line)


def text_observer(stream: ByteStream) -> ILogObserver:
    """An observer that writes lines for people; a traceback follows its line, indented."""
    return _Lines(stream, _text_line)


FORMATS = {"json": json_observer, "text": text_observer}
"""What `LOG_FORMAT` may say."""


def filtered(observer: ILogObserver, worth: "Threshold") -> ILogObserver:
    """Pass on what is worth a line."""
    return FilteringLogObserver(observer, [worth])


@implementer(ILogObserver)
class _Lines:
    """Writes each event as one piece, so that lines never mix."""

    def __init__(self, stream: ByteStream, line: Callable[[LogEvent], bytes]) -> None:
        self._stream = stream
        self._line = line

    def __call__(self, event: LogEvent) -> None:
        self._stream.write(self._line(event))
        self._stream.flush()


@implementer(ILogFilterPredicate)
class Threshold:
    """What is worth a line.

    Autobahn (with txaio) is heard only when something of it breaks, whatever the level: what it says at other
    times is about single frames and handshakes, and may quote them.

    :param level: the least level, one of the values of LEVELS.
    """

    def __init__(self, level: NamedConstant) -> None:
        self.change(level)

    def change(self, level: NamedConstant) -> None:
        """From now on this is the least level."""
        self.level = level
        self._silent = _NEVER if level <= LogLevel.debug else _NEVER + _DEMOTED
        self._by_level = LogLevelFilterPredicate(defaultLogLevel=level)
        for namespace in ("autobahn", "txaio"):
            self._by_level.setLogLevelForNamespace(namespace, LogLevel.critical)

    def __call__(self, event: LogEvent) -> NamedConstant:
        text = event.get("log_format")
        if isinstance(text, str) and text.startswith(self._silent):
            return PredicateResult.no
        return self._by_level(event)


def _json_line(event: LogEvent) -> bytes:
    document = _head(event)
    for name, value in _fields(event):
        document[name + "_" if name in _RESERVED else name] = value
    line = orjson.dumps(document)
    if len(line) > _MAX_LINE:
        # Each value has its bound, many together have this one.
        line = orjson.dumps({**_head(event), "cut": len(line)})
    if not line.isascii() or b"\x7f" in line:
        # JSON leaves these as they are inside strings, and characters beyond ASCII stand nowhere else.
        line = escape_controls(line.decode("utf-8")).encode("utf-8")
    return line + b"\n"


def _head(event: LogEvent) -> dict[str, Any]:
    document = {
        "time": _time(event),
        "level": _level(event),
        "logger": readable(str(event.get("log_namespace", "-"))),
        "event": _text(event),
    }
    failure = event.get("log_failure")
    if failure is not None:
        document["traceback"] = traceback_text(failure)
    return document


def _text_line(event: LogEvent) -> bytes:
    head = _head(event)
    lines = ["{time} {level:8} {logger}: {event}".format_map(head)]
    if "traceback" in head:
        lines += head["traceback"].split("\n")
    return "\n    ".join(map(escape_controls, lines)).encode("utf-8") + b"\n"


def _time(event: LogEvent) -> str:
    seconds = event.get("log_time", 0.0)
    # Not fromtimestamp(), which rounds: a line must not be of a later millisecond than its event.
    moment = _EPOCH + timedelta(milliseconds=int(seconds * 1000))
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def _level(event: LogEvent) -> str:
    level = event.get("log_level")
    return level.name if isinstance(level, NamedConstant) else "info"


def _text(event: LogEvent) -> str:
    text = formatEvent(event)
    failure = event.get("log_failure")
    if not text and failure is not None:
        text = failure.type.__name__
    return readable(text)


def _fields(event: LogEvent) -> Iterator[tuple[str, Any]]:
    legacy = _LEGACY if "isError" in event and "system" in event else frozenset[str]()
    for name, value in event.items():
        if not name.startswith("log_") and name not in legacy:
            yield readable(name), plain(value)
