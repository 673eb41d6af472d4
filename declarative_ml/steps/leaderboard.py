"""The candidates side by side, for the report: how good, how fast, how large, and how long they took.

leaderboard.json  metric, blend_loss (of the members together on the held-out rows), and candidates, the
                  best first: name, weight, loss (log loss or RMSE, calibrated like the blend), the
                  score by the metric with its interval on the held-out rows, bytes and microseconds (a
                  row) of its own graph, seconds of its folds, and `reason` where it is left out
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.task import Task
from declarative_ml.learning.calibration import fit_calibration
from declarative_ml.learning.ensembling import blend
from declarative_ml.learning.intervals import interval
from declarative_ml.learning.metrics import default_metric, score
from declarative_ml.learning.task import predictions_from_margins
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.cost import cost_of
from declarative_ml.steps.members import fold_artifacts, held_out_loss, held_out_truth, out_of_fold

if TYPE_CHECKING:
    import numpy as np


def run(context: StepContext) -> None:
    """Write the comparison."""

    split = context.read("split", "split.json")
    task = Task.model_validate(split["task"])
    metric = context.params["metric"] or default_metric(task)
    truth = held_out_truth(context)
    entries = context.read("ensemble", "ensemble.json")["members"]
    for number, entry in enumerate(entries):
        if number >= len(context.params["names"]):  # left out by the plan: there is no fit of it
            entry["seconds"] = 0.0
            continue
        folders, _ = fold_artifacts(context, number)
        steps = [f"train.{entry['name']}.fold{fold}" for fold in range(len(folders))]
        entry["seconds"] = sum(context.finished[step].seconds for step in steps if step in context.finished)
        if entry["loss"] is None:
            continue
        margins = out_of_fold(context, folders)
        prediction = predictions_from_margins(task, margins)
        entry["loss"] = _calibrated_loss(task, truth, margins)
        entry["score"] = score(metric, task, truth, prediction)
        entry["interval"] = interval(metric, task, truth, prediction, seed=context.params["seed"])
        entry |= asdict(cost_of(context, task, [number]))
        context.progress((number + 1) / len(entries), entry["name"])
    blended = _blend_loss(context, task, truth, entries)
    worst = float("inf")
    entries.sort(key=lambda entry: worst if entry["loss"] is None else entry["loss"])
    board = {"metric": metric, "blend_loss": blended, "candidates": entries}
    write_json(context.out / "leaderboard.json", board)


def _blend_loss(
    context: StepContext, task: Task, truth: np.ndarray, entries: list[dict[str, Any]]
) -> float | None:
    """The loss of the weighted members together on the held-out rows; None without such rows."""
    used = [(entry["weight"], number) for number, entry in enumerate(entries) if entry["weight"]]
    if any(entries[number]["loss"] is None for _, number in used):
        return None
    margins = [out_of_fold(context, fold_artifacts(context, number)[0]) for _, number in used]
    return _calibrated_loss(task, truth, blend(task, margins, [weight for weight, _ in used]))


def _calibrated_loss(task: Task, truth: np.ndarray, margins: np.ndarray) -> float:
    return held_out_loss(task, truth, fit_calibration(task, truth, margins).apply(margins))
