"""Pictures of a column, made from its statistics: histograms, reference bins, commonest values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from declarative_ml.learning.statistics import NumberStatistics

BINS = 20
"""Bins of a picture, and of a reference, which hold about equal shares."""


def halved(low: float, high: float) -> float:
    """What to multiply values from `low` to `high` by so that their differences are finite: 0.5 or 1."""
    return 1.0 if np.isfinite(float(high) - float(low)) else 0.5


def histogram(numbers: NumberStatistics) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Bin edges [B + 1] and counts [B] for a picture of the column; at least one value is needed.

    One bin a value for few whole numbers, else equal widths between the 0.5 % and 99.5 % quantiles,
    so that one huge value does not hide the rest; values outside count in the outermost bins.
    """
    ends = numbers.quantiles([0, 0.005, 0.995, 1])
    scale = halved(ends[0], ends[-1])
    least, low, high, most = (ends * scale).tolist()
    if numbers.integral and most - least < BINS:
        edges = np.arange(least, most + 2) - 0.5
    elif low == high:
        edges = np.array([low - 0.5, low + 0.5])
    else:
        reach = (least, most) if (most - least) / 2 <= high - low else (low, high)
        edges = np.linspace(*reach, BINS + 1)
    edges = edges / scale
    counts, _ = np.histogram(np.clip(numbers.sample, edges[0], edges[-1]), edges)
    return tuple(edges.tolist()), tuple(numbers.scaled_counts(counts))


def quantile_bins(numbers: NumberStatistics) -> dict[str, Any]:
    """The reference for drift (JSON): `edges` [B + 1] of up to 20 bins of about equal `counts` [B].

    Bin i is edges[i] <= x < edges[i + 1]; the outermost bins also take everything beyond them.
    A greatest value that is common repeats as last edge, and so has a bin of its own.
    `missing` and `rows` are counted beside. Without values there are no bins.
    """
    counted: dict[str, Any] = {"missing": numbers.missing, "rows": numbers.rows}
    if not numbers.present:
        return {"edges": [], "counts": [], **counted}
    sample = numbers.sample
    shares = np.linspace(0, 1, BINS + 1)
    edges = np.unique(np.quantile(sample, shares, method="closest_observation"))
    if np.count_nonzero(sample == edges[-1]) * 2 * BINS >= len(sample):
        edges = np.append(edges, edges[-1])
    inner = np.searchsorted(edges[1:-1], sample, side="right")
    counts = np.bincount(inner, minlength=len(edges) - 1)
    return {"edges": edges.tolist(), "counts": numbers.scaled_counts(counts), **counted}


def length_histogram(counts: np.ndarray) -> tuple[tuple[float, ...], tuple[int, ...], tuple[int, ...]]:
    """Edges [B + 1], counts [B] and the quantiles 0, 5, … 100 % of lengths, of which counts[i] are i.

    The bins have equal widths, whole numbers, and end at the 99.5 % quantile where a few are far longer.
    """
    reached = np.cumsum(counts)
    ranks = np.maximum(np.ceil(np.linspace(0, 1, 21) * reached[-1]), 1)
    quantiles = np.searchsorted(reached, ranks).tolist()
    least, most = quantiles[0], quantiles[-1]
    high = int(np.searchsorted(reached, 0.995 * reached[-1]))
    last = most if most - least <= 2 * (high - least) else high
    width = -(-(last - least + 1) // BINS)
    bins = -(-(last - least + 1) // width)
    place = np.minimum((np.arange(least, most + 1) - least) // width, bins - 1)
    found = np.bincount(place, weights=counts[least : most + 1], minlength=bins).astype(np.int64)
    edges = least - 0.5 + width * np.arange(bins + 1)
    return tuple(edges.tolist()), tuple(found.tolist()), tuple(quantiles)


def most_frequent(numbers: NumberStatistics, most: int) -> list[tuple[float, int]]:
    """The (at most `most`) commonest sampled values with their counts; ties by value."""
    values, counts = np.unique(numbers.sample, return_counts=True)
    order = np.lexsort((values, -counts))[:most]
    return list(zip(values[order].tolist(), numbers.scaled_counts(counts[order]), strict=True))
