r"""Settings in a file: lines of NAME=value, with the meaning that systemd's `EnvironmentFile=` gives them.

| written | the value is |
|---|---|
| `NAME= some "text" ` | `some "text"`: white space around it does not count, quotes inside it are text |
| `NAME=a\ b\\` | `a b\`: a backslash hides what follows; at the end of a line, the line goes on |
| `NAME='as it is'` | everything up to the next `'`, backslashes and ends of lines too |
| `NAME="text"` | up to the next `"`; a backslash hides only `"`, `\`, `` ` ``, `$` and ends of lines |
| `# remark`, `; remark`, nothing | |

The last line for a name wins. What systemd would pass over (a line without `=`, a name that is none, a quote
that nobody closes) makes the whole file unusable here: somebody hoped for something in that line.
"""

import re
from collections.abc import Iterator

from attrs import Factory, define

__all__ = ["parse_env_file"]

_BLANKS = re.compile(r"\s*")
_REMARK = re.compile(r"[#;][^\n]*")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_BEFORE_VALUE = re.compile(r"[^=\n]*")
_QUOTED = re.compile(r"""[ \t]*(?:'([^']*)'|"((?:[^"\\]|\\[\s\S])*)")""")
_OPEN_QUOTE = re.compile(r"""[ \t]*['"]""")
_PLAIN = re.compile(r"(?:[^\\\n]|\\[\s\S]?)*")
_PIECE = re.compile(r"\\([\s\S]?)|[^\\]+")
_HIDDEN_IN_QUOTES = re.compile(r'\\([\n"\\`$])')


def parse_env_file(text: str) -> tuple[dict[str, str], list[str]]:
    """Read a file.

    :param text: with line feeds as line ends.
    :returns: the values by name, and one sentence for each thing that is wrong. No sentence holds a part of
        the text: it may be a secret.
    """
    reading = _Reading(text)
    values = dict(reading.entries())
    return values, reading.faults


@define
class _Reading:
    """A text, and how far it was read."""

    text: str
    at: int = 0
    faults: list[str] = Factory(list)

    def entries(self) -> Iterator[tuple[str, str]]:
        while True:
            self._take(_BLANKS)
            if self.at == len(self.text):
                return
            if self._take(_REMARK):
                continue
            line = self.text.count("\n", 0, self.at) + 1
            name = self._take(_BEFORE_VALUE).rstrip()
            if not self.text.startswith("=", self.at):
                self.faults.append(f"line {line}: there is no = in it")
                continue
            self.at += 1
            value = self._value()
            if value is None:
                self.faults.append(f"line {line}: a quote is opened and never closed")
                return
            if _NAME.fullmatch(name):
                yield name, value
            else:
                self.faults.append(f"line {line}: what stands before = is no name of a variable")

    def _value(self) -> str | None:
        """The value that begins here; None if it has no end."""
        value = ""
        while quoted := _QUOTED.match(self.text, self.at):
            self.at = quoted.end()
            value += quoted[1] if quoted[2] is None else _HIDDEN_IN_QUOTES.sub(_unhidden, quoted[2])
        if _OPEN_QUOTE.match(self.text, self.at):
            return None
        return value + _plain(self._take(_PLAIN))

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            return ""
        self.at = match.end()
        return match[0]


def _unhidden(match: re.Match[str]) -> str:
    return "" if match[1] == "\n" else match[1]


def _plain(written: str) -> str:
    """Text without quotes: blanks at its end do not count, unless a backslash hides them."""
    value, least = "", 0
    for piece in _PIECE.finditer(written.lstrip(" \t")):
        if piece[1] is None:
            value += piece[0]
            least = max(least, len(value.rstrip(" \t")))
        else:
            value += _unhidden(piece)
            least = len(value)
    return value[:least]
