"""Columns that give the target away: known only after the fact, or the target in other words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from declarative_ml.core.columns import raw_column
from declarative_ml.learning.leaks import ALMOST_ONE, Outcome

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

MAX_ROWS = 50_000
SHARE_OF_COEFFICIENT = 0.01


def find_leaks(table: pa.Table, target: str, columns: list[str]) -> dict[str, str]:
    """Column -> why it looks like a leak, among `columns` of a sample of the data.

    Looks for a column that tells the target alone, and for number columns that add up to it.
    """
    import numpy as np

    table = table.slice(0, MAX_ROWS).combine_chunks()
    present = ~np.asarray(table.column(target).is_null(nan_is_null=True))
    if present.sum() < 20:
        return {}
    codes = _outcome(table.column(target))[present]
    outcome = Outcome(_texts(table.column(target).filter(present)))
    leaks: dict[str, str] = {}
    numbers: dict[str, np.ndarray] = {}
    for name in columns:
        if name == target:
            continue
        column = table.column(name).filter(present)
        if _is_number(column):
            values = np.asarray(raw_column(column.combine_chunks(), "float32"), dtype=np.float64)
            numbers[name] = values
            if _correlation(values, codes) > ALMOST_ONE:
                leaks[name] = f"LEAK: it is the target '{target}' in other numbers"
                continue
        reason = _told_by(_texts(column), outcome, target)
        if reason is not None:
            leaks[name] = f"LEAK: {reason}"
    rest = {name: values for name, values in numbers.items() if name not in leaks}
    parts = _adds_up(rest, codes)
    leaks |= {name: f"LEAK: {' and '.join(parts)} together give the target '{target}'" for name in parts}
    return leaks


def _told_by(levels: list[str], outcome: Outcome, target: str) -> str | None:
    if outcome.determined_by(levels):
        return f"each of its values has one value of the target '{target}'"
    mark = outcome.marked_by(levels)
    if mark is None:
        return None
    what = "is missing" if mark[0] == "" else f"is {mark[0]}"
    return f"it {what} exactly where the target '{target}' is {mark[1]}"


def _texts(column: pa.ChunkedArray) -> list[str]:
    """The values as texts; missing is ""."""
    texts: list[str] = raw_column(column.combine_chunks(), "string").to_pylist()
    return texts


def _is_number(column: pa.ChunkedArray) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_integer(column.type) or pa.types.is_floating(column.type))


def _outcome(column: pa.ChunkedArray) -> np.ndarray:
    """The target as numbers: itself, or class numbers in order of appearance."""
    import numpy as np

    if _is_number(column):
        return np.asarray(column.cast("float64").fill_null(np.nan))
    codes = raw_column(column.combine_chunks(), "string").dictionary_encode().indices
    return np.asarray(codes, dtype=np.float64)


def _correlation(values: np.ndarray, outcome: np.ndarray) -> float:
    import numpy as np

    known = np.isfinite(values)
    if known.sum() < 20 or np.ptp(values[known]) == 0 or np.ptp(outcome[known]) == 0:
        return 0.0
    return float(abs(np.corrcoef(values[known], outcome[known])[0, 1]))


def _adds_up(numbers: dict[str, np.ndarray], outcome: np.ndarray) -> list[str]:
    """The number columns of which the target is a weighted sum, or none."""
    import numpy as np

    names = [name for name, values in numbers.items() if np.isfinite(values).all() and np.ptp(values) > 0]
    if len(names) < 2 or len(outcome) < 20 * len(names) or np.ptp(outcome) == 0:
        return []
    matrix = np.column_stack([(numbers[name] - numbers[name].mean()) / numbers[name].std() for name in names])
    centred = (outcome - outcome.mean()) / outcome.std()
    weights = np.linalg.lstsq(matrix, centred, rcond=1e-8)[0]
    residual = centred - matrix @ weights
    if 1.0 - float(residual @ residual) / float(centred @ centred) < ALMOST_ONE:
        return []
    share = np.abs(weights) / np.abs(weights).sum()
    return [name for name, part in zip(names, share, strict=True) if part > SHARE_OF_COEFFICIENT]
