"""The order of the rows on disk is that of their hashes, whatever the size of the pieces it is made in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from declarative_ml.core.atomic import read_json
from declarative_ml.core.row_hash import distinct_hashes, row_hashes
from declarative_ml.core.schema import ColumnRule, TableSchema
from declarative_ml.graph.plan import Step
from declarative_ml.learning.splits import assign
from declarative_ml.steps import split
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.table import write_table

ROWS = 3_000
NO_TEST = {"method": "random", "test": 0.0, "folds": 3, "stratify": True}
RANDOM = {"method": "random", "test": 0.2, "validation": None, "stratify": True}


@pytest.fixture
def batch() -> pa.RecordBatch:
    random = np.random.default_rng(0)
    number = random.integers(0, 400, ROWS)  # so that many rows are equal
    missing = number % 17 == 0
    return pa.RecordBatch.from_pydict(
        {"number": pa.array(number), "answer": pa.array(np.where(number % 3, "no", "yes"), mask=missing)}
    )


def divided(folder: Path, batch: pa.RecordBatch, options: dict[str, Any]) -> Path:
    table, out = folder / "table", folder / "split"
    table.mkdir(parents=True)
    out.mkdir()
    schema = TableSchema(
        columns={"number": ColumnRule(type="number"), "answer": ColumnRule(type="text")}, missing=()
    )
    write_table(table, iter([batch.slice(start, 700) for start in range(0, ROWS, 700)]), schema, [])
    target = {"column": "answer", "type": None, "positive": None}
    step = Step(
        id="split",
        kind="split",
        title="",
        params={"split": options, "target": target, "key": None, "seed": 3},
        inputs={"table": "acquire"},
    )
    split.run(
        StepContext(
            step=step,
            inputs={"table": table},
            out=out,
            scratch=folder,
            workspace=folder,
            key="",
            threads=1,
            finished={},
            progress=lambda fraction, message: None,
        )
    )
    return out


@pytest.mark.parametrize("options", [RANDOM, NO_TEST], ids=["holdout", "folds"])
@pytest.mark.parametrize("bits", [5, 19])
def test_rows_are_in_the_order_of_their_hashes(
    bits: int, options: dict[str, Any], batch: pa.RecordBatch, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(split, "_PIECE_BITS", bits)
    monkeypatch.setattr(split, "_PIECE_ROWS", 1 << bits)
    found = divided(tmp_path, batch, options)
    hashes = distinct_hashes(row_hashes(batch, 3))
    kept = np.flatnonzero(~np.asarray(batch.column("answer").is_null()))
    order = kept[np.argsort(hashes[kept], kind="stable")]
    target = (batch.column("answer").to_numpy(zero_copy_only=False)[order] == "yes").astype(np.int64)
    shares = {name: options.get(name) for name in ("test", "validation", "folds")}
    expected = assign(hashes[order], **shares, stratify=target)
    place = np.full(ROWS, -1)
    place[order] = np.arange(len(order))
    arrays = {"order": order, "target": target, "place": place, "part": expected.part, "fold": expected.fold}
    assert sorted(path.name for path in found.iterdir()) == sorted(
        [*(f"{name}.npy" for name in arrays), "split.json"]
    )
    for name, array in arrays.items():
        assert np.array_equal(np.load(found / f"{name}.npy"), array), name
    assert read_json(found / "split.json")["notes"] == [
        f"{ROWS - len(kept):,} rows have no 'answer' and are left out"
    ]
