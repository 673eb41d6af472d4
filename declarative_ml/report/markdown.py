"""Blocks as GitHub-flavoured Markdown. Text of users stays text: no markup, HTML, links or formulas in it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from declarative_ml.report.blocks import Block, Chapter, Code, Grid, Points, Words

_SPECIAL = re.compile(r"[\\`*\[\]<|~$]|&(?=#?\w+;)|(?<![^\W_])_|_(?![^\W_])")
_OPENING = re.compile(r"^(?=[-+=#>])(?![-+]\d)|^\d+(?=[.)]\s)")
"""What makes a line a list, a rule or a heading."""


def markdown(title: str, chapters: Sequence[Chapter]) -> str:
    """The whole document."""
    parts = [f"# {plain(title)}"]
    for chapter in chapters:
        parts += [f"## {plain(chapter.title)}", *(_block(block) for block in chapter.blocks)]
    return "\n\n".join(parts) + "\n"


def plain(text: str) -> str:
    """Text on one line that reads as it is written."""
    escaped = _SPECIAL.sub(lambda found: f"\\{found[0]}", " ".join(text.split()))
    return _OPENING.sub(lambda found: f"{found[0]}\\", escaped)


def _block(block: Block) -> str:
    match block:
        case Words(text):
            return plain(text)
        case Points(items):
            return "\n".join(f"- {plain(item)}" for item in items)
        case Grid():
            return _table(block)
        case Code(language, text):
            fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
            return f"{fence}{language}\n{text}\n{fence}"


def _table(grid: Grid) -> str:
    columns = grid.columns or [""] * len(grid.rows[0])
    rules = ["---:" if place in grid.numeric else "---" for place in range(len(columns))]
    cells = [columns, *grid.rows]
    lines = [f"| {' | '.join(plain(cell) or ' ' for cell in row)} |" for row in cells]
    return "\n".join([lines[0], f"| {' | '.join(rules)} |", *lines[1:]])
