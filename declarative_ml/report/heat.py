"""A heat map of pairs as a staircase: every name once, at the end of its row and on top of its column."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from declarative_ml.report.svg import svg_element
from declarative_ml.report.wording import shortened

_CELL = 40
_HEIGHT = 26
_NAME = 22
"""Characters of a name that are shown."""


def heat_map(names: Sequence[str], values: Sequence[Sequence[float | None]]) -> str:
    """The lower triangle of a matrix from -1 to 1: values[i][j] of names[i] and names[j], j < i."""
    parts = []
    for row, name in enumerate(names):
        top = row * _HEIGHT
        for column, value in enumerate(values[row]):
            parts.append(_cell(column * _CELL, top, value, f"{names[column]} and {name}"))
        shown = escape(shortened(name, _NAME))
        kind = "name target" if row == 0 else "name"
        parts.append(
            f'<text class="{kind}" x="{row * _CELL + 6}" y="{top + _HEIGHT / 2 + 4:g}">{shown}'
            f"<title>{escape(name)}</title></text>"
        )
    width = max(row * _CELL + 6 + 7.2 * min(len(name), _NAME) for row, name in enumerate(names))
    alt = f"How strongly {len(names)} columns go together, pair by pair"
    style = f"width:{width:.0f}px;min-width:{0.8 * width:.0f}px;max-width:100%"
    return svg_element(round(width), len(names) * _HEIGHT, alt, "".join(parts), "chart heat", style)


def _cell(left: int, top: int, value: float | None, pair: str) -> str:
    box = f'x="{left + 1}" y="{top + 1}" width="{_CELL - 2}" height="{_HEIGHT - 2}" rx="3"'
    middle = f'x="{left + _CELL / 2:g}" y="{top + _HEIGHT / 2 + 4:g}" text-anchor="middle"'
    if value is None:
        return f'<g><title>{escape(pair)}: not defined</title><rect class="none" {box}/></g>'
    size = abs(value)
    kind, deep = ("minus" if value < 0 else "plus"), (" deep" if size >= 0.6 else "")
    text = f"{value:.2f}".replace("-", "−").replace("0.", ".") if size >= 0.095 else ""
    label = f'<text class="value{deep}" {middle}>{text}</text>' if text else ""
    return (
        f"<g><title>{escape(pair)}: {value:.2f}</title>"
        f'<rect class="{kind}" fill-opacity="{0.06 + 0.94 * size**1.2:.2f}" {box}/>{label}</g>'
    )
