"""The training rows of a table, block by block, each with a hash of its own for the samples drawn of them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.split import TRAIN

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa


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

    split = context.inputs["split"]
    places, part = DiskRows(split / "place.npy"), np.load(split / "part.npy")
    for start, block in found:
        done = start + block.num_rows
        place = places[start:done]
        rows = np.flatnonzero((place >= 0) & (part[place] == TRAIN))
        yield block.take(pa.array(rows)), hash_places(place[rows]), done / len(places)
