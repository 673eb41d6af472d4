"""Columns that give the target away: known only after the fact, or the target in other words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from declarative_ml.core.columns import raw_column

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

ALMOST_ONE = 0.9999
MAX_ROWS = 50_000
SUSPICIOUS_LEVELS = 50
SHARE_OF_COEFFICIENT = 0.01


def find_leaks(table: pa.Table, target: str, columns: list[str]) -> dict[str, str]:
    """Column -> why it looks like a leak, among `columns` of a sample of the data.

    Looks for a column that determines the target alone, and for columns that add up to it.
    """
    import numpy as np

    table = table.slice(0, MAX_ROWS).combine_chunks()
    present = ~np.asarray(table.column(target).is_null(nan_is_null=True))
    columns = [name for name in columns if name != target]
    if present.sum() < 20:
        return {}
    outcome = _outcome(table.column(target))[present]
    leaks: dict[str, str] = {}
    numbers: dict[str, np.ndarray] = {}
    for name in columns:
        column = table.column(name)
        if _is_number(column):
            values = np.asarray(raw_column(column.combine_chunks(), "float32"), dtype=np.float64)[present]
            numbers[name] = values
            if _correlation(values, outcome) > ALMOST_ONE:
                leaks[name] = f"LEAK: it is the target '{target}' in other numbers"
        elif _determines(column, outcome, present):
            leaks[name] = f"LEAK: each of its values has one value of the target '{target}'"
    rest = {name: values for name, values in numbers.items() if name not in leaks}
    parts = _adds_up(rest, outcome)
    leaks |= {name: f"LEAK: {' and '.join(parts)} together give the target '{target}'" for name in parts}
    return leaks


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


def _determines(column: pa.ChunkedArray, outcome: np.ndarray, present: np.ndarray) -> bool:
    """Whether a column of few levels fixes the target on every row, with several rows a level."""
    import numpy as np

    codes = np.asarray(raw_column(column.combine_chunks(), "string").dictionary_encode().indices)[present]
    levels = np.unique(codes)
    if not 2 <= len(levels) <= min(SUSPICIOUS_LEVELS, len(codes) // 10):
        return False
    low = np.full(codes.max() + 1, np.inf)
    high = np.full(codes.max() + 1, -np.inf)
    np.minimum.at(low, codes, outcome)
    np.maximum.at(high, codes, outcome)
    return bool((low[levels] == high[levels]).all())


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
