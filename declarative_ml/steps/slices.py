"""Parts of the rows by the values of columns: what metrics and gates look at apart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from declarative_ml.learning.disk_rows import DiskRows, RowWriter
from declarative_ml.learning.selection import BLOCK_ROWS, Selection
from declarative_ml.steps.divided import Chosen
from declarative_ml.steps.raw import stretches
from declarative_ml.steps.table import open_table, require_columns

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

SliceOf = str | Mapping[str, Any]
"""A column: a slice a value; or {column: value, …}: the rows that have them all."""


@dataclass(frozen=True)
class _Column:
    """The texts of a column of the rows, as numbers on disk."""

    codes: DiskRows
    texts: Mapping[str, int]
    """Text -> its number; "" for missing."""
    counts: Mapping[str, int]


@dataclass(frozen=True)
class Slice:
    """Some of the rows that were asked about."""

    name: str
    wanted: tuple[tuple[DiskRows, int], ...]
    """Codes of a column, and the one that its rows have; -1 where no row has it."""

    @cached_property
    def count(self) -> int:
        """The number of its rows."""
        return len(self.rows())

    def rows(self) -> Selection:
        """The slice, as numbers of the rows asked about."""
        count = len(self.wanted[0][0])
        return Selection(
            self._mask(slice(start, start + BLOCK_ROWS)) for start in range(0, count, BLOCK_ROWS)
        )

    def _mask(self, stretch: slice) -> np.ndarray:
        import numpy as np

        return np.asarray(np.logical_and.reduce([codes[stretch] == code for codes, code in self.wanted]))


def slices_of(
    table: Path, rows: Chosen, slices: Sequence[SliceOf], scratch: Path, *, most: int | None = None
) -> list[Slice]:
    """The slices of rows of a table artifact: of a column the `most` frequent values, the most frequent
    first. A slice of given values may be empty. They are on disk in `scratch` until the next call with it.
    Raises DataError for an absent column."""
    columns = _coded(table, rows, _columns(slices), scratch)
    found: list[Slice] = []
    for item in slices:
        if isinstance(item, str):
            column = columns[item]
            values = sorted(column.texts, key=lambda text: (-column.counts[text], text))[:most]
            found += [
                Slice(f"{item} = {value or '(missing)'}", ((column.codes, column.texts[value]),))
                for value in values
            ]
        else:
            texts = {name: as_text(value) for name, value in item.items()}
            wanted = tuple(
                (columns[name].codes, columns[name].texts.get(text, -1)) for name, text in texts.items()
            )
            found.append(Slice(", ".join(f"{name} = {text}" for name, text in texts.items()), wanted))
    return found


def _coded(table: Path, rows: Chosen, names: list[str], scratch: Path) -> dict[str, _Column]:
    import numpy as np

    if not names:
        return {}
    with open_table(table) as reader:
        require_columns(reader.schema.names, names)
    paths = [scratch / f"slice{number}.npy" for number in range(len(names))]
    texts: list[dict[str, int]] = [{} for _ in names]
    counts: list[Counter[str]] = [Counter() for _ in names]
    with ExitStack() as stack:
        writers = [stack.enter_context(RowWriter(path, (len(rows),), np.int32)) for path in paths]
        for part in stretches(table, None, rows, names, scratch):
            for place, name in enumerate(names):
                column = part.column(name).combine_chunks()
                writers[place].add(_codes(column, texts[place], counts[place]))
    return {name: _Column(DiskRows(path), *known) for name, path, *known in zip(names, paths, texts, counts)}


def _codes(values: pa.Array, texts: dict[str, int], counts: Counter[str]) -> np.ndarray:
    """The number of each value's raw text; new texts and their counts are added to those known."""
    import numpy as np

    from declarative_ml.core.columns import raw_column

    encoded = raw_column(values, "string").dictionary_encode()
    here = encoded.dictionary.to_pylist()
    indices = encoded.indices.to_numpy(zero_copy_only=False)
    counts.update(dict(zip(here, np.bincount(indices, minlength=len(here)).tolist())))
    numbers = np.array([texts.setdefault(text, len(texts)) for text in here], dtype=np.int32)
    return np.asarray(numbers[indices])


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
