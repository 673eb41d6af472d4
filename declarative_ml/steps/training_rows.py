"""The training rows of a table, block by block, each with a hash of its own for the samples drawn of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from declarative_ml.steps.context import StepContext
from declarative_ml.steps.split import TEST, VALIDATION

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

_PIECE = 1 << 20


def training_blocks(
    context: StepContext, found: Iterable[tuple[int, pa.RecordBatch]]
) -> Iterator[tuple[pa.RecordBatch, np.ndarray, float]]:
    """(training rows of a block, their hashes uint64 [N], share of the table that is done).

    The hash is of the row's place in the order of the split, which does not depend on the order of arrival.
    Rows that are equal have hashes that are not, so the rows with the smallest hashes are a sample of rows;
    by hashes of the values they would be a sample of the different rows, each with all of its copies.
    """
    import numpy as np
    import pyarrow as pa

    from declarative_ml.core.row_hash import hash_places

    places = training_places(context)
    for start, block in found:
        done = start + block.num_rows
        place = places[start:done]
        rows = np.flatnonzero(place >= 0)
        yield block.take(pa.array(rows)), hash_places(place[rows]), done / len(places)


def training_places(context: StepContext) -> np.ndarray:
    """For each row of the table its place in the order of the split, int32 or int64; -1 for all others."""
    import numpy as np

    split = context.inputs["split"]
    order, part = np.load(split / "order.npy"), np.load(split / "part.npy")
    rows = context.read("table", "info.json")["rows"]
    places = np.full(rows, -1, dtype=np.int32 if rows < 2**31 else np.int64)
    for start in range(0, len(order), _PIECE):
        of = part[start : start + _PIECE]
        taken = np.flatnonzero((of != TEST) & (of != VALIDATION))
        places[order[start : start + _PIECE][taken]] = taken + start
    return places
