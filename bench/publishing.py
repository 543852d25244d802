"""What a full run leaves in the repository: the results, the picture, and the table in README.md."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import asdict

from bench.comparison import Row, Unit
from bench.picture import picture
from bench.report import aligned, verdict

__all__ = ["BEGIN", "END", "document_of", "publish", "readme_table", "rows_in", "with_table"]

BEGIN = "<!-- measured: written by ./bench/run --publish -->"
END = "<!-- /measured -->"
HEADS = ["figure", "beside", "ours", "theirs", "ratio", "to reach", "reached"]


def rows_in(document: dict[str, Any]) -> list[Row]:
    """The rows of a document of results."""
    return [Row(**row) for row in document["rows"]]


def readme_table(rows: Sequence[Row]) -> str:
    """The figures that have an aim, as a Markdown table."""
    lines = [HEADS]
    for row in rows:
        aim, unit = row.aim, Unit(row.unit)
        if aim is None:
            continue
        amounts = ["-" if amount is None else unit.text(amount) for amount in (row.ours, row.theirs)]
        ratio = "-" if row.ratio is None else f"{row.ratio:.2f}"
        lines.append([row.name, row.beside, *amounts, ratio, aim.text(unit), verdict(row.reached) or "-"])
    return "\n".join(aligned(lines, 2))


def with_table(readme: str, table: str) -> str:
    """The README with another table between its two marks.

    :raises ValueError: it has not exactly one pair of them.
    """
    before, begin, rest = readme.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end or BEGIN in after or END in after:
        raise ValueError(f"README.md needs one pair of marks: {BEGIN} and {END}")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


def publish(root: Path, document: dict[str, Any]) -> None:
    """Write `bench/results.json`, `docs/benchmarks.svg` and the table.

    :param root: of the repository.
    """
    rows = rows_in(document)
    readme = root / "README.md"
    text = with_table(readme.read_text("utf-8"), readme_table(rows))
    aimed = [row for row in rows if row.bound is not None]
    results = json.dumps(document, indent=1, ensure_ascii=False)
    (root / "bench" / "results.json").write_text(results + "\n", "utf-8")
    (root / "docs" / "benchmarks.svg").write_text(picture(aimed, document["caption"]), "utf-8")
    readme.write_text(text, "utf-8")


def document_of(rows: Sequence[Row], caption: str, **more: Any) -> dict[str, Any]:
    """What is written as JSON."""
    return {"caption": caption, "rows": [asdict(row) for row in rows], **more}
