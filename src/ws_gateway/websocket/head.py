"""One request head: where it ends, and what it says.

llhttp (through `httptools`) judges, strictly: control bytes, bare CR or LF, folded lines and blanks before a
colon are errors; header values are opaque bytes (RFC 9110 section 5.5), read as Latin-1.
"""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

import httptools
from attrs import field, frozen

__all__ = ["MAX_HEAD_BYTES", "BadHead", "ForeignMethod", "Head", "end_of_head", "parse_head", "split_target"]

MAX_HEAD_BYTES = 16 * 1024
MAX_QUERY_FIELDS = 100

_AUTHORITY = re.compile(r"[^:]*://[^/?#]*")
_METHOD = re.compile(rb"[A-Z][A-Z_-]{0,31}( |\Z)")


class BadHead(Exception):
    """The bytes are no HTTP request that we would answer with anything but 400."""


class ForeignMethod(Exception):
    """A well-formed method that the parser does not know; the HTTP side says 405 to it."""


@frozen
class Head:
    """A parsed request head.

    :ivar path: without query, as sent.
    :ivar query: as sent, without the `?`.
    :ivar headers: lower-case name to its lines in order, outer blanks removed.
    """

    method: str
    path: str
    query: str = field(repr=False)
    version: str
    headers: Mapping[str, tuple[str, ...]] = field(repr=False)

    def tokens(self, name: str) -> list[str]:
        """The elements of a comma-separated header in lower case (RFC 9110 section 5.6.1)."""
        lines = self.headers.get(name, ())
        return [
            item.lower() for line in lines for item in (part.strip(" \t") for part in line.split(",")) if item
        ]

    def only(self, name: str) -> str | None:
        """The value of a header that stands there exactly once, else None."""
        lines = self.headers.get(name, ())
        return lines[0] if len(lines) == 1 else None

    def query_pairs(self) -> tuple[tuple[str, str], ...]:
        """The decoded query.

        :raises BadHead: too many fields.
        """
        if not self.query:
            return ()
        try:
            return tuple(parse_qsl(self.query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS))
        except ValueError:
            raise BadHead("too many query fields") from None


def end_of_head(data: bytes) -> int:
    """Where the first byte behind the head stands, 0 if the head is not complete."""
    return data.find(b"\r\n\r\n") + 4 if b"\r\n\r\n" in data else 0


class _Collector:
    """Gathers what the parser reports."""

    __slots__ = ("complete", "lines", "target")

    def __init__(self) -> None:
        self.target = b""
        self.lines: dict[str, tuple[str, ...]] = {}
        self.complete = False

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        key = name.decode("latin-1").lower()
        text = value.decode("latin-1").strip(" \t")
        before = self.lines.get(key)
        self.lines[key] = (text,) if before is None else (*before, text)

    def on_headers_complete(self) -> None:
        self.complete = True


def parse_head(data: bytes) -> Head | None:
    """Parse a head, or judge the beginning of one.

    :param data: bytes up to the end of the head, or an incomplete head.
    :returns: None if nothing is wrong so far but the head is not complete.
    :raises BadHead: it never will be a request.
    :raises ForeignMethod: it is one that only the HTTP side can answer.
    """
    collector = _Collector()
    parser = httptools.HttpRequestParser(collector)
    try:
        parser.feed_data(data)
    except httptools.HttpParserUpgrade:
        pass  # the head is complete and asks for another protocol
    except httptools.HttpParserInvalidMethodError as error:
        method = _METHOD.match(data)
        if method is None:
            raise BadHead(str(error)) from None
        if not method[1]:
            return None  # it may still become one
        raise ForeignMethod from None
    except httptools.HttpParserError as error:
        raise BadHead(str(error)) from None
    if not collector.complete:
        return None
    path, query = split_target(collector.target)
    return Head(
        method=parser.get_method().decode("ascii"),
        path=path,
        query=query,
        version=parser.get_http_version(),
        headers=collector.lines,
    )


def split_target(target: bytes) -> tuple[str, str]:
    """The path and the query of a request target; proxies may send the absolute form (RFC 9112 3.2.2)."""
    text = target.decode("latin-1")
    if not text.startswith("/") and "://" in text:
        # The authority ends at the first of these, so that a slash in the query begins no path.
        text = _AUTHORITY.sub("", text, count=1)
    path, _, query = text.partition("?")
    return path, query.partition("#")[0]
