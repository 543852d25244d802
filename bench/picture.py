"""The table as an SVG picture. Pure: rows in, text out; no plotting library.

Each row has two bars, ours and the other one's, and a mark where the aim is; the longest of the three fills
the width. Colours follow the reader's light or dark theme, and nothing is told by colour alone.
"""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from bench.comparison import TIMES, Bound, Row, Unit

__all__ = ["picture"]

WIDTH = 920
LEFT = 400
BAR = 290
TOP = 78
ROW = 46
THICK, THIN = 13, 9

STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #1f2328; }
  .head { font-size: 17px; font-weight: 600; }
  .faint { fill: #59636e; font-size: 12px; }
  .ours { fill: #0b6bcb; } .theirs { fill: #a9b3bf; }
  .aim { stroke: #1f2328; stroke-width: 2; }
  .rule { stroke: #d1d9e0; }
  .yes { fill: #1a7f37; font-weight: 600; } .no { fill: #b42318; font-weight: 600; }
  .ground { fill: #ffffff; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; } .faint { fill: #9198a1; }
    .ours { fill: #4493f8; } .theirs { fill: #59636e; }
    .aim { stroke: #e6edf3; } .rule { stroke: #30363d; }
    .yes { fill: #3fb950; } .no { fill: #f85149; }
    .ground { fill: #0d1117; }
  }
"""


def _aimed(row: Row) -> float | None:
    """Where the aim stands on the row's own scale."""
    if row.bound is None or row.amount is None:
        return None
    if row.bound in (Bound.AT_LEAST.value, Bound.AT_MOST.value):
        return row.amount
    return None if row.theirs is None else row.theirs * row.amount


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    styled = f' class="{kind}"' if kind else ""
    placed = "" if anchor == "start" else f' text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}"{styled}{placed}>{escape(words)}</text>'


def _bar(y: float, width: float, height: int, kind: str) -> str:
    size = f'width="{max(1.0, width):.1f}" height="{height}"'
    return f'<rect class="{kind}" x="{LEFT}" y="{y:.1f}" {size} rx="2"/>'


def _verdict(row: Row, y: float) -> list[str]:
    """Ratio, aim and verdict, at the right."""
    aim = row.aim
    ratio = "" if row.ratio is None else f"{row.ratio:.2f} {TIMES}"
    parts = [_text(WIDTH - 20, y + 11, ratio, anchor="end")]
    if aim is not None:
        word = {True: "✓", False: "✗", None: ""}[row.reached]
        kind = "no" if row.reached is False else "yes"
        parts.append(_text(WIDTH - 20, y + 27, f"{word} {aim.text(Unit(row.unit))}", kind, "end"))
    return parts


def _row(row: Row, y: float) -> list[str]:
    unit = Unit(row.unit)
    name, _, conditions = row.name.partition(", ")
    beside = f"beside {row.beside}" if row.theirs is not None else ""
    second = "; ".join(words for words in (conditions, beside) if words)
    parts = [_text(20, y + 11, name), _text(20, y + 27, second, "faint")]
    if row.ours is None:
        return [*parts, _text(LEFT, y + 11, row.note or "not measured", "faint")]
    aimed = _aimed(row)
    longest = max(row.ours, row.theirs or 0, aimed or 0) or 1
    ours = BAR * row.ours / longest
    parts += [_bar(y, ours, THICK, "ours"), _text(LEFT + BAR + 8, y + 11, unit.text(row.ours))]
    if row.theirs is not None:
        parts.append(_bar(y + THICK + 3, BAR * row.theirs / longest, THIN, "theirs"))
        parts.append(_text(LEFT + BAR + 8, y + 27, unit.text(row.theirs), "faint"))
    if aimed is not None:
        x = LEFT + BAR * aimed / longest
        parts.append(
            f'<line class="aim" x1="{x:.1f}" x2="{x:.1f}" y1="{y - 3:.1f}" y2="{y + THICK + THIN + 6:.1f}"/>'
        )
    return [*parts, *_verdict(row, y)]


def picture(rows: Sequence[Row], caption: str) -> str:
    """The picture of all rows.

    :param caption: one line below the head: where and when it was measured.
    """
    height = TOP + ROW * len(rows) + 20
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img" aria-label="ws-gateway measured beside others">',
        f"<style>{STYLE}</style>",
        f'<rect class="ground" width="{WIDTH}" height="{height}" rx="8"/>',
        _text(20, 30, "ws-gateway on one core, beside others on the same core", "head"),
        _text(20, 50, caption, "faint"),
        f'<rect class="ours" x="{LEFT}" y="57" width="14" height="10" rx="2"/>',
        _text(LEFT + 20, 66, "ws-gateway", "faint"),
        f'<rect class="theirs" x="{LEFT + 105}" y="58" width="14" height="8" rx="2"/>',
        _text(LEFT + 125, 66, "the other", "faint"),
        f'<line class="aim" x1="{LEFT + 205}" x2="{LEFT + 205}" y1="55" y2="69"/>',
        _text(LEFT + 213, 66, "to reach (memory and times: at most)", "faint"),
    ]
    for number, row in enumerate(rows):
        y = TOP + ROW * number + 8
        lines.append(f'<line class="rule" x1="20" x2="{WIDTH - 20}" y1="{y - 9}" y2="{y - 9}"/>')
        lines += _row(row, y)
    return "\n".join([*lines, "</svg>"]) + "\n"
