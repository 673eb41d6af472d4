from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from declarative_ml.core.schema import ColumnRule, TableSchema
from declarative_ml.steps import raw
from declarative_ml.steps.table import write_table


@pytest.mark.parametrize("at_once", [10_000, 256, 7])
def test_the_answers_are_in_the_order_of_the_rows(
    at_once: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "ROWS_AT_ONCE", at_once)
    random = np.random.default_rng(0)
    batch = pa.RecordBatch.from_pydict(
        {"a": pa.array(np.arange(2_000.0)), "b": pa.array([f"t{number}" for number in range(2_000)])}
    )
    schema = TableSchema(columns={"a": ColumnRule(type="number"), "b": ColumnRule(type="text")}, missing=())
    write_table(tmp_path, iter([batch.slice(start, 300) for start in range(0, 2_000, 300)]), schema, [])
    rows, sizes = random.permutation(2_000)[:900], []

    def ask(arrays: dict[str, Any]) -> np.ndarray:
        sizes.append(len(arrays["a"]))
        assert [f"t{value:.0f}" for value in arrays["a"][:, 0]] == arrays["b"][:, 0].tolist()
        return np.asarray(arrays["a"][:, 0])

    found = raw.answers({"table": tmp_path}, rows, {"b": "string", "a": "float32"}, ask, tmp_path)
    assert np.array_equal(np.concatenate(list(found)), rows.astype(np.float32))
    assert max(sizes) <= at_once and all(size == at_once for size in sizes[:-1])
    assert not (tmp_path / "asked.arrow").exists()
