"""What the pages refer to is there: other pages, their headings, files of this repository."""

import os
import re
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).parents[2]
_LINK = re.compile(r"!?\[(?:[^\]\[`]|`[^`]*`|\[[^\]]*\])*\]\(([^)\s]+)\)")
_SPAN = re.compile(r"`([^`\n]+)`")
_NOT_OURS = ("node_modules", "vendor", "var")
_TOP = ("bench", "deploy", "docs", "scripts", "src", "symfony", "tests", "traefik")

MADE_LATER = {
    "bench/build": "by ./bench/run",
    "scripts/keys": "by scripts/gen_dev_keys.sh",
    "scripts/keys/dev_private.pem": "by scripts/gen_dev_keys.sh",
    "scripts/keys/dev_public.pem": "by scripts/gen_dev_keys.sh",
    "traefik/acme.json": "by the operator",
}
"""Paths that pages name and that no checkout has, each with who makes it."""


@cache
def pages() -> tuple[Path, ...]:
    """Every page of the repository, but for what is made or installed."""
    return tuple(sorted(_walk()))


def _walk() -> Iterator[Path]:
    yield from ROOT.glob("*.md")
    for top in _TOP:
        for place, directories, files in os.walk(ROOT / top):
            directories[:] = [name for name in directories if name[0] != "." and name not in _NOT_OURS]
            yield from (Path(place, name) for name in files if name.endswith(".md"))


@cache
def prose(page: Path) -> str:
    """What a page says, without its blocks of code."""
    return re.sub(r"^( *)(```+).*?^\1\2 *$", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


@cache
def anchors(page: Path) -> frozenset[str]:
    """What a link may name behind `#`: small letters, dashes for blanks, `-1` behind the second of a kind."""
    counts: dict[str, int] = {}
    found = set()
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", prose(page), re.MULTILINE):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
        number = counts.get(name, 0)
        counts[name] = number + 1
        found.add(f"{name}-{number}" if number else name)
    return frozenset(found)


def broken(page: Path) -> list[str]:
    """The relative links of a page that lead nowhere."""
    wrong = []
    for link in _LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = unquote(link).partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.is_relative_to(ROOT) or not target.exists():
            wrong.append(f"{link}: there is no such file")
        elif anchor and anchor not in anchors(target):
            wrong.append(f"{link}: there is no such heading")
    return wrong


def named(page: Path) -> set[str]:
    """The paths of this repository that a page names as code."""
    words = (span.split()[0].removeprefix("./") for span in _SPAN.findall(prose(page)) if span.strip())
    return {word.rstrip("/") for word in words if word.startswith(tuple(f"{top}/" for top in _TOP))}


class LinkTests(SynchronousTestCase):
    """All pages: README, docs, and those that lie beside what they are about."""

    def test_links(self) -> None:
        """Every relative link leads to a file, and its anchor to a heading."""
        found = {str(page.relative_to(ROOT)): wrong for page in pages() if (wrong := broken(page))}
        self.assertEqual(found, {})

    def test_paths(self) -> None:
        """Every path of ours in a sentence is there, seen from the root or from the page's directory."""
        missing = []
        for page in pages():
            for name in named(page) - MADE_LATER.keys():
                places = (ROOT, page.parent)
                if not any(list(place.glob(name)) for place in places):
                    missing.append(f"{page.relative_to(ROOT)}: {name}")
        self.assertEqual(missing, [])

    def test_every_page_is_reached(self) -> None:
        """From the README, by links alone, a reader comes to every page."""
        reached: set[Path] = set()
        ahead = [ROOT / "README.md"]
        while ahead:
            page = ahead.pop()
            if page in reached:
                continue
            reached.add(page)
            for link in _LINK.findall(prose(page)):
                target = (page.parent / unquote(link).partition("#")[0]).resolve()
                if target.suffix == ".md" and target.exists():
                    ahead.append(target)
        lonely = {str(page.relative_to(ROOT)) for page in set(pages()) - reached}
        lonely = {name for name in lonely if not name.startswith("tests/")}
        self.assertEqual(lonely, set())

    def test_what_is_broken_is_found(self) -> None:
        """A wrong anchor, a file that is gone and a way out of the repository are told; code is no link."""
        directory = TemporaryDirectory(prefix="pages")
        self.addCleanup(directory.cleanup)
        place = Path(directory.name).resolve()
        page = place / "page.md"
        page.write_text(
            "# A `b` (c), d's\n"
            "[fine](#a-b-c-ds) [`[x]` also](page.md#a-b-c-ds) [far](https://example.com/nothing#no)\n"
            "[gone](other.md) [no heading](#nothing)\n"
            "```\n# no heading\n[no link](none.md)\n```\n"
            "[out](/etc/passwd) [in code](#no-heading)\n",
            "utf-8",
        )
        self.patch(sys.modules[__name__], "ROOT", place)
        self.assertEqual(
            [line.partition(":")[0] for line in broken(page)],
            ["other.md", "#nothing", "/etc/passwd", "#no-heading"],
        )
