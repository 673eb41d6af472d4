"""Values of Python as the text that a CSV file would hold: the types are then found as of a file."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from declarative_ml.core.errors import DataError
from declarative_ml.core.grammar import canonical_float

if TYPE_CHECKING:
    import pyarrow as pa


def text_batch(names: Sequence[str], columns: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    """A batch of text columns. Raises DataError, which names the column, for bytes and nested values."""
    import pyarrow as pa

    arrays = [_column(values, name) for name, values in zip(names, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=list(names))


def text_of(value: Any, column: str) -> str | None:
    """One value as text; None, NaN and the infinities are missing."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return canonical_float(value) if value - value == 0 else None
    if isinstance(value, Decimal):
        return f"{value:f}" if value.is_finite() else None
    if isinstance(value, dt.datetime):
        moment = value.astimezone(dt.UTC).replace(tzinfo=None) if value.tzinfo else value
        return moment.isoformat(sep=" ")
    if isinstance(value, bytes | bytearray | memoryview | list | tuple | dict | set):
        raise DataError(
            f"column {column!r} holds {type(value).__name__}",
            hint="a cell is a number, text, a date or missing: convert it in the query, or leave it out",
        )
    return str(value)


def _column(values: Sequence[Any], name: str) -> pa.Array:
    import pyarrow as pa

    kinds = set(map(type, values)) - {type(None)}
    if kinds <= {str} or kinds in ({int}, {bool}, {dt.date}):
        try:
            return pa.array(values).cast(pa.string())  # the same text, at the speed of Arrow
        except (pa.ArrowInvalid, OverflowError):
            pass
    return pa.array([text_of(value, name) for value in values], pa.string())
