"""The answers of a model on rows that it has not learned from, as the reference for their drift.

On training rows a model is surer than it will ever be again, so that live answers would look as if they had
moved: the reference is made of held-out rows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from declarative_ml.core.task import Task
from declarative_ml.learning.histograms import quantile_bins
from declarative_ml.learning.statistics import NumberStatistics


def answer_reference(task: Task, prediction: np.ndarray, threshold: float | None) -> dict[str, Any]:
    """Entries of reference.json (docs/bundle.md) for `prediction`, and for classes for `probability`.

    `prediction` [N] holds numbers, or [N, C] probabilities. `probability` is that of the positive class, or
    of the predicted one of several, as `dml predict` writes it.
    """
    if not task.is_classification:
        return {"prediction": _bins(prediction)}
    if task.type == "binary":
        shown = prediction[:, 1]
        chosen = (shown >= (0.5 if threshold is None else threshold)).astype(np.int64)
    else:
        shown, chosen = prediction.max(axis=1), prediction.argmax(axis=1)
    counts = np.bincount(chosen, minlength=len(task.classes))
    levels = {"kind": "category", "levels": list(task.classes), "counts": counts.tolist()}
    shares = {**levels, "other": 0, "missing": 0, "rows": len(prediction)}
    return {"prediction": shares, "probability": _bins(shown)}


def _bins(values: np.ndarray) -> dict[str, Any]:
    """Twenty bins of about equal counts."""
    statistics = NumberStatistics()
    # Float32 is what the graph answers: an edge must not lie beside the value that it is made from.
    numbers = values.astype(np.float32).astype(np.float64)
    order = np.random.default_rng(0).permutation(len(numbers)).astype(np.uint64)
    statistics.update_numbers(numbers, order * np.uint64(0x9E3779B97F4A7C15))
    return {"kind": "number", **quantile_bins(statistics)}
