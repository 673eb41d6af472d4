"""Columns of sources with types of their own: those that are asked for, in plain types."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from declarative_ml.core.columns import plain_array
from declarative_ml.core.errors import DataError

if TYPE_CHECKING:
    import pyarrow as pa


def selected(select: Sequence[str], names: list[str], place: str) -> list[str]:
    """The columns of `select`, or all. Raises DataError for one that `place` does not have."""
    absent = [name for name in select if name not in names]
    if absent:
        raise DataError(
            f"{place} has no column {absent[0]!r}, which `select` names",
            hint=f"its columns: {', '.join(names[:20])}",
        )
    return list(select) or names


def plain_batch(batch: pa.RecordBatch, names: Sequence[str], place: str) -> pa.RecordBatch:
    """The columns `names` in plain types. Raises DataError, which names it, for a nested or binary one."""
    import pyarrow as pa

    arrays = []
    for name in names:
        try:
            arrays.append(plain_array(batch.column(name)))
        except DataError as error:
            said = f"{place}: column {name!r}: {error.message}"
            raise DataError(said, hint="leave it out: select names the others") from error
    return pa.RecordBatch.from_arrays(arrays, names=names)
