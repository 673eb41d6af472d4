"""A small model learns from what the blend of the other candidates says of each row, and from the labels.

Knowledge distillation (Bucilă, Caruana & Niculescu-Mizil, KDD 2006; Hinton, Vinyals & Dean, arXiv 2015): the
teacher's chances of the classes, or its values, tell more of a noisy row than its label does. Here they are
mixed, and a row of two likely classes becomes two rows of the weights of both, so that every model can learn
from them.

With fold k held out the student sees nothing but fits that held out fold k as well, blended by what they
say of that fold: the rows by which candidates are compared reach it as they reach any candidate, through
early stopping and weights. The last fit learns from the mean of the folds' blends, on all rows. A teacher
fitted crosswise, so that no row's target comes from a fit that saw that row, takes many more fits and was
no better; nor were further rows, made by swapping columns between rows, that the teacher alone labels:
small trees have no leaves to spare for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from declarative_ml.core.task import Task
from declarative_ml.learning.dataset import Dataset
from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.learning.ensembling import blend, optimized_weights
from declarative_ml.learning.task import predictions_from_margins
from declarative_ml.models.base import Model, State, load_state
from declarative_ml.steps.context import StepContext, skip_reason
from declarative_ml.steps.members import held_out_by, tuned_model

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np

_BLOCK = 1 << 14
"""Rows that are looked at at a time."""
_LEAST = 0.005
"""A class that is less likely than this is not learned beside the label."""


@dataclass(frozen=True)
class _Teacher:
    """The candidates as one fold has them, and their shares of the blend."""

    models: Sequence[Model]
    states: Sequence[State]
    shares: Sequence[float]

    def margins(self, task: Task, data: Dataset) -> np.ndarray:
        """Of the blend: [rows, task.width]."""
        pairs = zip(self.models, self.states, strict=True)
        found = [model.predict(state, data, task) for model, state in pairs]
        return blend(task, found, self.shares)


def taught(context: StepContext, task: Task, train: Dataset, target: np.ndarray | DiskRows) -> Dataset | None:
    """The rows of `train` with what the teacher says of them mixed into their labels, in memory.

    `target` [all rows of the split]. Classes: up to twice as many rows, weighted. Numbers: as many, with
    other values. None where the time is up before all rows are looked at.
    """
    import numpy as np

    teachers = [_teacher(context, task, target, fold) for fold in _folds(context)]
    margins = []
    for number, block in enumerate(train.blocks(_BLOCK)):
        if context.is_late:
            return None
        context.progress(0.0, f"asking the other candidates · {number * _BLOCK:,} of {len(train):,} rows")
        margins.append(sum(teacher.margins(task, block) for teacher in teachers) / len(teachers))
    said = predictions_from_margins(task, np.concatenate(margins))
    return softened(task, train, said, context.params["share"])


def softened(task: Task, data: Dataset, said: np.ndarray, share: float) -> Dataset:
    """The rows of `data` with `share` of their target from the teacher, who said the chances of the classes
    [N, classes] or the values [N]; in memory.

    A row of classes keeps its label, and comes once more with the likeliest other class; both weigh as much
    as the mixture says. What it says of third classes is left out.
    """
    import numpy as np

    rows = np.arange(len(data))
    if not task.is_classification:
        target = share * said + (1.0 - share) * np.asarray(data.target)
        return replace(data.take(rows), target=target)
    label = np.asarray(data.target)
    own = 1.0 - share + share * said[rows, label]
    others = said.copy()
    others[rows, label] = -1.0
    second = others.argmax(axis=1)
    other = share * others[rows, second]
    doubtful = np.flatnonzero(other >= _LEAST)
    whole = data.take(np.concatenate([rows, doubtful]))
    weight = np.concatenate([own, other[doubtful]])
    if whole.weight is not None:
        weight = weight * whole.weight
    return replace(whole, target=np.concatenate([label, second[doubtful]]), weight=weight / weight.mean())


def _folds(context: StepContext) -> list[int]:
    """The folds whose fits this one may learn from: its own, or all of them for the last fit."""
    own = context.params["fold"]
    found: int = context.read("split", "split.json")["folds"]
    return [fold for fold in range(found) if _present(context, fold)] if own is None else [own]


def _present(context: StepContext, fold: int) -> dict[int, Path]:
    """The teachers that came through in this fold, by number."""
    count = len(context.params["teachers"])
    folders = {number: context.inputs[f"teacher{number}.fold{fold}"] for number in range(count)}
    return {number: folder for number, folder in folders.items() if skip_reason(folder) is None}


def _teacher(context: StepContext, task: Task, target: np.ndarray | DiskRows, fold: int) -> _Teacher:
    """The candidates that came through in this fold; of one that is not spared the first always does."""
    import numpy as np

    options = context.params["teachers"]
    present = _present(context, fold)
    numbers, folders = list(present), list(present.values())
    held_out = [np.load(folder / "validation.npy") for folder in folders]
    shares = optimized_weights(task, np.asarray(target[held_out_by(context, fold)]), held_out)
    used = [place for place, share in enumerate(shares) if share]
    return _Teacher(
        [tuned_model(context, options[numbers[place]], f"teacher{numbers[place]}.tune") for place in used],
        [load_state(folders[place] / "state.npz") for place in used],
        [float(shares[place]) for place in used],
    )
