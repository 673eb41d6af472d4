"""Small charts as SVG text. Colours and fonts come from the page's style sheet, by class.

Shapes carry one of the classes `accent`, `muted` or `faint`, so that one file looks right in light,
dark and print. Nothing here keeps state between charts: pages may be made in several threads.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    Values = Sequence[float] | np.ndarray

_SUFFIXES = ((1e9, "G"), (1e6, "M"), (1e3, "k"))


def tick_values(low: float, high: float, count: int = 5) -> list[float]:
    """About `count` round numbers within [low, high]."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    raw = span / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [index * step for index in range(first, last + 1)]


def tick_labels(values: Sequence[float]) -> list[str]:
    """The ticks as short text, all with the same number of decimals and the same suffix."""
    largest = max((abs(value) for value in values), default=0.0)
    step = min((b - a for a, b in pairwise(values)), default=largest or 1.0)
    if largest >= 1e12 or 0 < largest < 1e-4:
        return [f"{value:.0e}" if value else "0" for value in values]
    scale, suffix = next(((s, text) for s, text in _SUFFIXES if largest >= 10 * s), (1.0, ""))
    decimals = _decimals(step / scale)
    return [f"{value / scale:,.{decimals}f}{suffix if value else ''}" for value in values]


def _decimals(step: float) -> int:
    return next((digits for digits in range(8) if abs(round(step, digits) - step) < 1e-9 * abs(step)), 8)


def percent_labels(values: Sequence[float]) -> list[str]:
    """Shares as "20 %"."""
    decimals = _decimals(min((b - a for a, b in pairwise(values)), default=1.0) * 100)
    return [f"{value * 100:.{decimals}f}\u00a0%" for value in values]


@dataclass(frozen=True)
class Axis:
    """One direction of a chart: its range and words."""

    low: float
    high: float
    label: str = ""
    labels: Callable[[Sequence[float]], list[str]] = tick_labels
    ticks: int = 5

    @classmethod
    def around(cls, values: Values, label: str = "", *, zero: bool = False, ticks: int = 5) -> Axis:
        """An axis that holds all finite values, with a little air; from zero on where asked."""
        finite = [float(value) for value in values if math.isfinite(value)] or [0.0]
        low, high = min(finite), max(finite)
        if zero:
            low = min(low, 0.0)
        pad = (high - low) * 0.04 or abs(high) * 0.1 or 1.0
        return cls(low if zero and low == 0 else low - pad, high + pad, label, ticks=ticks)


@dataclass
class Chart:
    """A plot area with two axes, to which marks are added in data coordinates."""

    x: Axis
    y: Axis
    alt: str
    width: int = 440
    height: int = 280
    _marks: list[str] = field(default_factory=list)

    LEFT, RIGHT, TOP, BOTTOM = 58, 22, 12, 46

    def place_x(self, value: float) -> float:
        """Data to picture, kept within the frame."""
        share = (value - self.x.low) / (self.x.high - self.x.low)
        return self.LEFT + min(max(share, 0.0), 1.0) * (self.width - self.LEFT - self.RIGHT)

    def place_y(self, value: float) -> float:
        """Data to picture, kept within the frame."""
        share = (value - self.y.low) / (self.y.high - self.y.low)
        return self.height - self.BOTTOM - min(max(share, 0.0), 1.0) * (self.height - self.TOP - self.BOTTOM)

    def line(self, xs: Values, ys: Values, kind: str = "accent") -> None:
        """A line through the points; those within half a pixel of the one before are left out."""
        import numpy as np

        x, y = np.asarray(xs, dtype=np.float64), np.asarray(ys, dtype=np.float64)
        finite = np.isfinite(x) & np.isfinite(y)
        right, floor = self.width - self.RIGHT, self.height - self.BOTTOM
        x = self.LEFT + (x[finite] - self.x.low) / (self.x.high - self.x.low) * (right - self.LEFT)
        y = floor - (y[finite] - self.y.low) / (self.y.high - self.y.low) * (floor - self.TOP)
        points = np.stack([np.clip(x, self.LEFT, right), np.clip(y, self.TOP, floor)], axis=1)
        moved = np.any(np.diff(np.round(points * 2), axis=0) != 0, axis=1)
        points = points[np.concatenate([[True], moved])[: len(points)]]
        if len(points):
            path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points.tolist())
            self._marks.append(f'<path class="line {kind}" d="{path}"/>')

    def dots(self, xs: Values, ys: Values, kind: str = "accent", radius: float = 3.0) -> None:
        """A dot for each point, all in one path."""
        places = (f"M{self.place_x(x):.1f} {self.place_y(y):.1f}h0" for x, y in zip(xs, ys))
        style = f'stroke-width="{2 * radius:g}"'
        self._marks.append(f'<path class="dots {kind}" {style} d="{"".join(places)}"/>')

    def bars(self, edges: Values, heights: Values, kind: str = "accent") -> None:
        """Bars between neighbouring edges, from zero up."""
        base = self.place_y(0.0)
        pieces = []
        for left, right, height in zip(edges, edges[1:], heights):
            if height > 0:
                a, b, top = self.place_x(left) + 0.5, self.place_x(right) - 0.5, self.place_y(height)
                pieces.append(f"M{a:.1f} {base:.1f}V{top:.1f}H{max(b, a + 0.5):.1f}V{base:.1f}Z")
        self._marks.append(f'<path class="area {kind}" d="{"".join(pieces)}"/>')

    def vertical(self, value: float, label: str = "") -> None:
        """A dashed line at an x value, with a label beside its upper end."""
        x = self.place_x(value)
        self._marks.append(f'<path class="rule" d="M{x:.1f} {self.TOP}V{self.height - self.BOTTOM}"/>')
        if label:
            right = x > self.width * 0.66
            anchor, offset = ("end", -5) if right else ("start", 5)
            self._marks.append(_text(x + offset, self.TOP + 11, label, anchor, "note"))

    def segment(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """A dashed line between two points."""
        (a, b), (c, d) = start, end
        self._marks.append(
            f'<path class="rule" d="M{self.place_x(a):.1f} {self.place_y(b):.1f}'
            f'L{self.place_x(c):.1f} {self.place_y(d):.1f}"/>'
        )

    def note(self, x: float, y: float, text: str, anchor: str = "start") -> None:
        """A few words at a place."""
        self._marks.append(_text(self.place_x(x), self.place_y(y), text, anchor, "note"))

    def svg(self) -> str:
        """The finished chart."""
        body = "".join([*self._grid(), *self._marks])
        return svg_element(self.width, self.height, self.alt, body)

    def _grid(self) -> list[str]:
        parts = []
        right, bottom = self.width - self.RIGHT, self.height - self.BOTTOM
        ys = tick_values(self.y.low, self.y.high, self.y.ticks)
        for value, label in zip(ys, self.y.labels(ys)):
            y = self.place_y(value)
            parts.append(f'<path class="grid" d="M{self.LEFT} {y:.1f}H{right}"/>')
            parts.append(_text(self.LEFT - 8, y + 4, label, "end"))
        xs = tick_values(self.x.low, self.x.high, self.x.ticks)
        for value, label in zip(xs, self.x.labels(xs)):
            parts.append(_text(self.place_x(value), bottom + 18, label, "middle"))
        parts.append(f'<path class="axis" d="M{self.LEFT} {bottom}H{right}"/>')
        middle = (self.LEFT + right) / 2
        if self.x.label:
            parts.append(_text(middle, self.height - 8, self.x.label, "middle", "title"))
        if self.y.label:
            y = (self.TOP + bottom) / 2
            turned = f' transform="rotate(-90 13 {y:.0f})"'
            parts.append(_text(13, y, self.y.label, "middle", "title", turned))
        return parts


def _text(x: float, y: float, text: str, anchor: str, kind: str = "tick", extra: str = "") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}{extra}>{escape(text)}</text>'


def svg_element(
    width: float,
    height: float,
    alt: str,
    body: str,
    kind: str = "chart",
    style: str = "",
    *,
    stretched: bool = False,
) -> str:
    """An SVG picture with a name for those who cannot see it; `stretched`: it fills whatever box it is in."""
    styled = f' style="{style}"' if style else ""
    if stretched:
        styled += ' preserveAspectRatio="none"'
    return (
        f'<svg class="{kind}" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}"{styled} '
        f'role="img" aria-label="{escape(alt, quote=True)}">{body}</svg>'
    )


def spark_bars(counts: Sequence[float], alt: str, width: int = 240, height: int = 44) -> str:
    """A histogram without axes: one bar for each count."""
    largest = max(counts, default=0) or 1
    step = width / max(len(counts), 1)
    pieces = []
    for index, value in enumerate(counts):
        if value > 0:
            top = height - max(value / largest * (height - 2), 1.0)
            left = index * step
            pieces.append(f"M{left:.1f} {height}V{top:.1f}H{left + step - 1:.1f}V{height}Z")
    bars = f'<path class="area accent" d="{"".join(pieces)}"/>'
    axis = f'<path class="axis" d="M0 {height - 0.5}H{width}"/>'
    return svg_element(width, height, alt, bars + axis, "spark", stretched=True)


def spark_line(values: Sequence[float], alt: str, width: int = 150, height: int = 34) -> str:
    """A line from left to right without axes, with a dot at each value."""
    low, high = min(values), max(values)
    step = (width - 8) / max(len(values) - 1, 1)

    def place(index: int, value: float) -> str:
        share = (value - low) / (high - low) if high > low else 0.5
        return f"{4 + index * step:.1f} {height - 5 - share * (height - 10):.1f}"

    points = [place(index, value) for index, value in enumerate(values)]
    line = f'<path class="line accent" d="M{"L".join(points)}"/>'
    dots = f'<path class="dots accent" stroke-width="5" d="{"".join(f"M{point}h0" for point in points)}"/>'
    return svg_element(width, height, alt, line + dots, "chart spark")


def outlined_bars(
    first: Sequence[float], second: Sequence[float], alt: str, width: int = 240, height: int = 64
) -> str:
    """Two histograms with the same bins, without axes: the second filled, the first an outline over it."""
    largest = max([*first, *second], default=0.0) or 1.0
    step = width / max(len(first), 1)

    def top(value: float) -> float:
        return height - 1 - value / largest * (height - 4)

    filled = "".join(
        f"M{place * step:.1f} {height}V{top(value):.1f}H{(place + 1) * step - 1:.1f}V{height}Z"
        for place, value in enumerate(second)
        if value > 0
    )
    outline = f"M0 {top(0):.1f}" + "".join(
        f"V{top(value):.1f}H{(place + 1) * step:.1f}" for place, value in enumerate(first)
    )
    marks = f'<path class="area muted" d="{filled}"/><path class="line accent" d="{outline}V{top(0):.1f}"/>'
    axis = f'<path class="axis" d="M0 {height - 0.5}H{width}"/>'
    return svg_element(width, height, alt, marks + axis, "chart overlay")
