"""Text for a terminal. What clients wrote may hold control characters; none of them gets through."""

from collections.abc import Sequence
from datetime import UTC, datetime

__all__ = ["clean", "moment", "span", "table"]

WIDEST = 60
"""Characters of one cell; what is longer is cut and says so."""


def clean(text: str, widest: int = WIDEST) -> str:
    """The text on one line, every character that does not print written as an escape."""
    cut = text if len(text) <= widest else text[: widest - 1] + "\N{HORIZONTAL ELLIPSIS}"
    if cut.isprintable():
        return cut
    return "".join(mark if mark.isprintable() else mark.encode("unicode_escape").decode() for mark in cut)


def table(heads: Sequence[str], rows: Sequence[Sequence[object]], last: int = WIDEST) -> list[str]:
    """Rows under their heads, in columns.

    :param last: how wide the last column may be.
    """
    widths = [WIDEST] * (len(heads) - 1) + [last]
    texts = [[clean(str(cell), width) for cell, width in zip(row, widths, strict=True)] for row in rows]
    lines = [list(heads), *texts]
    columns = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(line, columns, strict=True)).rstrip()
        for line in lines
    ]


def moment(seconds: float, places: int = 0) -> str:
    """A point in time, in UTC."""
    stamp = datetime.fromtimestamp(seconds, UTC).isoformat(" ", "milliseconds" if places else "seconds")
    return stamp.replace("+00:00", "Z")


def span(seconds: float) -> str:
    """How long, in the two largest units: `3 d 4 h`, `12 min 5 s`, `0.5 s`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(int(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 24 else f"{hours // 24} d {hours % 24} h"
