"""What to say without looking at a row: the answer that every model has to beat."""

from __future__ import annotations

from typing import TYPE_CHECKING

from declarative_ml.learning.sums import mean_of
from declarative_ml.learning.task import Task

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.learning.disk_rows import DiskRows

_BLOCK_ROWS = 1 << 16


def baseline_prediction(
    task: Task,
    target: np.ndarray | DiskRows,
    rows: int,
    *,
    weight: np.ndarray | None = None,
    metric: str = "rmse",
) -> np.ndarray:
    """The same prediction for each of `rows` rows, from the training rows' `target` [M].

    Classes: their shares, [rows, classes]; the most frequent class is then the predicted one. Numbers:
    the mean, [rows], or the median for a metric of absolute errors (mae, median_absolute_error).
    """
    import numpy as np

    if task.is_classification:
        sums = np.zeros(len(task.classes))
        for start in range(0, len(target), _BLOCK_ROWS):
            part = slice(start, start + _BLOCK_ROWS)
            sums += np.bincount(target[part], None if weight is None else weight[part], len(sums))
        return np.tile(sums / sums.sum(), (rows, 1))
    if metric in ("mae", "median_absolute_error"):
        weights = np.ones(len(target)) if weight is None else np.asarray(weight, dtype=np.float64)
        return np.full(rows, _median(np.asarray(target, dtype=np.float64), weights))
    return np.full(rows, mean_of(target, weight))


def _median(values: np.ndarray, weights: np.ndarray) -> float:
    """The least value with half the weight at or below it; halfway to the next where it is exactly half."""
    import numpy as np

    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order])
    half = 0.5 * below[-1]
    first = values[order[int(np.argmax(below >= half))]]
    after = values[order[int(np.argmax(below > half * (1.0 + 1e-12)))]]
    return float(0.5 * (first + after))
