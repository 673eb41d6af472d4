"""Where the model fails: the segments of the test rows in which it is clearly worse than elsewhere.

segments.json   {"rows", "of", "columns", "compared", "least_rows", "loss", "bound", "segments", "contrasts",
                "bad_rows", "champion", "drift"}; see learning.failures. `of`: all test rows, of which `rows`
                were looked at; `drift`: the training rows against the champion's, or null

The rows are described by the columns that the model sees, as they came. Loss: the log loss of each row, or
the absolute error, both bounded (learning.row_losses).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from declarative_ml.core.atomic import write_json
from declarative_ml.core.task import Task
from declarative_ml.learning.conditions import RawColumn
from declarative_ml.learning.drift import compare
from declarative_ml.learning.failures import Judged, find_failures
from declarative_ml.learning.segments import MAX_ROWS
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.rival import find_rival
from declarative_ml.steps.table import read_rows
from declarative_ml.steps.tested import read_tested
from declarative_ml.store.bundle import Bundle

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

FILE = "segments.json"
Answers = Callable[["np.ndarray"], "np.ndarray"]
"""Rows of the table [N] -> probabilities [N, classes] in the order of the task's, or values [N]."""


def run(context: StepContext) -> None:
    """Write what was found, beside the champion where there is one that can be compared."""
    import numpy as np

    task = Task.model_validate(context.read("assemble", "assembly.json")["task"])
    rival = find_rival(context, task, np.zeros(0, dtype=np.int64))
    if not rival.exists or rival.unfit:
        write_findings(context)
        return

    def champion(rows: np.ndarray) -> np.ndarray:
        prediction = find_rival(context, task, rows).prediction
        assert prediction is not None  # it fits: that was asked above
        return prediction[:]

    write_findings(context, champion, Bundle.open(context.inputs["champion"]).reference())


def write_findings(
    context: StepContext, champion: Answers | None = None, reference: Mapping[str, Any] | None = None
) -> None:
    """Write the segments; with what a champion answers to the same rows, also those in which the model is
    worse than the champion; with the champion's reference.json, how far the training rows
    have moved from its."""
    task = Task.model_validate(context.read("assemble", "assembly.json")["task"])
    measured = context.read("evaluate", "metrics.json")
    tested = read_tested(context.inputs["evaluate"])
    found: dict[str, Any] = {"rows": 0, "of": len(tested), "segments": [], "contrasts": [], "champion": None}
    if len(tested):
        chosen = _sample(len(tested), context.params["seed"])
        rows = tested.rows[chosen]
        context.progress(0.1, f"searching {len(chosen):,} rows")
        judged = Judged(
            task=task,
            columns=raw_columns(context, rows),
            truth=tested.truth[chosen],
            prediction=tested.prediction[chosen],
            primary=measured["primary"],
            threshold=0.5 if measured["threshold"] is None else measured["threshold"],
            seed=context.params["seed"],
            champion=None if champion is None else champion(rows),
        )
        found |= find_failures(judged)
    context.progress(0.9, "writing what was found")
    found["drift"] = None
    if reference is not None:
        found["drift"] = asdict(compare(reference, context.read("prepare", "reference.json")))
    write_json(context.out / FILE, found)


def _sample(rows: int, seed: int) -> np.ndarray:
    """Positions of the rows to look at: all, or so many drawn at random that the search stays quick."""
    import numpy as np

    if rows <= MAX_ROWS:
        return np.arange(rows)
    return np.sort(np.random.default_rng(seed).choice(rows, MAX_ROWS, replace=False))


def raw_columns(context: StepContext, rows: np.ndarray) -> list[RawColumn]:
    """The columns that the model sees, of the given rows of the table, in the order of its inputs."""
    inputs = context.read("assemble", "assembly.json")["inputs"]
    table = read_rows(context.inputs["table"], rows, [item["name"] for item in inputs]).combine_chunks()
    return [_column(item, table.column(item["name"]).combine_chunks()) for item in inputs]


def _column(described: Mapping[str, Any], values: pa.Array) -> RawColumn:
    """The column as conditions see it: a number, days, a level, or the length of a text."""
    import numpy as np

    from declarative_ml.core.columns import raw_column

    name, feature = described["name"], described["feature"]
    if described["dtype"] == "float32":
        numbers = raw_column(values, "float32").to_numpy(zero_copy_only=False)
        return RawColumn(name, "number", _shortest(numbers))
    raw = raw_column(values, "string")
    if feature == "date":
        from declarative_ml.learning.iso_dates import date_parts

        parts, known = date_parts(raw)
        return RawColumn(name, "date", np.where(known, parts[:, 0], np.nan))
    texts = np.asarray(raw.to_pylist(), dtype=object)
    if feature == "text":
        lengths = np.array([float(len(text)) if text else np.nan for text in texts])
        return RawColumn(name, "length", lengths, texts)
    return RawColumn(name, "category", texts)


def _shortest(numbers: np.ndarray) -> np.ndarray:
    """float32 as the float64 with the same shortest decimals: 29.85, not 29.850000381."""
    import numpy as np

    distinct, places = np.unique(numbers, return_inverse=True)
    return np.array([float(str(value)) for value in distinct])[places]
