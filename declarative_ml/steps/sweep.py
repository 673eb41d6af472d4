"""The proof that columns push the prediction of the shipped graph one way only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import StepFailed
from declarative_ml.core.task import Task
from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.learning.monotone import reversal, sweep_values
from declarative_ml.scoring.session import run_graph
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.directions import monotone_columns
from declarative_ml.steps.raw import Column, raw_inputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np

ROWS = 100
"""Rows that are swept over every constrained column."""
POINTS = 50
"""Values of the column that each row is tried with."""
TOLERANCE = 1e-6
"""Largest step the wrong way: of a probability, or of a number relative to the spread and size of the
predictions (float32 rounding). Trees that keep the direction add up without any."""


def prove_monotone(
    context: StepContext, session: Any, task: Task, columns: list[Column]
) -> list[dict[str, Any]]:
    """Sweep the graph over the range of every constrained column, other columns as in rows of the table.

    One entry a column: column, direction, rows, points, and the worst step the wrong way with the tolerance
    that it was held against, both in the unit of TOLERANCE. Raises StepFailed above the tolerance.
    """
    import numpy as np

    wanted = monotone_columns({column.name: column.feature.options() for column in columns})
    if not wanted:
        return []
    check = np.load(context.inputs["prepare"] / "check.npy")
    order = DiskRows(context.inputs["split"] / "order.npy")[check]
    observed = raw_inputs(context.inputs, order, columns)
    found = []
    for column in columns:
        if column.name not in wanted:
            continue
        values = _values(column, observed[column.name])
        entry = {"column": column.name, "direction": wanted[column.name], "points": len(values)}
        rows = {name: given[:ROWS] for name, given in observed.items()}
        predictions = swept(session, task, rows, column.name, values)
        steps = reversal(predictions, wanted[column.name]) / _unit(task, predictions)
        _require_monotone(entry, steps, order)
        found.append({**entry, "rows": len(steps), "worst": float(steps.max()), "tolerance": TOLERANCE})
    return found


def swept(
    session: Any, task: Task, rows: Mapping[str, np.ndarray], name: str, values: np.ndarray
) -> np.ndarray:
    """The predictions [n, points] of `rows` (columns [n, 1]), the column `name` set to each of `values`:
    the probability of the positive class, or the number."""
    import numpy as np

    count, points = len(rows[name]), len(values)
    inputs = {column: np.repeat(given, points, axis=0) for column, given in rows.items()}
    inputs[name] = np.tile(values, count)[:, None].astype(rows[name].dtype)
    answer = run_graph(session, inputs)
    flat = answer[:, 1] if task.type == "binary" else answer
    return flat.reshape(count, points)


def _values(column: Column, observed: np.ndarray) -> np.ndarray:
    """The values to try, ascending: numbers as float32, dates as ISO texts."""
    import numpy as np

    ends = [end for end in (column.state["min"], column.state["max"]) if end is not None]
    if column.feature.raw_dtype == "string":
        return _dates(observed[:, 0], ends, with_time=column.state["has_time"])
    present = np.concatenate([observed[np.isfinite(observed)], np.asarray(ends, dtype=np.float32)])
    return sweep_values(present if len(present) else np.zeros(1), POINTS)


def _dates(observed: np.ndarray, ends: list[float], *, with_time: bool) -> np.ndarray:
    import numpy as np
    import pyarrow as pa

    from declarative_ml.learning.iso_dates import date_parts, iso_from_days

    parts, known = date_parts(pa.array(observed, type=pa.string()))
    days = np.concatenate([parts[known, 0], ends]) if len(ends) or known.any() else np.zeros(1)
    # Days come first: as float32 they would lose the time of day.
    places = np.linspace(0, len(days) - 1, min(POINTS, len(days))).round().astype(np.int64)
    texts = {iso_from_days(day, with_time=with_time) for day in np.sort(days)[places]}
    return np.array(sorted(texts), dtype=object)


def _unit(task: Task, predictions: np.ndarray) -> float:
    import numpy as np

    return float(np.std(predictions) + np.abs(predictions).mean()) or 1.0 if task.type == "number" else 1.0


def _require_monotone(entry: Mapping[str, Any], steps: np.ndarray, order: np.ndarray) -> None:
    worst = int(steps.argmax())
    if not steps[worst] <= TOLERANCE:
        raise StepFailed(
            f"the prediction is not {entry['direction']} in {entry['column']!r}: it goes the wrong way by "
            f"{steps[worst]:.2g} (allowed {TOLERANCE:.0e}), first at row {int(order[worst])}",
            hint="a model does not keep the direction, which is a bug of declarative-ml: please report it",
        )
