"""The rows of a table in another order, however many: rough pieces on disk, each put in order in memory.

Rows are moved as they were typed, before anything is made of them: an encoded text is many times as large.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_PIECE_BYTES = 24 << 20
"""Rows that belong together at the end are brought into order in pieces of about this size."""
_BLOCK_ROWS = 1 << 14
"""Few enough for what becomes of a block to stay near the processor, and enough to pay for the calls."""
_PLACE = ""
"""The name of the column of places in the rough file; no column of a table is called so."""


class Places(Protocol):
    """Where each row of a table belongs, asked for by stretches."""

    def __getitem__(self, rows: slice, /) -> np.ndarray:
        """Whole numbers [n]; -1 for rows that are left out."""


def in_order(
    blocks: Iterable[pa.RecordBatch], place: Places, rows: int, rough: Path
) -> Iterator[pa.RecordBatch]:
    """The rows of `blocks` by their places, in blocks of at most 16,384 rows.

    `place` [N]: where each row belongs, every number below `rows` once; -1 for rows that are left out.
    `rough`: a file to write, gone at the end. Memory holds one block of those given, and one piece.
    """
    import pyarrow as pa

    try:
        with pa.OSFile(str(rough), "wb") as stream:
            kept, piece_rows = _divide(blocks, place, rows, stream)
        with pa.OSFile(str(rough)) as stream:
            reader = pa.ipc.open_file(stream)
            for piece, batches in enumerate(kept):
                first = piece * piece_rows
                found = pa.concat_batches([reader.get_batch(number) for number in batches])
                yield from _ordered(found, first, min(piece_rows, rows - first))
    finally:
        rough.unlink(missing_ok=True)


def _divide(
    blocks: Iterable[pa.RecordBatch], place: Places, rows: int, stream: pa.NativeFile
) -> tuple[list[list[int]], int]:
    """Write the rows of each block by the piece they belong to: the batches of each piece, and its rows."""
    import pyarrow as pa

    start, written, piece_rows, writer = 0, 0, rows, None
    kept: list[list[int]] = []
    for block in blocks:
        places = place[start : start + block.num_rows]
        start += block.num_rows
        if writer is None:
            piece_rows = max(_PIECE_BYTES * block.num_rows // max(block.nbytes, 1), 1)
            kept = [[] for _ in range(-(-rows // piece_rows))]
            writer = pa.ipc.new_file(stream, block.schema.append(pa.field(_PLACE, pa.int64())))
        for piece, part in _parts(block, places, piece_rows, len(kept)):
            writer.write_batch(part)
            kept[piece].append(written)
            written += 1
    if writer is not None:
        writer.close()
    return kept, piece_rows


def _parts(
    block: pa.RecordBatch, places: np.ndarray, piece_rows: int, pieces: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """The rows of a block that belong to each piece, with their places."""
    import numpy as np
    import pyarrow as pa

    piece_of = np.where(places < 0, pieces, places // piece_rows)
    order = np.argsort(piece_of, kind="stable")
    cuts = np.searchsorted(piece_of[order], np.arange(pieces + 1))
    order = order[: cuts[-1]]
    taken = block.take(pa.array(order)).append_column(_PLACE, pa.array(places[order], pa.int64()))
    for piece in np.flatnonzero(np.diff(cuts)).tolist():
        yield piece, taken.slice(int(cuts[piece]), int(cuts[piece + 1] - cuts[piece]))


def _ordered(found: pa.RecordBatch, first: int, rows: int) -> Iterator[pa.RecordBatch]:
    """The rows of a piece, which holds those with the places from `first` on, in order."""
    import numpy as np
    import pyarrow as pa

    order = np.empty(rows, dtype=np.int64)
    order[found.column(_PLACE).to_numpy() - first] = np.arange(rows)
    table = found.remove_column(found.num_columns - 1)
    for start in range(0, rows, _BLOCK_ROWS):
        yield table.take(pa.array(order[start : start + _BLOCK_ROWS]))
