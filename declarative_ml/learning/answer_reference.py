"""The answers of a model on rows that it has not learned from, as the reference for their drift.

On training rows a model is surer than it will ever be again, so that live answers would look as if they had
moved: the reference is made of held-out rows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from declarative_ml.core.task import Task
from declarative_ml.learning.histograms import quantile_bins
from declarative_ml.learning.scores import Rows, in_memory, parts
from declarative_ml.learning.statistics import NumberStatistics


def answer_reference(task: Task, prediction: Rows, threshold: float | None) -> dict[str, Any]:
    """Entries of reference.json (docs/bundle.md) for `prediction`, and for classes for `probability`.

    `prediction` [N] holds numbers, or [N, C] probabilities. `probability` is that of the positive class, or
    of the predicted one of several, as `dml predict` writes it.
    """
    numbers, order = NumberStatistics(), _order(prediction)
    counts = np.zeros(len(task.classes), dtype=np.int64)
    for part in parts(prediction):
        answers = prediction[part]
        if task.is_classification:
            answers, chosen = _said(task, answers, threshold)
            counts += np.bincount(chosen, minlength=len(counts))
        # Float32 is what the graph answers: an edge must not lie beside the value that it is made from.
        numbers.update_numbers(answers.astype(np.float32).astype(np.float64), order(part))
    bins = {"kind": "number", **quantile_bins(numbers)}
    if not task.is_classification:
        return {"prediction": bins}
    levels = {"kind": "category", "levels": list(task.classes), "counts": counts.tolist()}
    return {"prediction": {**levels, "other": 0, "missing": 0, "rows": len(prediction)}, "probability": bins}


def _said(task: Task, shares: np.ndarray, threshold: float | None) -> tuple[np.ndarray, np.ndarray]:
    """The probability [n] that is shown, and the number [n] of the class."""
    if task.type == "binary":
        shown = shares[:, 1]
        return shown, (shown >= (0.5 if threshold is None else threshold)).astype(np.int64)
    return shares.max(axis=1), shares.argmax(axis=1)


def _order(prediction: Rows) -> Callable[[slice], np.ndarray]:
    """Of a stretch of rows, the numbers by which a sample is drawn. Many rows come in the order of their
    hashes, so that evenly spread ones are a fair sample."""
    permuted = np.random.default_rng(0).permutation(len(prediction)) if in_memory(prediction) else None

    def of(part: slice) -> np.ndarray:
        rows = np.arange(part.start, part.stop) if permuted is None else permuted[part]
        return np.asarray(rows.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15))

    return of
