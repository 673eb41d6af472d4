"""A bounded sample of whole rows from a stream: the same rows in the same order however the stream is cut."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pyarrow as pa

MOST_ROWS = 5_000
"""A correlation of so many rows is within 0.03 of that of all rows, 19 times in 20."""
MOST_CELLS = 2_000_000
LEAST_ROWS = 500
SHOWN_CHARACTERS = 64
"""Texts are kept up to here; their lengths are kept beside."""


class RowSample:
    """The rows with the smallest hashes, in their order: uniform, and all rows while there are few enough.

    A bottom-k sample (Cohen & Kaplan, "Summarizing data using bottom-k sketches", PODC 2007). Hashes have to
    differ. Wide tables have fewer rows, so that memory stays bounded.
    """

    def __init__(self, schema: pa.Schema, rows: int | None = None) -> None:
        import pyarrow as pa

        self.size = rows or min(MOST_ROWS, max(LEAST_ROWS, MOST_CELLS // max(len(schema), 1)))
        self.seen = 0
        """Rows offered until now."""
        self._texts = [number for number, field in enumerate(schema) if pa.types.is_string(field.type)]
        self._names = schema.names
        self._parts: list[pa.RecordBatch] = []
        self._hashes = np.empty(0, dtype=np.uint64)
        self._ordered = False
        self._limit: np.uint64 | None = None
        """No row with a larger hash can be in the sample."""

    def update(self, block: pa.RecordBatch, hashes: np.ndarray) -> None:
        """Offer typed rows with their uint64 hashes [N]."""
        self.seen += len(hashes)
        near = np.arange(len(hashes)) if self._limit is None else np.flatnonzero(hashes <= self._limit)
        if len(near) > self.size:
            near = near[np.argpartition(hashes[near], self.size - 1)[: self.size]]
        if len(near):
            self._keep(self._cut(block, near), hashes[near])

    def merge(self, other: RowSample) -> None:
        """Offer everything that `other` holds, a sample of the same size and schema."""
        self.seen += other.seen
        if other._parts:
            self._keep(_joined(other._parts), other._hashes)

    def _cut(self, block: pa.RecordBatch, rows: np.ndarray) -> pa.RecordBatch:
        """These rows with their texts cut, and the lengths of the texts as columns behind."""
        import pyarrow as pa
        import pyarrow.compute as pc

        whole = len(rows) == block.num_rows and len(rows) < self.size
        columns = (block if whole else block.take(pa.array(rows))).columns
        lengths = [pc.utf8_length(columns[number]) for number in self._texts]
        for number in self._texts:
            columns[number] = pc.utf8_slice_codeunits(columns[number], 0, SHOWN_CHARACTERS)
        return pa.RecordBatch.from_arrays(
            [*columns, *lengths], names=[str(number) for number in range(len(columns) + len(lengths))]
        )

    def _keep(self, rows: pa.RecordBatch, hashes: np.ndarray) -> None:
        self._ordered = False
        self._parts.append(rows)
        self._hashes = np.concatenate([self._hashes, hashes])
        # Twice the size, so that a long stream is not cut again for every block.
        if len(self._hashes) > 2 * self.size:
            self._order()

    def _order(self) -> None:
        """Make one part of all, in the order of hashes, cut to `size` rows."""
        import pyarrow as pa

        if self._ordered:
            return
        self._ordered = True
        order = np.argsort(self._hashes)[: self.size]
        self._parts = [_joined(self._parts).take(pa.array(order))]
        self._hashes = self._hashes[order]
        if len(order) == self.size:
            self._limit = self._hashes[-1]

    def table(self) -> pa.Table:
        """The sampled rows in the order of their hashes, with texts cut to SHOWN_CHARACTERS."""
        import pyarrow as pa

        width = len(self._names)
        if not self._parts:
            return pa.table({name: [] for name in self._names})
        self._order()
        return pa.Table.from_batches(self._parts).select(range(width)).rename_columns(self._names)

    def lengths(self, name: str) -> np.ndarray:
        """Characters of each sampled text of a text column, float64 [N], NaN where it is missing."""
        import pyarrow as pa

        self._order()
        place = len(self._names) + self._texts.index(self._names.index(name))
        found: np.ndarray = self._parts[0].column(place).cast(pa.float64()).to_numpy(zero_copy_only=False)
        return found


def _joined(parts: list[pa.RecordBatch]) -> pa.RecordBatch:
    import pyarrow as pa

    return parts[0] if len(parts) == 1 else pa.concat_batches(parts)
