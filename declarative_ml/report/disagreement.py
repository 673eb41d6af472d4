"""Two models on the same rows: how far their answers lie apart, and who is right."""

from __future__ import annotations

from typing import TYPE_CHECKING

from declarative_ml.core.task import Task
from declarative_ml.learning.metrics import labels
from declarative_ml.report.comparison import Comparison
from declarative_ml.report.wording import percent, trimmed

if TYPE_CHECKING:
    import numpy as np


def distance(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """How far the predictions of each row [N] lie apart.

    Probabilities [N, classes]: the total variation distance, from 0 to 1; values [N]: their difference.
    """
    import numpy as np

    apart: np.ndarray = np.abs(second - first)
    return apart if apart.ndim == 1 else 0.5 * apart.sum(axis=1)


def answers(task: Task, prediction: np.ndarray, threshold: float) -> list[str]:
    """What the model says of each row: the class and the probability of it (binary: of yes), or the value."""
    if not task.is_classification:
        return [trimmed(float(value)) for value in prediction]
    codes = labels(prediction, threshold)
    if task.type == "binary":
        return [f"{task.classes[code]} ({percent(row[1])})" for code, row in zip(codes, prediction)]
    return [f"{task.classes[code]} ({percent(row[code])})" for code, row in zip(codes, prediction)]


def agreement(found: Comparison) -> dict[str, int] | None:
    """Rows where both labels are right, one only, or neither: the table of McNemar's test (1947).

    None without shared rows, and for numbers.
    """
    shared, task = found.shared, found.second.content.task
    if shared is None or not task.is_classification:
        return None
    first = labels(shared.first, found.first.content.threshold)
    second = labels(shared.second, found.second.content.threshold)
    old, new = first == shared.truth, second == shared.truth
    return {
        "both_right": int((old & new).sum()),
        "first_only": int((old & ~new).sum()),
        "second_only": int((~old & new).sum()),
        "both_wrong": int((~old & ~new).sum()),
        "other_label": int((first != second).sum()),
    }
