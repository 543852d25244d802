"""What can be fuzzed, with the seeds and the words for each."""

import re
from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from tests.fuzz import clients, heads, publications

__all__ = ["TARGETS", "Target"]

_HERE = Path(__file__).parent


@frozen
class Target:
    """Something that takes any bytes.

    :ivar check: returns, or raises whatever is wrong.
    :ivar most: bytes of one input.
    """

    name: str
    check: Callable[[bytes], None]
    most: int

    @property
    def corpus(self) -> Path:
        """The folder of its seeds."""
        return _HERE / "corpus" / self.name

    @property
    def dictionary(self) -> Path:
        """Its words, in libFuzzer's format: one quoted word a line."""
        return _HERE / "corpus" / f"{self.name}.dict"

    def seeds(self) -> list[bytes]:
        return [path.read_bytes() for path in sorted(self.corpus.iterdir())]

    def words(self) -> list[bytes]:
        lines = self.dictionary.read_text("ascii").splitlines()
        quoted = [line[1:-1] for line in lines if line.startswith('"')]
        return [
            re.sub(
                rb"\\(x[0-9a-fA-F]{2}|.)",
                lambda found: bytes([int(found[1][1:], 16)]) if len(found[1]) == 3 else found[1],
                word.encode("ascii"),
            )
            for word in quoted
        ]


TARGETS = {
    target.name: target
    for target in (
        Target("heads", heads.check, 20_000),
        Target("clients", clients.check, 8_000),
        Target("publications", publications.check, 8_000),
    )
}
