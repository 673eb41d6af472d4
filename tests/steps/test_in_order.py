from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from declarative_ml.steps import in_order as rows_in_order
from declarative_ml.steps.in_order import in_order

ROWS = 100
TABLE = pa.record_batch(
    {
        "number": pa.array([None if row % 7 == 0 else row for row in range(ROWS)]),
        "text": pa.array(["x" * (row % 5) if row % 3 else None for row in range(ROWS)]),
    }
)


def cut(sizes: list[int]) -> Iterator[pa.RecordBatch]:
    start = 0
    for size in sizes:
        yield TABLE.slice(start, size)
        start += size


@pytest.mark.parametrize("piece", [24 << 20, 300, 1], ids=["one piece", "pieces", "a row each"])
@pytest.mark.parametrize("sizes", [[ROWS], [1] * ROWS, [33, 0, 67]], ids=["one block", "rows", "blocks"])
def test_rows_come_in_the_order_of_their_places(
    sizes: list[int], piece: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows_in_order, "_PIECE_BYTES", piece)
    monkeypatch.setattr(rows_in_order, "_BLOCK_ROWS", 16)
    order = np.random.default_rng(2).permutation(ROWS)[:80]  # the others are left out
    place = np.full(ROWS, -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    found = list(in_order(cut(sizes), place, len(order), tmp_path / "rough"))
    assert max(block.num_rows for block in found) <= 16
    assert pa.Table.from_batches(found).equals(pa.Table.from_batches([TABLE.take(pa.array(order))]))
    assert not list(tmp_path.iterdir())


def test_who_stops_early_leaves_nothing(tmp_path: Path) -> None:
    found = in_order(cut([ROWS]), np.arange(ROWS), ROWS, tmp_path / "rough")
    next(found)
    assert list(tmp_path.iterdir())
    found.close()  # type: ignore[attr-defined]
    assert not list(tmp_path.iterdir())


def test_no_row_at_all(tmp_path: Path) -> None:
    assert list(in_order(cut([ROWS]), np.full(ROWS, -1), 0, tmp_path / "rough")) == []
