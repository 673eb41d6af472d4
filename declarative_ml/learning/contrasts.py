"""Which columns tell one group of rows from another, such as rows predicted badly from those predicted well.

The idea is Manifold's (Zhang, Wang, Molino, Li & Ebert, "Manifold: A Model-Agnostic Framework for
Interpretation and Diagnosis of Machine Learning Models", IEEE TVCG 2019): rank the columns by the divergence
of their distributions in the two groups, and look at the first few.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from declarative_ml.learning.conditions import Kind, RawColumn, shown_value
from declarative_ml.learning.drift import measure

_QUANTILES = 10
_BARS = 16
_LEVELS = 6


@dataclass(frozen=True)
class Contrast:
    """One column in two groups of rows."""

    column: str
    kind: Kind
    divergence: float
    """Jensen-Shannon, in bits: 0 for equal distributions, 1 for disjoint ones."""
    cells: tuple[str, ...]
    """What the bars are: levels, or the two ends of a histogram."""
    shares: tuple[tuple[float, ...], tuple[float, ...]]
    """Of the rows of the first and of the second group in each bar; missing values are left out of
    histograms."""


def contrasts(
    columns: Sequence[RawColumn], first: np.ndarray, second: np.ndarray, most: int
) -> list[Contrast]:
    """The (at most `most`) columns that differ most between two groups (bool [N] each), the first the most.

    Columns that differ no more than two random groups of so many rows would are left out.
    """
    found = []
    for column in columns:
        codes = _cells(column)
        counts = [np.bincount(codes[group], minlength=int(codes.max()) + 1) for group in (first, second)]
        ordered = column.kind != "category"
        distance = measure(counts[0], counts[1], comparisons=len(columns), ordered=ordered)
        if distance.is_clear:
            found.append((distance.js, column))
    found.sort(key=lambda item: (-item[0], item[1].name))
    return [_drawn(column, js, first, second) for js, column in found[:most]]


def _cells(column: RawColumn) -> np.ndarray:
    """The cell of each row: a level, the tenth of the values that it lies in, or the last one for missing."""
    if column.kind == "category":
        levels, codes = column.codes
        return np.where(codes < 0, len(levels), codes)
    present = column.values[~column.missing]
    if not len(present):
        return np.zeros(len(column.values), dtype=np.int64)
    cuts = np.unique(np.quantile(present, np.arange(1, _QUANTILES) / _QUANTILES, method="higher"))
    places = np.searchsorted(cuts, column.values, side="right")
    return np.where(column.missing, len(cuts) + 1, places)


def _drawn(column: RawColumn, js: float, first: np.ndarray, second: np.ndarray) -> Contrast:
    """The contrast with bars to draw."""
    names, bars = _level_bars(column) if column.kind == "category" else _histogram_bars(column)
    count = len(names) if column.kind == "category" else _BARS
    shares = [_shares(bars[group & (bars >= 0)], count) for group in (first, second)]
    return Contrast(column.name, column.kind, js, names, (shares[0], shares[1]))


def _shares(bars: np.ndarray, count: int) -> tuple[float, ...]:
    """The share of the rows in each bar."""
    rows = np.bincount(bars, minlength=count)
    return tuple((rows / max(int(rows.sum()), 1)).tolist())


def _level_bars(column: RawColumn) -> tuple[tuple[str, ...], np.ndarray]:
    """Names of the bars, and the bar of each row: the commonest levels, all others, missing."""
    levels, codes = column.codes
    names = [*levels[:_LEVELS], *(["other"] if len(levels) > _LEVELS else [])]
    bars = np.minimum(codes, len(names) - 1)
    if column.missing.any():
        names.append("missing")
        bars = np.where(codes < 0, len(names) - 1, bars)
    return tuple(names), bars


def _histogram_bars(column: RawColumn) -> tuple[tuple[str, ...], np.ndarray]:
    """The ends of the histogram, and the bar of each row, -1 for missing."""
    low, high = np.quantile(column.values[~column.missing], [0.005, 0.995]).tolist()
    width = (high - low) / _BARS or 1.0
    with np.errstate(invalid="ignore"):
        bars = np.clip((np.nan_to_num(column.values) - low) // width, 0, _BARS - 1).astype(np.int64)
    digits = 10 if column.kind == "date" else 4
    ends = tuple(shown_value(column.kind, float(f"{end:.{digits}g}")) for end in (low, high))
    return ends, np.where(column.missing, -1, bars)
