"""Which metrics there are, for which tasks, and which direction is better. Light: a spec is checked by it.

How they are computed is in learning.metrics.
"""

from __future__ import annotations

from dataclasses import dataclass

from declarative_ml.core.task import Task, TaskType


@dataclass(frozen=True)
class Metric:
    """What a metric is for, and which direction is better."""

    name: str
    tasks: frozenset[TaskType]
    greater_is_better: bool
    title: str


_CLASSES: frozenset[TaskType] = frozenset({"binary", "multiclass"})
_BINARY: frozenset[TaskType] = frozenset({"binary"})
_NUMBER: frozenset[TaskType] = frozenset({"number"})

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", _CLASSES, True, "Accuracy"),
        Metric("balanced_accuracy", _CLASSES, True, "Balanced accuracy"),
        Metric("f1", _BINARY, True, "F1"),
        Metric("f1_macro", _CLASSES, True, "F1 (macro)"),
        Metric("precision", _CLASSES, True, "Precision"),
        Metric("recall", _CLASSES, True, "Recall"),
        Metric("roc_auc", _CLASSES, True, "ROC AUC"),
        Metric("average_precision", _CLASSES, True, "Average precision"),
        Metric("log_loss", _CLASSES, False, "Log loss"),
        Metric("brier", _CLASSES, False, "Brier score"),
        Metric("ece", _CLASSES, False, "Calibration error (ECE)"),
        Metric("rmse", _NUMBER, False, "RMSE"),
        Metric("mae", _NUMBER, False, "Mean absolute error"),
        Metric("r2", _NUMBER, True, "R²"),
        Metric("mape", _NUMBER, False, "Mean absolute percentage error"),
        Metric("median_absolute_error", _NUMBER, False, "Median absolute error"),
    )
}
"""Every metric by name, in the order of tables."""


def default_metric(task: Task) -> str:
    """The primary metric of a task: roc_auc, log_loss or rmse."""
    names: dict[TaskType, str] = {"binary": "roc_auc", "multiclass": "log_loss", "number": "rmse"}
    return names[task.type]


def default_metrics(task: Task) -> tuple[str, ...]:
    """All metrics that apply to the task, its primary metric first."""
    first = default_metric(task)
    others = (name for name, metric in METRICS.items() if task.type in metric.tasks and name != first)
    return (first, *others)
