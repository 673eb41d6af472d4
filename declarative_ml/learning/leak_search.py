"""Columns that give the target away: known only after the fact, or the target in other words."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from declarative_ml.core.columns import raw_column
from declarative_ml.learning.leaks import ALMOST_ONE, Outcome

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MAX_ROWS = 50_000
LEAST_ROWS = 20
SHARE_OF_COEFFICIENT = 0.01
_FIRST_ROWS = 1_000
_CLOSE = 0.999


@dataclass(frozen=True)
class Leak:
    """Columns that tell the target, alone or together."""

    columns: tuple[str, ...]
    reason: str
    """Without the columns as subject where it is about one of them."""


def find_leaks(table: pa.Table, target: str, columns: list[str]) -> list[Leak]:
    """The leaks among `columns` of a sample of the data, typed.

    Looks for a column that tells the target alone, and for number columns that add up to it.
    """
    import numpy as np

    table = table.slice(0, MAX_ROWS).combine_chunks()
    present = table.column(target).is_valid()
    if _is_number(table.column(target)):
        present = np.asarray(~np.isnan(_numbers(table.column(target))))
    table = table.filter(present)
    if len(table) < LEAST_ROWS:
        return []
    truth, classes = _levels(table.column(target))
    outcome = Outcome(truth)
    codes = _numbers(table.column(target)) if _is_number(table.column(target)) else np.array(truth, float)
    leaks: list[Leak] = []
    rest: dict[str, np.ndarray] = {}
    for name in columns:
        if name == target:
            continue
        column = table.column(name)
        values = _numbers(column) if _is_number(column) else None
        if values is not None and _correlation(values, codes) > ALMOST_ONE:
            leaks.append(Leak((name,), f"it is the target '{target}' in other numbers"))
            continue
        reason = _told_by(column, outcome, target, classes)
        if reason is not None:
            leaks.append(Leak((name,), reason))
        elif values is not None:
            rest[name] = values
    if parts := _adds_up(rest, codes):
        leaks.append(Leak(tuple(parts), f"{' and '.join(parts)} together give the target '{target}'"))
    return leaks


def _told_by(column: pa.ChunkedArray, outcome: Outcome, target: str, classes: pa.Array) -> str | None:
    numbers, levels = _levels(column)
    if outcome.determined_by(numbers):
        return f"each of its values has one value of the target '{target}'"
    mark = outcome.marked_by(numbers)
    if mark is None:
        return None
    level, at = (_text(found, number) for found, number in zip((levels, classes), mark, strict=True))
    what = f"is {level}" if level else "is missing"
    return f"it {what} exactly where the target '{target}' is {at}"


def _levels(column: pa.ChunkedArray) -> tuple[list[int], pa.Array]:
    """A number for each value, equal where values are, and the values with these numbers; missing is one."""
    import pyarrow as pa
    import pyarrow.compute as pc

    values = column.combine_chunks()
    if pa.types.is_string(values.type):
        values = pc.fill_null(values, "")
    encoded = values.dictionary_encode(null_encoding="encode")
    return encoded.indices.to_pylist(), encoded.dictionary


def _text(levels: pa.Array, number: object) -> str:
    assert isinstance(number, int)
    found: str = raw_column(levels.slice(number, 1), "string")[0].as_py()
    return found


def _is_number(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(column.type) or pa.types.is_floating(column.type))


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    """The values as float64 [N], NaN where missing."""
    import numpy as np

    return np.asarray(column.cast("float64").fill_null(np.nan))


def _correlation(values: np.ndarray, outcome: np.ndarray) -> float:
    import numpy as np

    known = np.isfinite(values)
    values, outcome = values[known], outcome[known]
    if len(values) < LEAST_ROWS or np.ptp(values) == 0 or np.ptp(outcome) == 0:
        return 0.0
    return float(abs(_standard(values) @ _standard(outcome)) / len(values))


def _adds_up(numbers: dict[str, np.ndarray], outcome: np.ndarray) -> list[str]:
    """The number columns of which the target is a weighted sum, or none."""
    import numpy as np

    names = [name for name, values in numbers.items() if np.isfinite(values).all() and np.ptp(values) > 0]
    if len(names) < 2 or len(outcome) < 20 * len(names) or np.ptp(outcome) == 0:
        return []
    matrix = np.column_stack([_standard(numbers[name]) for name in names])
    centred = _standard(outcome)
    # The first rows acquit nearly every table, without a look at the others.
    first = max(_FIRST_ROWS, 20 * len(names))
    if _fitted(matrix[:first], centred[:first])[0] < _CLOSE:
        return []
    explained, weights = _fitted(matrix, centred)
    if explained < ALMOST_ONE:
        return []
    share = np.abs(weights) / np.abs(weights).sum()
    return [name for name, part in zip(names, share, strict=True) if part > SHARE_OF_COEFFICIENT]


def _standard(values: np.ndarray) -> np.ndarray:
    """With mean 0 and deviation 1. Scaled first: squares of float64 may lie beyond its range."""
    import numpy as np

    scaled = values / np.abs(values).max()
    found: np.ndarray = (scaled - scaled.mean()) / scaled.std()
    return found


def _fitted(matrix: np.ndarray, outcome: np.ndarray) -> tuple[float, np.ndarray]:
    """The share of the outcome's squares that a weighted sum of the columns explains, and the weights."""
    import numpy as np

    weights = np.linalg.lstsq(matrix, outcome, rcond=1e-8)[0]
    residual = outcome - matrix @ weights
    whole = float(outcome @ outcome)
    return (1.0 - float(residual @ residual) / whole if whole else 0.0), weights
