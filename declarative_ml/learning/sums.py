"""Means of values on disk: those of numpy to the last bit, with a bounded part of the values in memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.learning.disk_rows import DiskRows

_PART = 1 << 18
"""Values that are summed at a time."""


def mean_of(
    values: np.ndarray | DiskRows,
    weight: np.ndarray | None = None,
    change: Callable[[np.ndarray], np.ndarray] = lambda part: part,
) -> float:
    """As `np.average(change(values), weights=weight)` of float64 values [N]."""
    if weight is None:
        return float(_sum(lambda rows: change(values[rows]), 0, len(values)) / len(values))
    total = _sum(lambda rows: change(values[rows]) * weight[rows], 0, len(values))
    return float(total / weight.sum())


def place_and_scale(values: np.ndarray | DiskRows, weight: np.ndarray | None) -> tuple[float, float]:
    """Mean and standard deviation of weighted values [N]."""
    place = mean_of(values, weight)
    return place, mean_of(values, weight, lambda part: (part - place) ** 2) ** 0.5


def _sum(part: Callable[[slice], np.ndarray], start: int, stop: int) -> np.float64:
    """The sum of values, halved as numpy's pairwise summation halves them."""
    import numpy as np

    rows = stop - start
    if rows <= _PART:
        return np.float64(np.add.reduce(part(slice(start, stop)), dtype=np.float64))
    half = rows // 2
    half -= half % 8
    return np.float64(_sum(part, start, start + half) + _sum(part, start + half, stop))
