"""Compare the candidates on the rows that their folds held out, and weigh them.

ensemble.json    one entry a candidate, in the order of the plan: name, weight, loss (log loss or RMSE of
                 the held-out rows), and `reason` where it is left out
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.errors import StepFailed
from declarative_ml.core.task import Task
from declarative_ml.learning.ensembling import sparse_weights
from declarative_ml.steps.caps import NEEDLESS, Caps, blend_loss_of, leave_out
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.cost import cost_of
from declarative_ml.steps.members import fold_artifacts, held_out_loss, held_out_truth, out_of_fold

if TYPE_CHECKING:
    import numpy as np


def run(context: StepContext) -> None:
    """Write the weights."""

    split = context.read("split", "split.json")
    task = Task.model_validate(split["task"])
    truth = held_out_truth(context)
    found: list[dict[str, Any]] = []
    margins: list[np.ndarray] = []
    for number, name in enumerate(context.params["names"]):
        folders, reason = fold_artifacts(context, number)
        loss = None
        if reason is None and folders:
            margins.append(out_of_fold(context, folders))
            loss = held_out_loss(task, truth, margins[-1])
        found.append({"name": name, "weight": 0.0, "loss": loss, "reason": reason})
    if "caps" in context.params:
        margins = _within_caps(context, task, truth, found, margins)
    context.progress(0.5, f"weighing {len(margins)} of {len(found)}")
    _weigh(found, context.params["weights"], task, truth, margins)
    found += [
        {"name": name, "weight": 0.0, "loss": None, "reason": reason}
        for name, reason in context.params["left_out"].items()
    ]
    write_json(context.out / "ensemble.json", {"members": found})


def _within_caps(
    context: StepContext,
    task: Task,
    truth: np.ndarray,
    found: list[dict[str, Any]],
    margins: list[np.ndarray],
) -> list[np.ndarray]:
    """The margins of the candidates that there is room for; the others get their reason."""
    alive = [(number, entry) for number, entry in enumerate(found) if entry["reason"] is None]
    if not margins:
        raise StepFailed(
            "max_size and max_latency choose by held-out rows, and the split has none",
            hint="write folds: 5, or a share such as validation: 0.1",
        )
    numbers = {entry["name"]: number for number, entry in alive}
    own = dict(zip(numbers, margins, strict=True))
    entries = [entry for _, entry in alive]
    if context.pinned:
        for entry in entries:
            entry["reason"] = context.pinned["no_room"].get(entry["name"])
    else:
        leave_out(
            entries,
            Caps(**context.params["caps"]),
            lambda names: cost_of(context, task, [numbers[name] for name in names]),
            lambda names: blend_loss_of(task, truth, own, names),
        )
    no_room = {entry["name"]: entry["reason"] for entry in entries if entry["reason"] is not None}
    context.pin({"no_room": no_room})  # latencies are measured, and never twice the same
    return [own[entry["name"]] for entry in entries if entry["reason"] is None]


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
        shares = [float(share) for share in sparse_weights(task, truth, margins)]
    for entry, share in zip(alive, shares, strict=True):
        entry["weight"] = share
        if not share:
            entry["reason"] = NEEDLESS
