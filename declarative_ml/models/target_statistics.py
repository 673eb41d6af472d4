"""What categories say of the target: for each level the mean over its rows, drawn towards that of all rows.

A number target is standardised, two classes count as 0 and 1, and of more classes each has a column of its
own. How far a mean is drawn follows from the variance of the target within and between the levels of the
column (empirical Bayes; Micci-Barreca, SIGKDD Explorations 2001), as the method of moments estimates it.

A row must not see its own target. The rows that are learned from are therefore divided into folds, and the
statistics of a fold are those of the rows of all others. The ordered statistics of CatBoost (Prokhorenkova
et al., NeurIPS 2018), where a row sees the rows before it in a random order, gave a higher loss on four of
six tables and the same on two, for the first rows see little. Folds also let any row be computed by itself,
with the rows on disk.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from declarative_ml.learning import sums

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.learning.dataset import Dataset, Layout
    from declarative_ml.learning.task import Task

_FOLDS = 10
_BLOCK_ROWS = 1 << 16
"""Rows that are summed at a time. It reaches the last bits of the sums, so it is the same for all."""
_LEAST, _MOST = 1e-3, 1e3
"""Rows that a level's mean is drawn by, where they are estimated."""


@dataclass(frozen=True)
class TargetStatistics:
    """Tables of the statistics, and which of them a row sees."""

    tables: np.ndarray
    """[F, L, K] float32: F folds, L levels of all columns one after another, K outputs."""
    starts: np.ndarray
    """[C]: the first level of each column."""
    folds: Folds | None = None
    """None: there is one table for all rows."""

    @property
    def width(self) -> int:
        """The columns that they make."""
        return len(self.starts) * int(self.tables.shape[2])

    def of(self, codes: np.ndarray, first: int) -> np.ndarray:
        """The statistics [n, C * K] float32 of codes [n, C]; `first` is the number of their first row."""
        places = codes + self.starts
        fold = 0 if self.folds is None else self.folds.of(first, first + len(codes))[:, None]
        found: np.ndarray = self.tables[fold, places].reshape(len(codes), self.width)
        return found


@dataclass(frozen=True)
class Folds:
    """Which fold each row is in: stretches of equal length, of rows or of units."""

    count: int
    """How many rows, or units, there are."""
    unit: np.ndarray | None = None
    """[N] the unit of each row, from 0 on; None: each row is its own."""

    @classmethod
    def over(cls, data: Dataset) -> Folds:
        """Those of the rows of a dataset."""
        return cls(len(data)) if data.unit is None else cls(int(data.unit.max()) + 1, data.unit)

    def of(self, start: int, stop: int) -> np.ndarray:
        """The folds [n] of a stretch of rows."""
        import numpy as np

        number = np.arange(start, stop) if self.unit is None else self.unit[start:stop].astype(np.int64)
        found: np.ndarray = number * _FOLDS // self.count
        return found


def level_starts(layout: Layout) -> np.ndarray:
    """Where each column's levels begin, when those of all columns stand one after another: int64 [C]."""
    import numpy as np

    sizes = np.array([column.cardinality for column in layout.codes], dtype=np.int64)
    return np.cumsum(sizes) - sizes


def learn_statistics(
    train: Dataset, task: Task, smoothing: float | None
) -> tuple[TargetStatistics, TargetStatistics]:
    """The statistics that other rows see, and those that the rows of `train` see themselves.

    `smoothing` is the number of rows by which a level's mean is drawn towards that of all rows; None
    estimates it for each column. Reads the rows once, block by block.
    """
    import numpy as np

    folds, starts = Folds.over(train), level_starts(train.layout)
    bounds = [*starts.tolist(), sum(column.cardinality for column in train.layout.codes)]
    found = _sums(train, task, folds, bounds)

    def table(chosen: np.ndarray) -> np.ndarray:
        return _means(found.sum(axis=0, where=chosen[:, None, None]), task.width, bounds, smoothing)

    own = np.stack([table(np.arange(_FOLDS) != fold) for fold in range(_FOLDS)])
    whole = table(np.ones(_FOLDS, dtype=bool))[None]
    return TargetStatistics(whole, starts), TargetStatistics(own, starts, folds)


def _sums(train: Dataset, task: Task, folds: Folds, bounds: list[int]) -> np.ndarray:
    """Of each level the weight and weighted sums of K targets, of numbers those of their squares as well.

    [F, L, 1 + K] for classes, whose targets of 0 and 1 are their own squares, else [F, L, 1 + 2 K].
    """
    import numpy as np

    kinds = 1 if task.is_classification else 2
    found = np.zeros((_FOLDS, bounds[-1], 1 + kinds * task.width))
    for start, codes, weights, targets in _blocks(train, task):
        fold = folds.of(start, start + len(codes))
        powers = [weights * target**power for power in range(1, kinds + 1) for target in targets]
        for column, (first, end) in enumerate(pairwise(bounds)):
            place = fold * (end - first) + codes[:, column]
            for number, values in enumerate([weights, *powers]):
                total = np.bincount(place, values, _FOLDS * (end - first))
                found[:, first:end, number] += total.reshape(_FOLDS, end - first)
    return found


def _blocks(train: Dataset, task: Task) -> Iterator[tuple[int, np.ndarray, np.ndarray, list[np.ndarray]]]:
    """First row, codes [n, C], weights [n] of mean 1, and the target as K arrays [n], block by block."""
    import numpy as np

    place, spread = (0.0, 1.0) if task.is_classification else sums.place_and_scale(train.target, train.weight)
    mean = 1.0 if train.weight is None else float(np.mean(train.weight))
    for start in range(0, len(train), _BLOCK_ROWS):
        rows = slice(start, min(start + _BLOCK_ROWS, len(train)))
        codes, target = train.codes[rows], np.asarray(train.target[rows])
        weights = np.ones(len(codes)) if train.weight is None else train.weight[rows] / mean
        if task.type == "multiclass":
            targets = [(target == number).astype(np.float64) for number in range(task.width)]
        else:
            targets = [(target - place) / (spread or 1.0)]
        yield start, codes, weights, targets


def _means(found: np.ndarray, width: int, bounds: list[int], smoothing: float | None) -> np.ndarray:
    """[L, K] float32 of the sums of some rows (see `_sums`); a level without rows has the mean of all."""
    import numpy as np

    means = np.zeros((len(found), width), dtype=np.float32)
    for first, end in pairwise(bounds):
        weight = found[first:end, 0]
        total, squares = found[first:end, 1 : 1 + width], found[first:end, -width:]
        if not weight.sum() > 0.0:
            continue
        drawn = _smoothing(weight, total, squares) if smoothing is None else smoothing
        mean = total.sum(axis=0) / weight.sum()
        means[first:end] = (total + drawn * mean) / (weight[:, None] + drawn)
    return means


def _smoothing(weight: np.ndarray, total: np.ndarray, squares: np.ndarray) -> np.ndarray:
    """The variance within levels over that between them [K]: rows by which a mean is drawn.

    One-way analysis of variance with random effects, solved by moments, as for rows without weights.
    """
    import numpy as np

    seen = weight > 0.0
    weight, total, squares = weight[seen][:, None], total[seen], squares[seen]
    rows, levels = weight.sum(), len(weight)
    of_levels = total**2 / weight
    within = np.maximum((squares - of_levels).sum(axis=0), 0.0) / max(rows - levels, 1.0)
    between = of_levels.sum(axis=0) - total.sum(axis=0) ** 2 / rows - (levels - 1) * within
    between = np.maximum(between, 0.0) / max(rows - (weight**2).sum() / rows, 1e-9)
    drawn: np.ndarray = np.clip(within / np.maximum(between, within / _MOST + 1e-12), _LEAST, _MOST)
    return drawn
