"""Measure the ONNX file on the test rows, by metric, slice and interval, beside two baselines.

    metrics.json     metrics, intervals, baselines, slices, primary metric, threshold, row counts, and with
                     prediction intervals how many test rows they cover and how wide they are
    truth.npy prediction.npy rows.npy    the test rows, as steps.tested has them

Validation numbers are out-of-fold predictions of the fitted models: the shipped graph has learned from
those rows, so running it on them would flatter. Everything else comes from running the graph.

Rows and answers stay on disk: what is in memory does not grow with them.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.errors import DataError
from declarative_ml.core.task import Task
from declarative_ml.learning.baseline import baseline_prediction
from declarative_ml.learning.coverage import interval_quality
from declarative_ml.learning.disk_rows import DiskRows, write_rows
from declarative_ml.learning.intervals import intervals
from declarative_ml.learning.metric_names import METRICS, default_metric, default_metrics
from declarative_ml.learning.scores import Rows, parts, scores
from declarative_ml.scoring.session import open_session, run_graph, run_number_graph
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.divided import Chosen, chosen, of_part
from declarative_ml.steps.members import held_out_rows
from declarative_ml.steps.raw import answers
from declarative_ml.steps.slices import slices_of
from declarative_ml.steps.split import TEST

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

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
    test = Chosen(split, of_part(split, TEST))
    judge = _Judge(task, names, threshold, context.params["seed"], context.scratch)
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
    _validation(context, judge, result)
    context.progress(0.5, "test rows")
    truth = _copied(test.target, context.out / "truth.npy")
    _copied(test.positions, context.out / "rows.npy")
    path = context.out / "prediction.npy"
    if not len(test):
        np.save(path, np.zeros(0))
    else:
        prediction, ends = _answers(context, test, path)
        measured = judge.scores(truth, prediction)
        result["metrics"]["test"] = _finite(measured)
        result["intervals"]["test"] = judge.intervals(truth, prediction, names, measured)
        result["baselines"]["test"] = _baselines(context, judge, test, truth)
        result["slices"] = _slices(context, judge, test, truth, prediction)
        if ends is not None:
            result["interval"] = interval_quality(
                truth, *ends, assembly["interval"], seed=context.params["seed"], scratch=context.scratch
            )
    write_json(context.out / "metrics.json", result)


def _copied(rows: DiskRows, path: Path) -> DiskRows:
    """The rows as a file of their own."""
    return write_rows(path, len(rows), (rows[part] for part in (*parts(rows), slice(0, 0))))


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

    def __init__(self, task: Task, names: list[str], threshold: float, seed: int, scratch: Path) -> None:
        self.task, self.names, self.threshold = task, names, threshold
        self.seed, self.scratch = seed, scratch

    def scores(self, truth: Rows, prediction: Rows) -> dict[str, float]:
        """Metric -> value; NaN where these rows do not define it."""
        return scores(
            self.names, self.task, truth, prediction, threshold=self.threshold, scratch=self.scratch
        )

    def intervals(
        self, truth: Rows, prediction: Rows, names: list[str], known: Mapping[str, float]
    ) -> dict[str, list[float]]:
        """Metric -> 95 % interval, where defined, of metrics whose values are `known`."""
        found = intervals(
            names,
            self.task,
            truth,
            prediction,
            threshold=self.threshold,
            seed=self.seed,
            known=known,
            scratch=self.scratch,
        )
        return {name: list(bounds) for name, bounds in found.items() if all(map(math.isfinite, bounds))}


def _validation(context: StepContext, judge: _Judge, result: dict[str, Any]) -> None:
    path = context.inputs["assemble"] / "validation.npy"
    if not path.exists():
        return
    truth = Chosen(context.inputs["split"], held_out_rows(context)).target
    prediction = DiskRows(path)
    measured = judge.scores(truth, prediction)
    result["metrics"]["validation"] = _finite(measured)
    result["intervals"]["validation"] = judge.intervals(truth, prediction, judge.names[:1], measured)


def _answers(
    context: StepContext, rows: Chosen, path: Path
) -> tuple[DiskRows, tuple[DiskRows, DiskRows] | None]:
    """What the shipped graph says of rows of the table: predictions, which are written to `path`, and the
    ends of their intervals."""
    if context.read("assemble", "assembly.json")["interval"] is None:
        return _asked(context, "assemble", rows, run_graph, path), None

    def with_ends(session: Any, arrays: dict[str, np.ndarray]) -> np.ndarray:
        import numpy as np

        outputs = run_number_graph(session, arrays)
        return np.stack([outputs[name] for name in ("prediction", "lower", "upper")], axis=1)

    found = _asked(context, "assemble", rows, with_ends, context.scratch / "ends.npy")
    prediction, lower, upper = (
        write_rows(to, len(found), (found[part][:, column] for part in parts(found)))
        for column, to in enumerate((path, context.scratch / "lower.npy", context.scratch / "upper.npy"))
    )
    return prediction, (lower, upper)


def _asked(
    context: StepContext,
    role: str,
    rows: Chosen,
    ask: Callable[[Any, dict[str, np.ndarray]], np.ndarray],
    path: Path,
) -> DiskRows:
    """What the graph of an assemble artifact says of rows of the table, written to `path`."""
    session = open_session((context.inputs[role] / "model.onnx").read_bytes(), threads=context.threads)
    dtypes = {item["name"]: item["dtype"] for item in context.read(role, "assembly.json")["inputs"]}
    found = answers(context.inputs, rows, dtypes, lambda arrays: ask(session, arrays), context.scratch)
    return write_rows(path, len(rows), found)


def _baselines(
    context: StepContext, judge: _Judge, test: Chosen, truth: DiskRows
) -> dict[str, dict[str, float | None]]:
    import numpy as np

    fitted = DiskRows(test.split / "target.npy").view(chosen(test.split, lambda part, _: part != TEST))
    one = baseline_prediction(judge.task, fitted, 1)
    constant = np.broadcast_to(one, (len(truth), *one.shape[1:]))
    name = "majority" if judge.task.is_classification else "mean"
    found = {name: _finite(judge.scores(truth, constant))}
    if "baseline" in context.inputs:
        linear = _asked(context, "baseline", test, run_graph, context.scratch / "baseline.npy")
        found["linear"] = _finite(judge.scores(truth, linear))
    return found


def _slices(
    context: StepContext, judge: _Judge, test: Chosen, truth: DiskRows, prediction: DiskRows
) -> list[dict[str, Any]]:
    """Metrics of each slice of the test rows, with its size and the interval of the primary metric."""
    found = []
    wanted = context.params["slices"]
    for part in slices_of(context.inputs["table"], test, wanted, context.scratch, most=MAX_SLICES):
        rows = part.rows()
        if not len(rows):
            continue
        inside, answer = truth.view(rows), prediction.view(rows)
        measured, primary = judge.scores(inside, answer), judge.names[:1]
        ends = judge.intervals(inside, answer, primary, measured) if len(rows) >= SMALL_SLICE else {}
        found.append(
            {
                "slice": part.name,
                "rows": len(rows),
                "metrics": _finite(measured),
                "interval": ends.get(judge.names[0]),
            }
        )
    return found


def _finite(found: Mapping[str, float]) -> dict[str, float | None]:
    """JSON has no NaN: what is undefined is null."""
    return {name: value if math.isfinite(value) else None for name, value in found.items()}
