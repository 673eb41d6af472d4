"""Fit one model once: on a fold, or for good.

state.npz        the fitted parameters
train.json       work done, learning curve, rows, validation loss
validation.npy   margins of the rows held out (folds only), in split order
check.npy        margins of the rows on which the graph's parity will be proven
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.task import Task
from declarative_ml.learning.dataset import Dataset, Layout, open_dataset
from declarative_ml.learning.selection import Selection
from declarative_ml.models import MODELS
from declarative_ml.models.base import FitContext, Fitted, Model, Work, save_state
from declarative_ml.steps.context import SKIPPED, StepContext
from declarative_ml.steps.directions import fit_directions
from declarative_ml.steps.divided import chosen
from declarative_ml.steps.members import held_out_by, left_out_reason, tuned_model
from declarative_ml.steps.split import TEST, TRAIN
from declarative_ml.steps.teacher import taught

if TYPE_CHECKING:
    import numpy as np

_BLOCK = 1 << 16
"""Rows that are predicted at a time."""


def run(context: StepContext) -> None:
    """Fit, or leave a reason why there is nothing to fit."""
    reason = guard(context)
    if reason is not None:
        write_json(context.out / SKIPPED, {"reason": reason})
        return
    if context.is_late and _has_folds(context):
        context.cut_short()
        _ship_the_folds(context)
        return
    split = context.read("split", "split.json")
    task = Task.model_validate(split["task"])
    model = tuned_model(context, context.params["model"], "tune")
    data = open_prepared(context)
    fitted_rows, held_out = rows_of(context, context.params["fold"])
    labelled = learned_from(context, task, data, fitted_rows)
    train = taught(context, task, labelled, data.target) if "teachers" in context.params else labelled
    if train is None:
        context.cut_short()
        write_json(context.out / SKIPPED, {"reason": "the time is up"})
        return
    rows = len(labelled)
    validation = data.view(held_out) if len(held_out) else None
    fitted = model.fit(train, validation, _fit_context(context, model, task, rows))
    if fitted.cut:
        context.cut_short()
        if _has_folds(context):
            _ship_the_folds(context)
            return
        context.pin({"stopped_after": fitted.stopped_after})
    if fitted.hurried is not None:
        context.cut_short()
        context.pin({"hurried": fitted.hurried})
    context.progress(1.0, "saving")
    _save(context, model, task, data, fitted, rows, held_out)


def _has_folds(context: StepContext) -> bool:
    return bool(context.roles("fold"))


def _ship_the_folds(context: StepContext) -> None:
    """A refit that stops early would be worse than the fits of the folds, which are there."""
    write_json(context.out / SKIPPED, {"reason": "the time is up: the models of the folds ship instead"})


def guard(context: StepContext) -> str | None:
    """Why this fit is not needed or not possible, if so."""
    fold, folds = context.params["fold"], context.read("split", "split.json")["folds"]
    absent = context.absent_library(MODELS.load(context.params["model"]["type"]).libraries)
    if absent is not None:
        return absent
    if "ensemble" in context.inputs:
        left_out = left_out_reason(context.read("ensemble", "ensemble.json"), context.params["name"])
        if left_out is not None:
            return left_out
    if fold is not None:
        if folds == 0:
            return "no rows are held out"
        return f"the split has {folds} fold(s)" if fold >= folds else None
    return None if context.params["refit"] or folds == 0 else "refit is off: the fold's model ships"


def open_prepared(context: StepContext) -> Dataset:
    """All rows, in the order of the split."""
    import numpy as np

    layout = Layout.model_validate(context.read("prepare", "encoding.json")["layout"])
    data, groups = open_dataset(context.inputs["prepare"], layout), context.inputs["split"] / "group.npy"
    return replace(data, unit=np.load(groups)) if groups.exists() else data


def learned_from(context: StepContext, task: Task, data: Dataset, rows: Selection) -> Dataset:
    """The training rows at `rows`, weighted or drawn again as `imbalance` asks."""
    import numpy as np

    imbalance = context.params["imbalance"] if task.is_classification else "none"
    taken = sampled(rows, context.params.get("rows"))
    if imbalance == "oversample":
        return _weighted(drawn_again(data, np.asarray(taken), context.params["seed"]), task, imbalance)
    return _weighted(data.view(taken), task, imbalance)


def sampled(rows: Selection, most: int | None) -> np.ndarray | Selection:
    """At most so many of the rows, which are in the order of their hashes: every so-many-th of them."""
    import numpy as np

    if most is None or len(rows) <= most:
        return rows
    return rows[np.arange(most) * len(rows) // most]


def _weighted(data: Dataset, task: Task, imbalance: str) -> Dataset:
    """Row weights with mean one; classes count the same when the spec asks for it."""
    import numpy as np

    if imbalance != "weights":
        weight = None if data.weight is None else data.weight / data.weight.mean()
        return replace(data, weight=weight)
    target = np.asarray(data.target)
    counts = np.bincount(target, minlength=len(task.classes)).astype(np.float64)
    balance = (counts.sum() / (len(counts) * np.maximum(counts, 1.0)))[target]
    weight = balance if data.weight is None else data.weight * balance
    return replace(data, weight=weight / weight.mean())


def drawn_again(data: Dataset, rows: np.ndarray, seed: int) -> Dataset:
    """The rows at `rows`, those of rarer classes several times; copies of a row are of one unit."""
    drawn = oversampled(rows, data.target[rows], seed)
    found = data.take(drawn)
    return found if found.unit is not None else replace(found, unit=drawn)


def oversampled(rows: np.ndarray, classes: np.ndarray, seed: int) -> np.ndarray:
    """All `rows`, and more of the rarer classes, drawn with replacement until all classes are as frequent.

    `classes` [N] are the codes of the rows' classes. A class without a row stays without.
    """
    import numpy as np

    random = np.random.default_rng([seed, 1])
    counts = np.bincount(classes)
    drawn = [
        random.choice(rows[classes == code], counts.max() - count)
        for code, count in enumerate(counts.tolist())
        if count
    ]
    return np.concatenate([rows, *drawn])


def rows_of(context: StepContext, number: int | None) -> tuple[Selection, Selection]:
    """Positions of the rows to fit on with fold `number` held out (None: on all), and of those held out."""
    split = context.inputs["split"]
    if number is None:
        return chosen(split, lambda part, _: part != TEST), chosen(split, lambda part, _: part > TEST)
    fitted = chosen(split, lambda part, fold: (part == TRAIN) & (fold != number))
    return fitted, held_out_by(context, number)


def _fit_context(context: StepContext, model: Model, task: Task, rows: int) -> FitContext:
    return FitContext(
        task=task,
        seed=context.params["seed"],
        threads=context.threads,
        processes=context.params.get("processes", 1),
        scratch=context.scratch,
        progress=context.progress,
        work=_work(context, model, rows),
        deadline=context.deadline,
        memory=context.memory,
        hurries=True,
        stop_after=context.pinned.get("stopped_after"),
        hurried=context.pinned.get("hurried"),
        monotone=fit_directions(context) if model.monotone else {},
    )


def _work(context: StepContext, model: Model, rows: int) -> Work | None:
    """The work that the folds' early stopping chose, for a refit; None where nothing was held out."""
    folds = [context.read(role, "train.json") for role in context.roles("fold")]
    if not folds:
        return None
    mean_rows = round(sum(fold["rows"] for fold in folds) / len(folds))
    return model.refit_work([fold["work"] for fold in folds], mean_rows, rows)


def _save(
    context: StepContext,
    model: Model,
    task: Task,
    data: Dataset,
    fitted: Fitted,
    rows: int,
    held_out: Selection,
) -> None:
    import numpy as np

    check = np.load(context.inputs["prepare"] / "check.npy")
    save_state(fitted.state, context.out / "state.npz")
    np.save(context.out / "check.npy", model.predict(fitted.state, data.take(check), task))
    summary: dict[str, Any] = {
        "work": fitted.work,
        "curve": fitted.curve,
        "cut": fitted.cut,
        "hurried": fitted.hurried,
        "rows": rows,
        "importance": model.importance(fitted.state, data.layout),
    }
    if len(held_out):
        margins = [model.predict(fitted.state, block, task) for block in data.view(held_out).blocks(_BLOCK)]
        np.save(context.out / "validation.npy", np.concatenate(margins))
    write_json(context.out / "train.json", summary)
