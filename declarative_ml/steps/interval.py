"""Learn from the errors on held-out rows how wide the interval around each prediction must be.

interval.json   level, below, above, floor (see learning.conformal), rows, and options of the model of errors
state.npz       the model that predicts the root of the error's size, from the columns and the prediction
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from declarative_ml.core.atomic import write_json
from declarative_ml.core.errors import DataError
from declarative_ml.core.task import Task
from declarative_ml.learning.conformal import Bounds, effective_rows, fit_bounds, needed_rows
from declarative_ml.learning.dataset import Dataset, EncodedNames, Layout
from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.learning.ensembling import blend
from declarative_ml.models import MODELS
from declarative_ml.models.base import FitContext, Fitted, Model, State, Work, load_state, save_state
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.members import fold_roles, held_out_rows, out_of_fold
from declarative_ml.steps.train import open_prepared

if TYPE_CHECKING:
    import numpy as np

    from declarative_ml.graph.onnx_graph import OnnxGraph

PREDICTION = "//prediction"
"""The raw column that the model of errors has beside those of the table; no column can be called so."""
MOST_ROWS = 50_000
"""More held-out rows make the intervals no truer, and the fit longer."""
_PARTS = 5


@dataclass(frozen=True)
class Interval:
    """Everything that the graph needs to bound a prediction."""

    model: Model
    state: State
    bounds: Bounds

    def apply(self, data: Dataset, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Lower and upper ends [N] of the rows of `data`, around `prediction` [N] as the graph gives it."""
        seen = with_prediction(data, prediction)
        root = self.model.predict(self.state, seen, _task())[:, 0]
        return self.bounds.apply(prediction, root)

    def to_onnx(
        self, graph: OnnxGraph, names: EncodedNames, layout: Layout, prediction: str
    ) -> tuple[str, str]:
        """Add the ends [N, 1] of the tensor `prediction` [N, 1] to the graph."""
        raw = graph.concat([prediction] if names.raw is None else [names.raw, prediction])
        seen = replace(names, raw=raw)
        root = self.model.to_onnx(graph, self.state, seen, _with_column(layout), _task())
        return self.bounds.to_onnx(graph, prediction, root)


def load_interval(context: StepContext) -> Interval | None:
    """What the step of the input role `interval` learned; None without one."""
    if "interval" not in context.inputs:
        return None
    found = context.read("interval", "interval.json")
    state = load_state(context.inputs["interval"] / "state.npz")
    return Interval(MODELS.parse(found["model"]), state, Bounds.model_validate(found["bounds"]))


def run(context: StepContext) -> None:
    """Write the bounds and the model of errors."""
    import numpy as np

    task = Task.model_validate(context.read("split", "split.json")["task"])
    level = context.params["level"]
    rows = held_out_rows(context)
    margins = _held_out_margins(context, task)
    prepared = open_prepared(context)
    kept = np.arange(0 if margins is None else len(rows))
    if prepared.weight is not None:  # a row of weight 0 stands for none
        kept = np.flatnonzero(prepared.weight[rows[kept]] > 0)
    if len(kept) > MOST_ROWS:
        kept = kept[np.linspace(0, len(kept) - 1, MOST_ROWS).astype(np.int64)]
    taken = rows[kept]
    data = prepared.take(taken)
    _require_enough(level, data.weight, len(kept))
    assert margins is not None
    prediction = margins[kept, 0].astype(np.float32)
    residuals = np.asarray(data.target) - prediction.astype(np.float64)
    seen = replace(with_prediction(data, prediction), target=np.sqrt(np.abs(residuals)))
    model = _model(len(kept))
    root, work = _out_of_part(context, model, seen, _parts(context, taken))
    fitted = _fit(context, model, seen, None, 0.9, work)
    save_state(fitted.state, context.out / "state.npz")
    bounds = fit_bounds(level, residuals, root, data.weight)
    about = {"bounds": bounds.model_dump(mode="json"), "rows": len(kept), "model": model.options()}
    write_json(context.out / "interval.json", about)


def with_prediction(data: Dataset, prediction: np.ndarray) -> Dataset:
    """The rows with their `prediction` [N] as a further raw column."""
    import numpy as np

    column = np.asarray(prediction, dtype=np.float32)[:, None]
    return replace(data, layout=_with_column(data.layout), raw=np.concatenate([data.raw, column], axis=1))


def _with_column(layout: Layout) -> Layout:
    return layout.model_copy(update={"raw": (*layout.raw, PREDICTION)})


def _task() -> Task:
    return Task(target="root of the error", type="number")


def _require_enough(level: float, weight: np.ndarray | None, rows: int) -> None:
    """Raise DataError where the held-out rows cannot tell both ends."""
    found = rows if weight is None else effective_rows(weight)
    if found >= needed_rows(level):
        return
    count = str(rows) if weight is None else f"{rows}, whose weights make them count as {found:.1f}"
    raise DataError(
        f"an interval of {level:g} needs {needed_rows(level)} held-out rows, and there are {count}",
        hint="hold rows out by folds or validation under data.split, or ask for a lower interval",
    )


def _held_out_margins(context: StepContext, task: Task) -> np.ndarray | None:
    """The blend's predictions [held-out rows, 1], each by fits that have not seen the row."""
    count = len(context.params["names"])
    weights = [1.0] * count
    if "ensemble" in context.inputs:
        entries = context.read("ensemble", "ensemble.json")["members"][:count]
        weights = [float(entry["weight"]) for entry in entries]
    used = [(number, weight) for number, weight in enumerate(weights) if weight]
    folds = {number: fold_roles(context, number) for number, _ in used}
    if not all(folds.values()):
        return None
    margins = [out_of_fold(context, [context.inputs[role] for role in folds[number]]) for number, _ in used]
    return blend(task, margins, [weight for _, weight in used])


def _parts(context: StepContext, rows: np.ndarray) -> np.ndarray:
    """The part [N] of each row: its fold, which keeps groups together, or one of five in turn."""
    import numpy as np

    fold = DiskRows(context.inputs["split"] / "fold.npy")[rows]
    return fold if len(np.unique(fold)) > 1 else np.arange(len(rows)) % _PARTS


def _model(rows: int) -> Model:
    """Small trees: errors are noisy, and what they depend on is learned from few rows."""
    leaves = 8 if rows < 5_000 else 16
    options = {"learning_rate": 0.05, "num_leaves": leaves, "rounds": 1_000, "early_stopping": 50}
    return MODELS.parse({"type": "lightgbm", **options})


def _out_of_part(
    context: StepContext, model: Model, data: Dataset, parts: np.ndarray
) -> tuple[np.ndarray, Work]:
    """The expected roots [N], each by a fit that has not seen the row, and the work of a fit on all rows."""
    import numpy as np

    root = np.empty(len(data))
    works, rows = [], []
    numbers = np.unique(parts)
    for place, part in enumerate(numbers):
        held_out = np.flatnonzero(parts == part)
        train, validation = data.take(np.flatnonzero(parts != part)), data.take(held_out)
        fitted = _fit(context, model, train, validation, 0.9 * place / len(numbers))
        root[held_out] = model.predict(fitted.state, validation, _task())[:, 0]
        works.append(fitted.work)
        rows.append(len(train))
    return root, model.refit_work(works, round(sum(rows) / len(rows)), len(data))


def _fit(
    context: StepContext,
    model: Model,
    train: Dataset,
    validation: Dataset | None,
    done: float,
    work: Work | None = None,
) -> Fitted:
    fit = FitContext(
        task=_task(),
        seed=context.params["seed"],
        threads=context.threads,
        scratch=context.scratch,
        progress=lambda _, message: context.progress(done, f"expected errors · {message}"),
        work=work,
    )
    return model.fit(train, validation, fit)


def parity_of(interval: Interval, data: Dataset, outputs: dict[str, np.ndarray]) -> np.ndarray:
    """How far the graph's `lower` and `upper` are from those that were learned, around the graph's own
    `prediction`: [N], in the target's unit."""
    import numpy as np

    expected = interval.apply(data, outputs["prediction"])
    differences = [np.abs(outputs[name] - end) for name, end in zip(("lower", "upper"), expected)]
    worse: np.ndarray = np.maximum(*differences)
    return worse
