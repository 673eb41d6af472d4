"""Columns of plain values from the tables of any library, none of which has to be installed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from declarative_ml.core.errors import DataError


def plain_columns(table: Any, names: Sequence[str]) -> Mapping[str, Sequence[Any]]:
    """The columns of whatever `table` is, each a list of plain values with None for missing.

    `names` are those that are wanted: what an array's columns are called, and what every row of a list of
    mappings must have. A mapping or an Arrow table is taken whole. Raises DataError for what is no table.
    """
    if isinstance(table, np.ndarray):
        return _of_array(table, names)
    if isinstance(table, Mapping):
        if single := [name for name, column in table.items() if not is_list(column)]:
            raise DataError(
                f"the column {single[0]!r} is {table[single[0]]!r}, not a list of values",
                hint="Give every column a list, or one row as a list of one dict.",
            )
        return {str(name): _values(column) for name, column in table.items()}
    if isinstance(table, Sequence) and not isinstance(table, (str, bytes)):
        return _of_rows(table, names)
    if hasattr(table, "column_names") and hasattr(table, "to_pydict"):  # pyarrow.Table
        return dict(zip(table.column_names, (column.to_pylist() for column in table.columns)))
    if hasattr(table, "schema") and hasattr(table, "to_pydict"):  # pyarrow.RecordBatch
        return dict(zip(table.schema.names, (column.to_pylist() for column in table.columns)))
    if hasattr(table, "columns") and hasattr(table, "__getitem__"):  # pandas, polars
        return _of_frame(table, names)
    raise DataError(
        f"a {type(table).__name__} is no table",
        hint="Give a DataFrame, an Arrow table, a dict of columns, a list of dicts or a 2-D array.",
    )


def _of_frame(table: Any, wanted: Sequence[str]) -> dict[str, Sequence[Any]]:
    names = [name for name in table.columns if str(name) in wanted]
    require_single([str(name) for name in names])
    return {str(name): _values(table[name]) for name in names}


def require_single(names: Sequence[str]) -> None:
    """Raise DataError where several columns have one name."""
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(
            f"the table has several columns called {', '.join(map(repr, twice))}",
            hint="Give each column a name of its own.",
        )


def _of_array(table: np.ndarray, names: Sequence[str]) -> dict[str, Sequence[Any]]:
    if table.ndim != 2:
        raise DataError(
            f"the array has {table.ndim} dimension(s), not 2: rows and columns",
            hint="One row is X.reshape(1, -1).",
        )
    if table.shape[1] != len(names):
        raise DataError(
            f"the array has {table.shape[1]} columns, the model takes {len(names)}",
            hint=f"In this order: {', '.join(names)}.",
        )
    return {name: _values(table[:, place]) for place, name in enumerate(names)}


def _of_rows(rows: Sequence[Any], names: Sequence[str]) -> dict[str, Sequence[Any]]:
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise DataError(
                f"row {number + 1} is {row!r}, not a mapping of column to value",
                hint="Rows without names go in a two-dimensional numpy array.",
            )
        if absent := [name for name in names if name not in row]:
            raise DataError(
                f"row {number + 1} lacks the column(s) {', '.join(map(repr, absent))}",
                hint="Send None where a value is not known.",
            )
    return {name: [row[name] for row in rows] for name in names}


def is_list(column: Any) -> bool:
    """Whether these are values, and not one value."""
    return hasattr(column, "__iter__") and not isinstance(column, (str, bytes))


def _values(column: Any) -> list[Any]:
    """Plain values of a column; what pandas calls missing (NaN, NaT, NA) is None."""
    found = column.tolist() if hasattr(column, "tolist") else list(column)
    return [None if _is_missing(value) else value for value in found]


def _is_missing(value: Any) -> bool:
    # By name: the wrapper works without pandas.
    return type(value).__name__ in ("NAType", "NaTType") or (isinstance(value, float) and value != value)
