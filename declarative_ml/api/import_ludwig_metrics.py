"""Ludwig's metrics by our names."""

from __future__ import annotations

from declarative_ml.core.task import TaskType
from declarative_ml.learning.metric_names import METRICS

_NAMES = {
    "accuracy": "accuracy", "accuracy_micro": "accuracy", "roc_auc": "roc_auc", "precision": "precision",
    "recall": "recall", "f1": "f1", "mean_absolute_error": "mae", "mean_squared_error": "rmse",
    "root_mean_squared_error": "rmse", "mean_absolute_percentage_error": "mape", "r2": "r2",
}  # fmt: skip
_MEAN = "Ludwig's accuracy of a category is the mean of its classes' accuracies"
_ROOT = "its square root, which ranks alike"


def our_metric(name: str, task: TaskType) -> tuple[str | None, str]:
    """Our metric for such a target, and what differs; None where there is none."""
    if name == "loss":
        return ("rmse", _ROOT) if task == "number" else ("log_loss", "")
    if name == "accuracy" and task == "multiclass":
        return "balanced_accuracy", _MEAN
    found = _NAMES.get(name)
    if found is None or task not in METRICS[found].tasks:
        return None, ""
    return found, _ROOT if name == "mean_squared_error" else ""


def no_metric(task: TaskType) -> str:
    """Why a metric is left out: which ones there are for such a target."""
    fitting = ", ".join(name for name, metric in METRICS.items() if task in metric.tasks)
    return f"not a metric for this target; there are {fitting}"
