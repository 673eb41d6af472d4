"""The metrics: scikit-learn's names, computed as scikit-learn does, in numpy alone.

Every metric is written once, for many weightings of the same rows at a time: `compute` takes
weights [B, N] and returns [B] scores. A plain score is B = 1; a bootstrap is B resamples, of which each
is a row of counts (see learning.intervals). Sums avoid BLAS, so that a score does not depend on threads.

Conventions where scikit-learn leaves a choice:

- a binary row counts as positive from `threshold` on (probability >= threshold);
- precision and recall are of the positive class for binary, and the macro average for multiclass;
- roc_auc and average_precision of a multiclass target are the macro average of one class against the rest;
- brier is halved for binary and the plain sum over the classes for multiclass, as `scale_by_half="auto"`;
- ece (not in scikit-learn) has 15 bins of equal width over the probability of the positive class, or of
  the predicted class for multiclass (Naeini, Cooper & Hauskrecht, AAAI 2015; Guo et al., ICML 2017);
- a score that these rows cannot define is nan: roc_auc with one class only, recall and
  average_precision without a positive row, f1 without a positive row in truth and prediction alike.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from declarative_ml.core.errors import DataError
from declarative_ml.learning.metric_names import METRICS, Metric, default_metric, default_metrics
from declarative_ml.learning.ranks import (
    average_precision,
    divide,
    precision_recall_curve,
    roc_area,
    roc_curve,
)
from declarative_ml.learning.task import Task

__all__ = [
    "METRICS",
    "Metric",
    "calibration_curve",
    "checked",
    "compute",
    "confusion_matrix",
    "default_metric",
    "default_metrics",
    "labels",
    "precision_recall_curve",
    "roc_curve",
    "row_log_loss",
    "score",
]

Compute = Callable[[np.ndarray, np.ndarray, np.ndarray, float], np.ndarray]
"""(truth [N], prediction [N, classes] or [N], weights [B, N], threshold) -> scores [B]."""
RowValues = Callable[[np.ndarray, np.ndarray, float], np.ndarray]
"""(truth [N], prediction [N, classes] or [N], threshold) -> values of the rows [N]."""

ECE_BINS = 15


def score(
    name: str,
    task: Task,
    truth: np.ndarray,
    prediction: np.ndarray,
    *,
    weight: np.ndarray | None = None,
    threshold: float = 0.5,
) -> float:
    """The metric `name` of one set of rows; nan where these rows do not define it.

    `truth` is int64 class numbers or float64 values [N]; `prediction` is probabilities [N, classes]
    (two columns for binary) or values [N]. `threshold` acts on binary tasks only. Raises DataError when
    the metric is not one of the task's, when the shapes do not fit, or when a value is not finite.
    """
    metric, truth, prediction = checked(name, task, truth, prediction)
    if len(truth) == 0:
        return float("nan")
    weights = np.ones((1, len(truth))) if weight is None else np.asarray(weight, dtype=np.float64)[None, :]
    return float(compute(metric, truth, prediction, weights, threshold)[0])


def compute(
    metric: Metric, truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray, threshold: float = 0.5
) -> np.ndarray:
    """Scores [B] of checked rows under many weightings [B, N] at once."""
    return _COMPUTE[metric.name](truth, prediction, weights, threshold)


def checked(
    name: str, task: Task, truth: np.ndarray, prediction: np.ndarray, first_row: int = 0
) -> tuple[Metric, np.ndarray, np.ndarray]:
    """The metric and its checked arrays. Raises DataError as `score` does, where rows count from
    `first_row`."""
    metric = METRICS.get(name)
    if metric is None or task.type not in metric.tasks:
        raise DataError(
            f"the metric {name!r} does not apply to the {task.type} target {task.target!r}",
            hint=f"use one of {', '.join(default_metrics(task))}",
        )
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    shape = (len(truth), len(task.classes)) if task.is_classification else (len(truth),)
    if task.type == "number" and prediction.shape == (len(truth), 1):
        prediction = prediction[:, 0]
    if prediction.shape != shape:
        raise DataError(f"predictions of shape {prediction.shape}, expected {shape}")
    for what, array in (("prediction", prediction), ("target value", truth)):
        finite = np.isfinite(array).all(axis=tuple(range(1, array.ndim)))
        if not finite.all():
            first = first_row + int(np.argmin(finite))
            raise DataError(f"{int((~finite).sum())} {what}(s) are not finite, the first in row {first}")
    return metric, truth, prediction


def labels(prediction: np.ndarray, threshold: float = 0.5) -> np.ndarray:
    """Probabilities [N, classes] -> class numbers [N]: by the threshold for two classes, else the largest."""
    if prediction.shape[1] == 2:
        return (prediction[:, 1] >= threshold).astype(np.int64)
    largest: np.ndarray = prediction.argmax(axis=1)
    return largest


def confusion_matrix(
    truth: np.ndarray, predicted: np.ndarray, classes: int, weight: np.ndarray | None = None
) -> np.ndarray:
    """Rows of class i predicted as class j, [classes, classes], from class numbers [N]."""
    cells = np.asarray(truth) * classes + np.asarray(predicted)
    matrix: np.ndarray = np.bincount(cells, weight, classes * classes).reshape(classes, classes)
    return matrix


def calibration_curve(
    truth: np.ndarray, scores: np.ndarray, bins: int = 10, weight: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean probability, share of positives and number of rows in bins of equal width; empty bins left out.

    `truth` is 0 and 1 [N], `scores` [N] the probability of the positive class. With `weight`, means and
    numbers are weighted.
    """
    weights = np.ones((1, len(truth))) if weight is None else np.asarray(weight, dtype=np.float64)[None, :]
    places = _bins(scores, bins)
    rows = _sum_by(places, weights, bins)[0]
    filled = rows > 0
    predicted = _sum_by(places, weights * scores, bins)[0][filled] / rows[filled]
    observed = _sum_by(places, weights * truth, bins)[0][filled] / rows[filled]
    return predicted, observed, rows[filled]


# Sums over rows, for all weightings at once.

_FEW_CODES = 32


def _mean(rows: np.ndarray, weights: np.ndarray) -> np.ndarray:
    return divide(np.einsum("bn,n->b", weights, rows, optimize=False), weights.sum(axis=1))


def _sum_by(codes: np.ndarray, weights: np.ndarray, count: int) -> np.ndarray:
    """[B, count]: the weight of the rows of each code, one product of matrices for few codes."""
    if len(weights) > 1 and count <= _FEW_CODES:
        member = codes[:, None] == np.arange(count)
        sums: np.ndarray = weights @ member.astype(np.float64)
        return sums
    return np.stack([np.bincount(codes, row, count) for row in weights])


def _bins(scores: np.ndarray, count: int) -> np.ndarray:
    return np.clip((np.asarray(scores, dtype=np.float64) * count).astype(np.int64), 0, count - 1)


@dataclass(frozen=True)
class Counts:
    """By weighting and class [B, C]: rows of the class, rows predicted as it, rows that are both."""

    actual: np.ndarray
    predicted: np.ndarray
    both: np.ndarray

    def __add__(self, other: Counts) -> Counts:
        """Of the rows of both."""
        return Counts(self.actual + other.actual, self.predicted + other.predicted, self.both + other.both)

    @property
    def present(self) -> np.ndarray:
        """Classes that occur in truth or prediction."""
        rows: np.ndarray = self.actual + self.predicted
        return rows > 0

    @property
    def binary(self) -> bool:
        """Whether there are two classes, of which the second is the positive one."""
        return bool(self.actual.shape[1] == 2)

    def f1(self, otherwise: float = 0.0) -> np.ndarray:
        """Of each class [B, C]."""
        return divide(2.0 * self.both, self.actual + self.predicted, otherwise)


def count_rows(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray, threshold: float) -> Counts:
    """What metrics of predicted classes need to know of rows; arguments as for `compute`."""
    classes, predicted = prediction.shape[1], labels(prediction, threshold)
    hit = weights * (truth == predicted)
    return Counts(
        actual=_sum_by(truth, weights, classes),
        predicted=_sum_by(predicted, weights, classes),
        both=_sum_by(truth, hit, classes),
    )


def _macro(values: np.ndarray, present: np.ndarray) -> np.ndarray:
    return divide(np.where(present, values, 0.0).sum(axis=1), present.sum(axis=1))


def _balanced_accuracy(counts: Counts) -> np.ndarray:
    return _macro(divide(counts.both, counts.actual, 0.0), counts.actual > 0)


def _precision(counts: Counts) -> np.ndarray:
    precision = divide(counts.both, counts.predicted, 0.0)
    return precision[:, 1] if counts.binary else _macro(precision, counts.present)


def _recall(counts: Counts) -> np.ndarray:
    if counts.binary:
        return divide(counts.both, counts.actual)[:, 1]
    return _macro(divide(counts.both, counts.actual, 0.0), counts.present)


COUNTED: dict[str, Callable[[Counts], np.ndarray]] = {
    "balanced_accuracy": _balanced_accuracy,
    "f1": lambda counts: counts.f1(np.nan)[:, 1],
    "f1_macro": lambda counts: _macro(counts.f1(), counts.present),
    "precision": _precision,
    "recall": _recall,
}
"""Metrics that follow from the counts of the classes."""


def _of_counts(metric: Callable[[Counts], np.ndarray]) -> Compute:
    return lambda truth, prediction, weights, threshold: metric(
        count_rows(truth, prediction, weights, threshold)
    )


# Ranks.


def _one_against_rest(
    area: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
) -> Compute:
    def compute(
        truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray, threshold: float
    ) -> np.ndarray:
        classes = range(1, 2) if prediction.shape[1] == 2 else range(prediction.shape[1])
        areas = [area(truth == number, prediction[:, number], weights) for number in classes]
        result: np.ndarray = np.mean(areas, axis=0)
        return result

    return compute


# Means over rows.


def row_log_loss(truth: np.ndarray, prediction: np.ndarray) -> np.ndarray:
    """The log loss of each row [N], probabilities clipped by the machine epsilon of their type."""
    floor = float(np.finfo(prediction.dtype).eps)
    chosen = prediction[np.arange(len(truth)), truth].astype(np.float64)
    losses: np.ndarray = -np.log(np.clip(chosen, floor, 1.0 - floor))
    return losses


def _row_brier(truth: np.ndarray, prediction: np.ndarray, threshold: float) -> np.ndarray:
    miss = prediction.astype(np.float64)
    miss[np.arange(len(truth)), truth] -= 1.0
    scale = 0.5 if prediction.shape[1] == 2 else 1.0
    return np.asarray(scale * np.square(miss).sum(axis=1))


def _row_hit(truth: np.ndarray, prediction: np.ndarray, threshold: float) -> np.ndarray:
    return np.asarray((labels(prediction, threshold) == truth).astype(np.float64))


def _row_share(truth: np.ndarray, prediction: np.ndarray, threshold: float) -> np.ndarray:
    scale = np.maximum(np.abs(truth), np.finfo(np.float64).eps)
    return np.asarray(np.abs(truth - prediction) / scale)


ROW_MEANS: dict[str, RowValues] = {
    "accuracy": _row_hit,
    "log_loss": lambda truth, prediction, threshold: row_log_loss(truth, prediction),
    "brier": _row_brier,
    "rmse": lambda truth, prediction, threshold: np.square(truth - prediction),
    "mae": lambda truth, prediction, threshold: np.abs(truth - prediction),
    "mape": _row_share,
}
"""Metrics that are the mean of a value of each row; rmse is the root of it."""


def _of_rows(value: RowValues) -> Compute:
    return lambda truth, prediction, weights, threshold: _mean(value(truth, prediction, threshold), weights)


def _rmse(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray, threshold: float) -> np.ndarray:
    root: np.ndarray = np.sqrt(_mean(ROW_MEANS["rmse"](truth, prediction, threshold), weights))
    return root


# Others.


def ece_gaps(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """By weighting and bin [B, ECE_BINS]: rows that were right, less the sum of their confidence."""
    if prediction.shape[1] == 2:
        confidence, right = prediction[:, 1].astype(np.float64), truth == 1
    else:
        confidence, right = prediction.max(axis=1).astype(np.float64), truth == prediction.argmax(axis=1)
    return _sum_by(_bins(confidence, ECE_BINS), weights * (right - confidence), ECE_BINS)


def _ece(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray, threshold: float) -> np.ndarray:
    return divide(np.abs(ece_gaps(truth, prediction, weights)).sum(axis=1), weights.sum(axis=1))


def _r2(truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray, threshold: float) -> np.ndarray:
    if len(truth) < 2:
        return np.full(len(weights), np.nan)
    # Centred on one value for all weightings: the spread must not drown in the square of the mean.
    centre = truth[0] if truth.min() == truth.max() else _mean(truth, weights[:1])[0]
    shift = truth - centre
    spread = _mean(np.square(shift), weights) - np.square(_mean(shift, weights))
    error = _mean(np.square(truth - prediction), weights)
    flat = np.where(error == 0, 1.0, 0.0)  # scikit-learn's answer where the target does not vary
    return np.where(spread > 0, 1.0 - divide(error, spread, 0.0), flat)


def _median_absolute_error(
    truth: np.ndarray, prediction: np.ndarray, weights: np.ndarray, threshold: float
) -> np.ndarray:
    error = np.abs(truth - prediction)
    order = np.argsort(error)
    below = np.cumsum(weights[:, order], axis=1)
    half = 0.5 * below[:, -1:]
    first = error[order[np.argmax(below >= half, axis=1)]]
    # Where exactly half the weight lies at or below `first`, the median is halfway to the next value.
    after = error[order[np.argmax(below > half + np.finfo(np.float64).eps, axis=1)]]
    return np.where(half[:, 0] > 0, 0.5 * (first + after), np.nan)


_COMPUTE: dict[str, Compute] = {
    **{name: _of_rows(value) for name, value in ROW_MEANS.items()},
    **{name: _of_counts(metric) for name, metric in COUNTED.items()},
    "rmse": _rmse,
    "roc_auc": _one_against_rest(roc_area),
    "average_precision": _one_against_rest(average_precision),
    "ece": _ece,
    "r2": _r2,
    "median_absolute_error": _median_absolute_error,
}
