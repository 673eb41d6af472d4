"""Raw columns: what the graph takes, read from the table of a run, texts as they were read by `prepare`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from declarative_ml.core.reading import Reading
from declarative_ml.core.schema import ColumnRule
from declarative_ml.features.base import Feature, State
from declarative_ml.steps.readings import rows_as_read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np

    Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Column:
    """One feature column: how it is read, what it is, and what was learned about it."""

    name: str
    feature: Feature
    state: State
    field: dict[str, Any]
    rule: ColumnRule
    reading: Reading | None = None

    def describe(self) -> dict[str, Any]:
        """The entry of the bundle's `inputs` (see store.bundle.Input)."""
        return {
            "name": self.name,
            "feature": self.feature.type,
            "dtype": self.feature.raw_dtype,
            "rule": self.rule.model_dump(mode="json"),
            "field": self.field,
            "reading": None if self.reading is None else self.reading.model_dump(mode="json"),
        }


def raw_inputs(inputs: Mapping[str, Path], rows: np.ndarray, columns: list[Column]) -> dict[str, np.ndarray]:
    """Column -> [n, 1] float32 or object (str) array of the given rows of a step's `table`."""
    return raw_arrays(inputs, rows, {column.name: column.feature.raw_dtype for column in columns})


def raw_arrays(inputs: Mapping[str, Path], rows: np.ndarray, dtypes: dict[str, Any]) -> dict[str, np.ndarray]:
    """Column -> [n, 1] array of the dtype "float32" or "string" (objects), from a step's inputs `table` and
    `prepare`."""
    from declarative_ml.core.columns import raw_column

    taken = rows_as_read(inputs["table"], inputs.get("prepare"), rows, list(dtypes)).combine_chunks()
    arrays = {}
    for name, dtype in dtypes.items():
        values = raw_column(taken.column(name).combine_chunks(), dtype)
        arrays[name] = values.to_numpy(zero_copy_only=False).reshape(-1, 1)
    return arrays


ROWS_AT_ONCE = 1 << 16


def answers(
    inputs: Mapping[str, Path], rows: np.ndarray, dtypes: dict[str, Any], ask: Callable[[Arrays], np.ndarray]
) -> np.ndarray:
    """What `ask` says [N, …] of the rows of a table, who is given the raw arrays of some at a time.

    They are asked for as they come: the last bits of an answer depend on its neighbours, and must not follow
    the order of the table. Each part goes over the table once.
    """
    import numpy as np

    starts = range(0, max(len(rows), 1), ROWS_AT_ONCE)
    parts = [ask(raw_arrays(inputs, rows[start : start + ROWS_AT_ONCE], dtypes)) for start in starts]
    return np.concatenate(parts)
