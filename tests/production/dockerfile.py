"""Reads a Dockerfile: the instructions that ours use, and no others."""

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from fnmatch import fnmatchcase
from pathlib import Path

from attrs import field, frozen

__all__ = ["Ignored", "Instruction", "Stage", "command_of", "expand", "pairs", "stages"]

_KNOWN = frozenset(
    [
        *("ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "RUN"),
        *("STOPSIGNAL", "USER", "WORKDIR"),
    ]
)
_VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")


@frozen
class Instruction:
    """One instruction, its lines joined."""

    name: str
    words: str
    line: int


@frozen
class Stage:
    """What one FROM begins.

    :ivar image: the image it stands on, variables replaced.
    """

    name: str
    image: str
    steps: list[Instruction] = field(factory=list)

    def last(self, name: str) -> str:
        """The words of the last such instruction.

        :raises LookupError: there is none.
        """
        for step in reversed(self.steps):
            if step.name == name:
                return step.words
        raise LookupError(f"no {name} in the stage {self.name or self.image}")


def _instructions(text: str) -> Iterator[Instruction]:
    gathered, begins = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not (gathered or line.strip()):
            continue
        begins = begins or number
        gathered += line
        if gathered.endswith("\\"):
            gathered = gathered[:-1] + " "
            continue
        name, _, words = gathered.strip().partition(" ")
        assert name in _KNOWN, f"line {begins}: what is {name}?"
        yield Instruction(name, words.strip(), begins)
        gathered, begins = "", 0
    assert not gathered, f"line {begins} goes on beyond the end"


def expand(words: str, values: Mapping[str, str]) -> str:
    """Replace `$NAME` and `${NAME}`; what is not set is empty, as in the shell."""
    return _VARIABLE.sub(lambda found: values.get(found[1] or found[2], ""), words)


def stages(path: Path, arguments: Mapping[str, str] | None = None) -> list[Stage]:
    """The stages of a Dockerfile.

    :param arguments: values of `ARG`s in place of their defaults.
    """
    known: dict[str, str] = {}
    found: list[Stage] = []
    for step in _instructions(path.read_text()):
        if step.name == "ARG" and not found:
            name, _, default = step.words.partition("=")
            known[name] = (arguments or {}).get(name, default)
        elif step.name == "FROM":
            words = expand(step.words, known).split()
            assert len(words) == 1 or (len(words) == 3 and words[1].upper() == "AS"), step
            found.append(Stage(words[2] if len(words) == 3 else "", words[0]))
        else:
            found[-1].steps.append(step)
    return found


def pairs(words: str) -> dict[str, str]:
    """The `NAME=value` pairs of ENV and LABEL."""
    return dict(word.split("=", 1) for word in shlex.split(words))  # type: ignore[misc]


def command_of(words: str) -> list[str]:
    """A command in the JSON form, the only one in which signals reach the program."""
    command = json.loads(words)
    assert isinstance(command, list) and all(isinstance(word, str) for word in command), words
    return command


class Ignored:
    """What `.dockerignore` keeps from the builder. The last line that matches decides."""

    def __init__(self, path: Path) -> None:
        lines = [line.strip() for line in path.read_text().splitlines()]
        self._lines = [line for line in lines if line and not line.startswith("#")]

    def __contains__(self, path: str) -> bool:
        ignored = False
        for line in self._lines:
            pattern = line.removeprefix("!").rstrip("/")
            if any(_matches(pattern, part) for part in _with_parents(path)):
                ignored = not line.startswith("!")
        return ignored


def _with_parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _matches(pattern: str, path: str) -> bool:
    if pattern.startswith("**/"):
        rest = pattern.removeprefix("**/")
        return any(_matches(rest, tail) for tail in _tails(path))
    wanted, had = pattern.split("/"), path.split("/")
    return len(wanted) == len(had) and all(map(fnmatchcase, had, wanted))


def _tails(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[begin:]) for begin in range(len(parts))]
