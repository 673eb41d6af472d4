"""The members of a blend: their options, and what their folds held out, put together."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from declarative_ml.core.task import Task
from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.learning.metrics import score
from declarative_ml.learning.selection import Selection
from declarative_ml.learning.task import predictions_from_margins
from declarative_ml.models import MODELS
from declarative_ml.models.base import Model
from declarative_ml.steps.context import SHORT, StepContext, skip_reason
from declarative_ml.steps.divided import chosen
from declarative_ml.steps.split import TEST

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np


_FOLD = re.compile(r"member\d+\.fold(\d+)")


def fold_artifacts(context: StepContext, number: int) -> tuple[list[Path], str | None]:
    """The fold artifacts of the candidate `number`, or why it cannot be compared with the others."""
    folders = [context.inputs[f"member{number}.fold{fold}"] for fold in range(folds_done(context))]
    reasons = [skip_reason(folder) for folder in folders]
    return folders, next((reason for reason in reasons if reason is not None), None)


def left_out_reason(ensemble: dict[str, Any], name: str) -> str | None:
    """Why the candidate `name` is not part of the blend; None when it is."""
    entry = next(entry for entry in ensemble["members"] if entry["name"] == name)
    return None if entry["weight"] > 0.0 else str(entry["reason"])


def folds_done(context: StepContext) -> int:
    """How many folds the candidates were compared on: those of the split, unless the time was too short."""
    if "assemble" in context.inputs:
        return int(context.read("assemble", "assembly.json")["folds"])
    folds: int = context.read("split", "split.json")["folds"]
    for role, folder in context.inputs.items():
        fold = _FOLD.fullmatch(role)
        if fold and int(fold[1]) < folds and (skip_reason(folder) or "").startswith(SHORT):
            folds = int(fold[1])
    return folds


def fold_roles(context: StepContext, number: int) -> list[str]:
    """The input roles of the folds of the candidate `number` that were fitted, of those it is compared on."""
    return context.roles(f"member{number}.fold")[: folds_done(context)]


def held_out_rows(context: StepContext) -> Selection:
    """The rows that some fold holds out, in split order."""
    folds = folds_done(context)
    return chosen(context.inputs["split"], lambda part, fold: (fold >= 0) & (fold < folds) & (part != TEST))


def held_out_by(context: StepContext, fold: int) -> Selection:
    """The rows that one fold holds out."""
    return chosen(context.inputs["split"], lambda part, folds: (folds == fold) & (part != TEST))


def held_out_truth(context: StepContext) -> np.ndarray:
    """Their targets."""
    return DiskRows(context.inputs["prepare"] / "target.npy")[held_out_rows(context)]


def out_of_fold(context: StepContext, folders: Sequence[Path]) -> np.ndarray:
    """The folds' margins of their held-out rows, in the order of `held_out_rows`: [rows, width]."""
    import numpy as np

    fold = DiskRows(context.inputs["split"] / "fold.npy")[held_out_rows(context)]
    parts = [np.load(folder / "validation.npy") for folder in folders]
    margins = np.empty((len(fold), parts[0].shape[1]))
    for number, part in enumerate(parts):
        margins[fold == number] = part
    return margins


def tuned_model(context: StepContext, options: Mapping[str, Any], role: str) -> Model:
    """The model of the plan, with the options that tuning chose where there is an input `role`."""
    if role not in context.inputs:
        return MODELS.parse(options)
    return MODELS.parse({**options, **context.read(role, "options.json")["options"]})


def held_out_loss(task: Task, truth: np.ndarray, margins: np.ndarray) -> float:
    """The loss by which candidates are compared: log loss for classes, RMSE for numbers."""
    metric = "log_loss" if task.is_classification else "rmse"
    return score(metric, task, truth, predictions_from_margins(task, margins))
