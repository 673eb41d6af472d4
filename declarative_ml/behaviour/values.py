"""Values that a spec gives, as the model takes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from declarative_ml.behaviour.base import Scalar, Subject
from declarative_ml.core.errors import DataError
from declarative_ml.store.bundle import Input

if TYPE_CHECKING:
    import numpy as np


def raw_column_of(subject: Subject, name: str, values: Sequence[Scalar]) -> np.ndarray:
    """The values as a raw column [n, 1] of the input `name`, which the model takes.

    Raises DataError naming the value that is not of the column's type.
    """
    from declarative_ml.scoring.parse import raw_values

    column = require_input(subject, name)
    found, misfits = raw_values(list(values), column.dtype, column.rule, subject.missing)
    if misfits:
        raise DataError(
            f"tests: {misfits[0][1]!r} is no value of '{name}', which holds {_KINDS[column.rule.type]}",
            hint="correct it, or write null where the value is not known",
        )
    return found


def require_input(subject: Subject, name: str) -> Input:
    """The column `name` of the model. Raises DataError when it takes none of that name."""
    column = subject.input(name)
    if column is None:
        known = ", ".join(item.name for item in subject.inputs[:20])
        raise DataError(f"tests: the model does not take the column '{name}'", hint=f"it takes {known}")
    return column


def class_index(subject: Subject, of_class: str | None) -> int:
    """The column of the probabilities. Raises DataError for an unknown class, and for number targets."""
    task = subject.task
    if not task.is_classification:
        raise DataError(
            f"tests: the number {task.target} has no probability", hint="write number: {min, max}"
        )
    if of_class is None:
        if task.positive is not None:
            return 1
        raise DataError(
            "tests: one of several classes is named: of_class", hint=f"of_class: {task.classes[0]}"
        )
    if of_class not in task.classes:
        hint = f"it knows {', '.join(task.classes[:10])}"
        raise DataError(f"tests: the model knows no class '{of_class}'", hint=hint)
    return task.classes.index(of_class)


_KINDS = {
    "integer": "whole numbers",
    "number": "numbers",
    "boolean": "true and false",
    "date": "dates",
    "text": "texts",
}
