"""Measure the ONNX file on the test rows, by metric, slice and interval, beside two baselines.

    metrics.json     metrics, intervals, baselines, slices, primary metric, threshold, row counts, and with
                     prediction intervals how many test rows they cover and how wide they are
    test.npz         truth, prediction, rows (positions in the table)

Validation numbers are out-of-fold predictions of the fitted models: the shipped graph has learned from
those rows, so running it on them would flatter. Everything else comes from running the graph.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.errors import DataError
from declarative_ml.core.task import Task
from declarative_ml.learning.baseline import baseline_prediction
from declarative_ml.learning.coverage import interval_quality
from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.learning.intervals import intervals
from declarative_ml.learning.metric_names import METRICS, default_metric, default_metrics
from declarative_ml.learning.metrics import score
from declarative_ml.scoring.session import open_session, run_graph, run_number_graph
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.divided import chosen, in_table, of_part
from declarative_ml.steps.members import held_out_rows
from declarative_ml.steps.raw import answers
from declarative_ml.steps.slices import slice_masks
from declarative_ml.steps.split import TEST

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np

MAX_SLICES = 50
"""Values of one slice column that are shown, the most frequent first."""
SMALL_SLICE = 2


def run(context: StepContext) -> None:
    """Write the metrics."""
    import numpy as np

    assembly = context.read("assemble", "assembly.json")
    task = Task.model_validate(assembly["task"])
    threshold = 0.5 if assembly["threshold"] is None else assembly["threshold"]
    names = metric_names(task, context.params["metric"], context.params["metrics"])
    split = context.inputs["split"]
    test, target = of_part(split, TEST), DiskRows(split / "target.npy")
    judge = _Judge(task, names, threshold, context.params["seed"])
    context.progress(0.1, "validation rows")
    result: dict[str, Any] = {
        "primary": names[0],
        "threshold": assembly["threshold"],
        "rows": context.read("split", "split.json")["rows"],
        "metrics": {},
        "intervals": {},
        "baselines": {},
        "slices": [],
        "interval": None,
    }
    _validation(context, judge, target, result)
    rows, truth = in_table(split, test[:]), target[test]
    context.progress(0.5, "test rows")
    prediction = np.zeros(0)
    if len(rows):
        prediction, ends = _answers(context, rows)
        fitted = target.view(chosen(split, lambda part, _: part != TEST))
        result["metrics"]["test"] = judge.scores(truth, prediction)
        result["intervals"]["test"] = judge.intervals(truth, prediction)
        result["baselines"]["test"] = _baselines(context, judge, rows, truth, fitted)
        result["slices"] = _slices(context, judge, rows, truth, prediction)
        if ends is not None:
            seed = context.params["seed"]
            result["interval"] = interval_quality(truth, *ends, assembly["interval"], seed=seed)
    np.savez(context.out / "test.npz", truth=truth, prediction=prediction, rows=rows)
    write_json(context.out / "metrics.json", result)


def metric_names(task: Task, primary: str | None, more: list[str]) -> list[str]:
    """The metrics to compute: the primary one, those asked for, then all others of the task.

    Raises DataError for a metric that does not apply to the task.
    """
    names = list(dict.fromkeys([primary or default_metric(task), *more, *default_metrics(task)]))
    for name in names:
        if task.type not in METRICS[name].tasks:
            raise DataError(
                f"the metric {name!r} does not apply to the {task.type} target {task.target!r}",
                hint=f"use one of {', '.join(default_metrics(task))}",
            )
    return names


class _Judge:
    """Scores with one set of metrics, one threshold and one seed."""

    def __init__(self, task: Task, names: list[str], threshold: float, seed: int) -> None:
        self.task, self.names, self.threshold, self.seed = task, names, threshold, seed

    def scores(self, truth: np.ndarray, prediction: np.ndarray) -> dict[str, float | None]:
        """Metric -> value; None where these rows do not define it."""
        found = {
            name: score(name, self.task, truth, prediction, threshold=self.threshold) for name in self.names
        }
        return {name: _finite(value) for name, value in found.items()}

    def interval(self, name: str, truth: np.ndarray, prediction: np.ndarray) -> list[float] | None:
        """The 95 % interval of one metric, or None where it is undefined."""
        return self.intervals(truth, prediction, [name]).get(name)

    def intervals(
        self, truth: np.ndarray, prediction: np.ndarray, names: list[str] | None = None
    ) -> dict[str, list[float]]:
        """Metric -> 95 % interval, where defined."""
        names = self.names if names is None else names
        found = intervals(names, self.task, truth, prediction, threshold=self.threshold, seed=self.seed)
        return {name: list(bounds) for name, bounds in found.items() if all(map(math.isfinite, bounds))}


def _validation(context: StepContext, judge: _Judge, target: DiskRows, result: dict[str, Any]) -> None:
    import numpy as np

    path = context.inputs["assemble"] / "validation.npy"
    if not path.exists():
        return
    truth, prediction = target[held_out_rows(context)], np.load(path)
    result["metrics"]["validation"] = judge.scores(truth, prediction)
    primary = judge.interval(judge.names[0], truth, prediction)
    result["intervals"]["validation"] = {} if primary is None else {judge.names[0]: primary}


def _answers(
    context: StepContext, rows: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray] | None]:
    """What the shipped graph says of rows of the table: predictions, and the ends of their intervals."""
    if context.read("assemble", "assembly.json")["interval"] is None:
        return _asked(context, "assemble", rows, run_graph), None

    def with_ends(session: Any, arrays: dict[str, np.ndarray]) -> np.ndarray:
        import numpy as np

        outputs = run_number_graph(session, arrays)
        return np.stack([outputs[name] for name in ("prediction", "lower", "upper")], axis=1)

    found = _asked(context, "assemble", rows, with_ends)
    return found[:, 0], (found[:, 1], found[:, 2])


def _asked(
    context: StepContext, role: str, rows: np.ndarray, ask: Callable[[Any, dict[str, np.ndarray]], np.ndarray]
) -> np.ndarray:
    """What the graph of an assemble artifact says of rows of the table."""
    session = open_session((context.inputs[role] / "model.onnx").read_bytes(), threads=context.threads)
    dtypes = {item["name"]: item["dtype"] for item in context.read(role, "assembly.json")["inputs"]}
    return answers(context.inputs, rows, dtypes, lambda arrays: ask(session, arrays), context.scratch)


def _baselines(
    context: StepContext, judge: _Judge, rows: np.ndarray, truth: np.ndarray, fitted: DiskRows
) -> dict[str, dict[str, float | None]]:
    constant = baseline_prediction(judge.task, fitted, len(truth))
    found = {"majority" if judge.task.is_classification else "mean": judge.scores(truth, constant)}
    if "baseline" in context.inputs:
        found["linear"] = judge.scores(truth, _asked(context, "baseline", rows, run_graph))
    return found


def _slices(
    context: StepContext, judge: _Judge, rows: np.ndarray, truth: np.ndarray, prediction: np.ndarray
) -> list[dict[str, Any]]:
    """Metrics of each slice of the test rows, with its size and the interval of the primary metric."""
    found = []
    masks = slice_masks(context.inputs["table"], rows, context.params["slices"], most=MAX_SLICES)
    for name, mask in masks:
        if not mask.any():
            continue
        inside, answer = truth[mask], prediction[mask]
        found.append(
            {
                "slice": name,
                "rows": int(mask.sum()),
                "metrics": judge.scores(inside, answer),
                "interval": judge.interval(judge.names[0], inside, answer)
                if len(inside) >= SMALL_SLICE
                else None,
            }
        )
    return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
