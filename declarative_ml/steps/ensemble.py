"""Compare the candidates on the rows that their folds held out, and weigh them.

ensemble.json    one entry a candidate, in the order of the plan: name, weight, loss (log loss or RMSE of
                 the held-out rows), and `reason` where it is left out
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.errors import StepFailed
from declarative_ml.core.task import Task
from declarative_ml.learning.ensembling import optimized_weights
from declarative_ml.steps.context import StepContext, skip_reason
from declarative_ml.steps.members import held_out_loss, held_out_rows, out_of_fold

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


def run(context: StepContext) -> None:
    """Write the weights."""
    import numpy as np

    split = context.read("split", "split.json")
    task = Task.model_validate(split["task"])
    truth = np.load(context.inputs["prepare"] / "target.npy")[held_out_rows(context)]
    found: list[dict[str, Any]] = []
    margins: list[np.ndarray] = []
    for number, name in enumerate(context.params["names"]):
        folders, reason = fold_artifacts(context, number, split["folds"])
        loss = None
        if reason is None and folders:
            margins.append(out_of_fold(context, folders))
            loss = held_out_loss(task, truth, margins[-1])
        found.append({"name": name, "weight": 0.0, "loss": loss, "reason": reason})
    context.progress(0.5, f"weighing {len(margins)} of {len(found)}")
    _weigh(found, context.params["weights"], task, truth, margins)
    found += [
        {"name": name, "weight": 0.0, "loss": None, "reason": reason}
        for name, reason in context.params["left_out"].items()
    ]
    write_json(context.out / "ensemble.json", {"members": found})


def fold_artifacts(context: StepContext, number: int, folds: int) -> tuple[list[Path], str | None]:
    """The fold artifacts of the candidate `number`, or why it cannot be compared with the others."""
    folders = [context.inputs[f"member{number}.fold{fold}"] for fold in range(folds)]
    reasons = [skip_reason(folder) for folder in folders]
    return folders, next((reason for reason in reasons if reason is not None), None)


def left_out_reason(ensemble: dict[str, Any], name: str) -> str | None:
    """Why the candidate `name` is not part of the blend; None when it is."""
    entry = next(entry for entry in ensemble["members"] if entry["name"] == name)
    return None if entry["weight"] > 0.0 else str(entry["reason"])


def _weigh(
    found: list[dict[str, Any]], how: str, task: Task, truth: np.ndarray, margins: list[np.ndarray]
) -> None:
    """Fill in the weights. Raises StepFailed when no candidate is left."""
    alive = [entry for entry in found if entry["reason"] is None]
    if not alive:
        reasons = "; ".join(f"{entry['name']}: {entry['reason']}" for entry in found)
        raise StepFailed(f"no candidate came through: {reasons}", hint="give more time, or name the model")
    if how == "equal" or len(alive) == 1 or not margins:
        shares = [1.0 / len(alive)] * len(alive)
    else:
        shares = [float(share) for share in optimized_weights(task, truth, margins)]
    for entry, share in zip(alive, shares, strict=True):
        entry["weight"] = share
        if not share:
            entry["reason"] = "its weight in the blend is 0"
