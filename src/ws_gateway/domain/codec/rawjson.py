"""Finds the source text of the members of a JSON object.

Decoding a payload and encoding it again would change its numbers (`1.10`, integers over 64 bits), so we cut
it out of the text instead. The text must have been judged by a strict parser before; this one only measures.
"""

from json import JSONDecoder
from json.decoder import scanstring  # type: ignore[attr-defined]

__all__ = ["elements", "members"]

_BLANKS = " \t\n\r"
_scan_once = JSONDecoder().scan_once  # type: ignore[attr-defined]  # the C scanner


def members(text: str, start: int = 0) -> dict[str, tuple[int, int]]:
    """Where the values of an object's members stand.

    :param text: JSON that is known to be valid, an object at `start` (blanks before it allowed).
    :returns: for each name the half-open range of its value; of a repeated name the last one, as parsers do.
    """
    found: dict[str, tuple[int, int]] = {}
    at = _skip(text, _skip(text, start) + 1)
    while text[at] != "}":
        name, at = scanstring(text, at + 1)
        begin = _skip(text, _skip(text, at) + 1)
        _, end = _scan_once(text, begin)
        found[name] = (begin, end)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def elements(text: str, start: int) -> list[int]:
    """Where the elements of an array begin.

    :param text: JSON that is known to be valid, an array at `start`.
    """
    found: list[int] = []
    at = _skip(text, start + 1)
    while text[at] != "]":
        found.append(at)
        _, end = _scan_once(text, at)
        at = _skip(text, end)
        if text[at] == ",":
            at = _skip(text, at + 1)
    return found


def _skip(text: str, at: int) -> int:
    while text[at] in _BLANKS:
        at += 1
    return at
