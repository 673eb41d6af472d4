"""Parts of the rows by the values of columns: what metrics and gates look at apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.steps.table import open_table, read_rows, require_columns

if TYPE_CHECKING:
    import numpy as np

SliceOf = str | Mapping[str, Any]
"""A column: a slice a value; or {column: value, …}: the rows that have them all."""


def slice_masks(
    table: Path, rows: np.ndarray, slices: Sequence[SliceOf], *, most: int | None = None
) -> list[tuple[str, np.ndarray]]:
    """(name, mask over `rows`) of the slices of a table artifact: of a column the `most` frequent values,
    the most frequent first. A mask of given values may be empty. Raises DataError for an absent column."""
    import numpy as np

    columns = _columns(slices)
    text = column_texts(table, rows, columns)
    masks: list[tuple[str, np.ndarray]] = []
    for item in slices:
        if isinstance(item, str):
            values, counts = np.unique(text[item].astype(str), return_counts=True)
            largest = values[np.argsort(-counts, kind="stable")][:most]
            masks += [(f"{item} = {value or '(missing)'}", text[item] == value) for value in largest]
        else:
            parts = [text[name] == as_text(value) for name, value in item.items()]
            label = ", ".join(f"{name} = {as_text(value)}" for name, value in item.items())
            masks.append((label, np.logical_and.reduce(parts)))
    return masks


def column_texts(table: Path, rows: np.ndarray, columns: Iterable[str]) -> dict[str, np.ndarray]:
    """Column -> raw texts [N] (objects), "" for missing. Raises DataError for an absent column."""
    import numpy as np

    from declarative_ml.core.columns import raw_column

    names = list(columns)
    if not names:
        return {}
    with open_table(table) as reader:
        require_columns(reader.schema.names, names)
    taken = read_rows(table, rows, names).combine_chunks()
    return {
        name: np.asarray(raw_column(taken.column(name).combine_chunks(), "string").to_pylist(), dtype=object)
        for name in names
    }


def _columns(slices: Sequence[SliceOf]) -> list[str]:
    names = [name for item in slices for name in ([item] if isinstance(item, str) else list(item))]
    return list(dict.fromkeys(names))


def as_text(value: Any) -> str:
    """A value of a spec as canonical raw text, the way columns are written."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)
