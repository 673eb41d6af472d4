"""Raw columns: what the graph takes, read from the table of a run, texts as they were read by `prepare`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from declarative_ml.core.reading import AnyReading
from declarative_ml.core.schema import ColumnRule
from declarative_ml.features.base import Feature, State
from declarative_ml.steps.divided import Chosen
from declarative_ml.steps.in_order import in_order
from declarative_ml.steps.readings import blocks_as_read, rows_as_read

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import numpy as np
    import pyarrow as pa

    Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class Column:
    """One feature column: how it is read, what it is, and what was learned about it."""

    name: str
    feature: Feature
    state: State
    field: dict[str, Any]
    rule: ColumnRule
    reading: AnyReading | None = None

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
    return _arrays(rows_as_read(inputs["table"], inputs.get("prepare"), rows, list(dtypes)), dtypes)


def _arrays(taken: pa.Table, dtypes: dict[str, Any]) -> dict[str, np.ndarray]:
    from declarative_ml.core.columns import raw_column

    taken, arrays = taken.combine_chunks(), {}
    for name, dtype in dtypes.items():
        values = raw_column(taken.column(name).combine_chunks(), dtype)
        arrays[name] = values.to_numpy(zero_copy_only=False).reshape(-1, 1)
    return arrays


ROWS_AT_ONCE = 1 << 16


def answers(
    inputs: Mapping[str, Path],
    rows: np.ndarray | Chosen,
    dtypes: dict[str, Any],
    ask: Callable[[Arrays], np.ndarray],
    scratch: Path,
) -> Iterator[np.ndarray]:
    """What `ask` says [n, …] of the rows of a table, who is given the raw arrays of some at a time.

    They are asked for as they come: the last bits of an answer depend on its neighbours, and must not follow
    the order of the table.
    """
    for part in stretches(inputs["table"], inputs.get("prepare"), rows, list(dtypes), scratch):
        yield ask(_arrays(part, dtypes))


def stretches(
    table: Path, prepared: Path | None, rows: np.ndarray | Chosen, columns: list[str], scratch: Path
) -> Iterator[pa.Table]:
    """Columns of the given rows of a table (positions, or rows of its split), ROWS_AT_ONCE at a time: the
    table is gone over once, however many they are."""
    import pyarrow as pa

    if len(rows) <= ROWS_AT_ONCE:
        positions = rows.positions[:] if isinstance(rows, Chosen) else rows
        yield rows_as_read(table, prepared, positions, columns)
        return
    places = rows if isinstance(rows, Chosen) else _Places(rows)
    blocks = (block.select(columns) for _, block in blocks_as_read(table, prepared))
    held: list[pa.RecordBatch] = []
    for block in in_order(blocks, places, len(rows), scratch / "asked.arrow"):
        held.append(block)
        while sum(part.num_rows for part in held) >= ROWS_AT_ONCE:
            found = pa.Table.from_batches(held)
            yield found.slice(0, ROWS_AT_ONCE)
            held = found.slice(ROWS_AT_ONCE).to_batches()
    if sum(part.num_rows for part in held):
        yield pa.Table.from_batches(held)


class _Places:
    """The place of each row of the table among those that are asked for."""

    def __init__(self, rows: np.ndarray) -> None:
        import numpy as np

        self._order = np.argsort(rows, kind="stable").astype(np.int32 if len(rows) < 2**31 else np.int64)
        self._rows = rows[self._order]

    def __getitem__(self, rows: slice) -> np.ndarray:
        import numpy as np

        low, high = np.searchsorted(self._rows, [rows.start, rows.stop])
        place = np.full(rows.stop - rows.start, -1, dtype=np.int64)
        place[self._rows[low:high] - rows.start] = self._order[low:high]
        return place
