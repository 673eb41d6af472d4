from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from declarative_ml.core.errors import DataError
from declarative_ml.steps.sql import Spill, query
from declarative_ml.steps.sql_tree import unrepeatable


@pytest.mark.parametrize("with_part", [False, True])
def test_a_value_that_fails_far_into_the_table_is_an_error_of_the_data(with_part: bool) -> None:
    table = pa.table({"a": ["1"] * 70_000 + ["x"]})
    if with_part:
        table = table.append_column("__dml_part", pa.array([0] * 70_001, pa.uint8()))
    with pytest.raises(DataError, match=r"data.sql fails on a row: .*Could not convert string 'x'"):
        query("SELECT CAST(a AS INT) AS b FROM source", {"source": table}, with_part=with_part).read_all()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT *, row_number() OVER (ORDER BY a) FROM source",
        "SELECT a, sum(b) FROM source GROUP BY ALL ORDER BY 1",
        "SELECT * FROM source USING SAMPLE reservoir(20 ROWS) REPEATABLE (3)",
        "SELECT a, current_date FROM source",
        "SELEC",
    ],
)
def test_what_answers_the_same_every_time_passes(sql: str) -> None:
    assert unrepeatable(sql, {"a", "b", "Current_Date"}) is None


def test_what_does_not_fit_goes_to_the_disk(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).permutation(1_000_000)
    sql = "SELECT a, row_number() OVER (ORDER BY a) AS n, repeat('x', 40) AS t FROM source ORDER BY a DESC"
    spill = Spill(48 << 20, tmp_path / "spill")
    found = query(sql, {"source": pa.table({"a": numbers})}, spill=spill).read_all()
    assert found["a"].to_numpy()[:3].tolist() == [999_999, 999_998, 999_997]
    assert found["n"].to_numpy()[-1] == 1
    with pytest.raises(DataError, match=r"Out of Memory|out of memory"):
        query(sql, {"source": pa.table({"a": numbers})}, spill=Spill(1 << 20, tmp_path / "small")).read_all()
