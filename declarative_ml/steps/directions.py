"""Columns that may push the prediction one way only: which they are, and what a fit is told of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from declarative_ml.core.errors import DataError
from declarative_ml.core.task import Task
from declarative_ml.features import FEATURES
from declarative_ml.learning.monotone import SIGNS, Direction
from declarative_ml.steps.context import StepContext


def require_order(task: Task, columns: Sequence[str]) -> None:
    """Raise DataError where `columns` are to be monotone and the target has several classes."""
    if columns and task.type == "multiclass":
        raise DataError(
            f"the column {columns[0]!r} cannot be monotone: the target {task.target!r} has "
            f"{len(task.classes)} classes, and what makes one more probable makes others less",
            hint="delete 'monotone', or predict one class against the rest",
        )


def monotone_columns(options: Mapping[str, Mapping[str, Any]]) -> dict[str, Direction]:
    """Column -> direction, of the features (column -> options) that have one."""
    found = {name: fields.get("monotone") for name, fields in options.items()}
    return {name: direction for name, direction in found.items() if direction is not None}


def fit_directions(context: StepContext) -> dict[str, int]:
    """What `FitContext.monotone` is to be, from the input `prepare`."""
    found: dict[str, int] = {}
    for item in context.read("prepare", "encoding.json")["features"]:
        direction: Direction | None = item["options"].get("monotone")
        if direction is not None:
            layout = FEATURES.parse(item["options"]).layout(item["name"], item["state"])
            found |= dict.fromkeys(layout.raw, SIGNS[direction])
    return found
