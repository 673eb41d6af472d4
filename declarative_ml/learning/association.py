"""How strongly two columns go together, from -1 or 0 to 1, by measures that do not care about units.

Two numbers: the rank correlation (Spearman), signed. A category and a number: the correlation ratio of the
ranks, which is the epsilon-squared of Kruskal & Wallis (Tomczak & Tomczak, "The need to report effect size
estimates revisited", Trends in Sport Sciences 2014), corrected for the number of levels. Two categories:
Cramér's V, corrected likewise (Bergsma, "A bias-correction for Cramér's V and Tschuprow's T", Journal of the
Korean Statistical Society 2013). Corrected, they are 0 on average where nothing goes together, however many
levels there are. Rows where either is missing do not count; ranks are those of a column's present values.

Ranks are whole numbers, whose sums float64 holds exactly: no order of addition changes a correlation.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Measure = Literal["rank correlation", "correlation ratio", "Cramér's V"]
LEAST_ROWS = 20
"""Fewer rows tell nothing."""


@dataclass(frozen=True, eq=False)
class Readout:
    """A column of the sampled rows as numbers, as levels, or (where it has two values) as both."""

    name: str
    values: np.ndarray | None = None
    """float64 [N], NaN where missing."""
    codes: np.ndarray | None = None
    """Level numbers int64 [N], -1 where missing."""
    labels: Sequence[str] = ()
    """Of the levels."""
    ranks: np.ndarray | None = None
    """Of `values`, doubled and centred: whole numbers as float64 [N], 0 where missing."""
    present: np.ndarray | None = None
    """Beside `ranks`: 1.0 where there is a value, else 0.0."""

    @property
    def is_missing(self) -> np.ndarray:
        """Where there is no value, bool [N]."""
        absent: np.ndarray
        if self.present is not None:
            absent = self.present == 0
        else:
            assert self.codes is not None
            absent = self.codes < 0
        return absent


def of_numbers(name: str, values: np.ndarray, codes: np.ndarray | None = None) -> Readout:
    """A column of float64 numbers [N]; NaN and infinity are missing. With two values, also their codes."""
    present = np.isfinite(values)
    ranks = np.zeros(len(values))
    ranks[present] = doubled_ranks(values[present])
    known = present.astype(np.float64)
    return Readout(name, np.where(present, values, np.nan), codes, ranks=ranks, present=known)


def of_levels(name: str, codes: np.ndarray, labels: Sequence[str] = ()) -> Readout:
    """A column of level numbers [N]; -1 is missing."""
    return Readout(name, codes=codes, labels=labels)


def doubled_ranks(values: np.ndarray) -> np.ndarray:
    """Twice the rank [N] of each, equal values sharing theirs, less twice the mean rank."""
    if not len(values):
        return np.empty(0)
    order = np.argsort(values)
    ordered = values[order]
    first = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    last = np.append(first[1:], len(values)) - 1
    ranks = np.empty(len(values))
    ranks[order] = np.repeat(first + last + 1 - len(values), last - first + 1)
    return ranks


def association(one: Readout, other: Readout) -> tuple[Measure, float | None]:
    """The measure that fits the two, and its value; None where there are too few rows or a constant."""
    if one.ranks is not None and other.ranks is not None:
        return "rank correlation", _nothing(float(rank_correlations([one], [other])[0, 0]))
    if one.codes is not None and other.codes is not None:
        return "Cramér's V", cramers_v(one, other)
    category, number = (one, other) if other.ranks is not None else (other, one)
    return "correlation ratio", correlation_ratio(category, number)


def rank_correlations(ones: list[Readout], others: list[Readout]) -> np.ndarray:
    """Spearman's correlation of each of `ones` with each of `others` [A, B]; NaN where it is not defined."""
    x, m = _stacked(ones)
    y, k = _stacked(others)
    if m.all() and k.all():  # centred, so that what is below comes to this
        rows = np.full((len(ones), len(others)), len(x))
        product, spread = x.T @ y, np.outer((x * x).sum(axis=0), (y * y).sum(axis=0))
    else:
        rows = m.T @ k
        sums = x.T @ k, m.T @ y
        spread = rows * ((x * x).T @ k) - sums[0] ** 2
        spread = spread * (rows * (m.T @ (y * y)) - sums[1] ** 2)
        product = rows * (x.T @ y) - sums[0] * sums[1]
    defined = (rows >= LEAST_ROWS) & (spread > 0)
    found = product / np.sqrt(np.where(defined, spread, 1.0))
    return np.where(defined, np.clip(found, -1.0, 1.0), np.nan)


def _stacked(columns: list[Readout]) -> tuple[np.ndarray, np.ndarray]:
    ranks = np.column_stack([column.ranks for column in columns if column.ranks is not None])
    present = np.column_stack([column.present for column in columns if column.present is not None])
    return ranks, present


def correlation_ratio(category: Readout, number: Readout) -> float | None:
    """How much of the spread of the number's ranks lies between the levels of the category, as a root."""
    assert category.codes is not None and number.ranks is not None and number.present is not None
    kept = (category.codes >= 0) & (number.present > 0)
    codes, ranks = category.codes[kept], number.ranks[kept]
    counts = np.bincount(codes, minlength=1)
    levels, rows = int(np.count_nonzero(counts)), len(codes)
    if rows < max(LEAST_ROWS, levels + 1) or levels < 2:
        return None
    total = float(ranks.sum())
    spread = float(ranks @ ranks) - total**2 / rows
    if spread <= 0:
        return None
    sums = np.bincount(codes, weights=ranks)
    between = float((sums[counts > 0] ** 2 / counts[counts > 0]).sum()) - total**2 / rows
    corrected = 1.0 - (1.0 - between / spread) * (rows - 1) / (rows - levels)
    return float(min(max(corrected, 0.0), 1.0) ** 0.5)


def cramers_v(one: Readout, other: Readout) -> float | None:
    """Cramér's V of two categories, corrected for bias."""
    assert one.codes is not None and other.codes is not None
    kept = (one.codes >= 0) & (other.codes >= 0)
    a, b = one.codes[kept], other.codes[kept]
    rows = len(a)
    if rows < LEAST_ROWS:
        return None
    of_a, of_b = np.bincount(a), np.bincount(b)
    r, c = int(np.count_nonzero(of_a)), int(np.count_nonzero(of_b))
    if min(r, c) < 2:
        return None
    cells, counts = _pairs(a, b, len(of_b))
    expected = of_a[cells // len(of_b)].astype(np.float64) * of_b[cells % len(of_b)]
    phi = float((counts.astype(np.float64) ** 2 / expected).sum()) - 1.0
    phi = max(phi - (r - 1) * (c - 1) / (rows - 1), 0.0)
    least = min(r - (r - 1) ** 2 / (rows - 1), c - (c - 1) ** 2 / (rows - 1)) - 1.0
    return float(min(phi / least, 1.0) ** 0.5) if least > 1e-9 else None


def _pairs(a: np.ndarray, b: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The pairs of levels that occur, as a * width + b, and how often each does."""
    joint = a * width + b
    if (int(a.max()) + 1) * width <= 4 * len(a):
        counts = np.bincount(joint)
        cells = np.flatnonzero(counts)
        return cells, counts[cells]
    found = np.unique(joint, return_counts=True)
    return found[0], found[1]


def auc(number: Readout, positive: np.ndarray) -> float | None:
    """How often a positive row has the greater value of the two (ROC AUC of the column alone)."""
    assert number.ranks is not None and number.present is not None
    kept = number.present > 0
    ranks, yes = number.ranks[kept], positive[kept]
    ones, rows = int(np.count_nonzero(yes)), len(yes)
    if min(ones, rows - ones) < LEAST_ROWS // 2:
        return None
    # Of centred, doubled ranks the sum over the positives is 2 * n1 * n0 * (AUC - 1/2).
    return float(0.5 + float(ranks[yes].sum()) / (2.0 * ones * (rows - ones)))


def pearson(one: np.ndarray, other: np.ndarray) -> float | None:
    """The linear correlation of two columns of numbers [N], NaN where missing."""
    kept = np.isfinite(one) & np.isfinite(other)
    x, y = one[kept], other[kept]
    if len(x) < LEAST_ROWS:
        return None
    with np.errstate(over="ignore", invalid="ignore"):
        x, y = x - x.mean(), y - y.mean()
        spread = float(x @ x) * float(y @ y)
        found = float(x @ y) / spread**0.5 if 0.0 < spread < np.inf else np.nan
    return _nothing(min(max(found, -1.0), 1.0) if np.isfinite(found) else np.nan)


def _nothing(value: float) -> float | None:
    return None if np.isnan(value) else value
