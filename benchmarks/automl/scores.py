"""From the predictions of a contender to its scores: one place, the same metrics for all."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from declarative_ml.core.errors import DataError
from declarative_ml.core.task import Task
from declarative_ml.learning.metrics import score

METRICS: dict[str, tuple[str, ...]] = {
    "binary": ("roc_auc", "accuracy", "log_loss", "brier"),
    "multiclass": ("log_loss", "accuracy", "brier"),
    "number": ("rmse", "mae", "r2"),
}
"""By task, the one that ranks first."""

_SUM_SLACK = 1e-3


def primary(task: Task) -> str:
    """The metric that ranks the contenders."""
    return METRICS[task.type][0]


def read_prediction(path: Path, task: Task, rows: int) -> np.ndarray:
    """The predictions of a contender in the order of the task's classes, float64 [N, C] or [N].

    A class that it does not know has probability 0. Raises DataError for a file that is not what the
    contract says: other shapes, unknown classes, values that are not finite, rows that do not sum to 1.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path.name} cannot be read: {error}") from error
    if task.type == "number":
        prediction = _array(arrays, "values", (rows,))
    else:
        classes = [str(name) for name in arrays.get("classes", np.empty(0, dtype=str))]
        prediction = _in_order(task, classes, _array(arrays, "probabilities", (rows, len(classes))))
    if bad := int(np.count_nonzero(~np.isfinite(prediction))):
        raise DataError(f"{bad} prediction(s) are not finite")
    return prediction


def cell_scores(task: Task, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float]:
    """Metric -> score, the ranking one first."""
    return {name: score(name, task, truth, prediction) for name in METRICS[task.type]}


def _array(arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    found = arrays.get(name)
    if found is None or found.shape != shape:
        raise DataError(f"{name}: {'absent' if found is None else found.shape}, expected {shape}")
    return found.astype(np.float64)


def _in_order(task: Task, classes: list[str], given: np.ndarray) -> np.ndarray:
    if unknown := [name for name in classes if name not in task.classes]:
        raise DataError(f"probabilities of {', '.join(map(repr, unknown))}, not a class of {task.target!r}")
    ordered = np.zeros((len(given), len(task.classes)))
    for column, name in enumerate(classes):
        ordered[:, task.classes.index(name)] = given[:, column]
    total = ordered.sum(axis=1, keepdims=True)
    # Written so that NaN, which compares as false, is left to the check of the caller.
    if (np.abs(total - 1.0) > _SUM_SLACK).any():
        worst = float(total[np.argmax(np.abs(total - 1.0))][0])
        raise DataError(f"the probabilities of a row sum to {worst:.4g}")
    return np.asarray(ordered / total)
