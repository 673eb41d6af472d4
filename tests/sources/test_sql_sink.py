"""Rows written to databases for real, and taken back when something fails on the way."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import database_servers
import pyarrow as pa
import pytest

from declarative_ml.core.errors import DataError
from declarative_ml.sources.sql import SqlSource
from declarative_ml.sources.sql_sink import SqlSink

_SCHEMA = pa.schema(
    [
        ("prediction", pa.string()),
        ("p", pa.float64()),
        ("n", pa.int64()),
        ("yes", pa.bool_()),
        ("day", pa.date32()),
    ]
)


@pytest.fixture(
    params=[
        "sqlite",
        "duckdb",
        "sqlalchemy",
        pytest.param("postgresql", marks=pytest.mark.slow),
        pytest.param("mariadb", marks=pytest.mark.slow),
    ]
)
def database(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[str]:
    kind = request.param
    if kind in ("postgresql", "mariadb"):
        if kind == "mariadb":
            pytest.importorskip("pymysql", reason="the extra `mysql` is not installed")
        with getattr(database_servers, kind)() as address:
            monkeypatch.setenv("DML_TEST_DB", address)
            yield kind
        return
    scheme = {"sqlalchemy": "sqlite+pysqlite"}.get(kind, kind)
    monkeypatch.setenv("DML_TEST_DB", f"{scheme}:///{tmp_path / 'shop.db'}")
    yield kind


def batch(*labels: str) -> pa.RecordBatch:
    import datetime as dt

    rows = [
        {"prediction": label, "p": 0.1, "n": 2**40, "yes": True, "day": dt.date(2024, 1, 2)}
        for label in labels
    ]
    return pa.RecordBatch.from_pylist(rows, schema=_SCHEMA)


def sink(mode: str = "create", table: str = "answers") -> SqlSink:
    return SqlSink.model_validate({"url": "${env:DML_TEST_DB}", "table": table, "mode": mode})


def labels() -> list[Any]:
    source = SqlSource.model_validate({"url": "${env:DML_TEST_DB}", "table": "answers"})
    return sorted(row for each in source.batches() for row in each.column("prediction").to_pylist())


def failing() -> Iterator[pa.RecordBatch]:
    yield batch("x")
    raise DataError("row 7 is no row")


def test_rows_are_created_appended_and_replaced(database: str) -> None:
    with pytest.raises(DataError, match="row 7 is no row"):
        sink().write(failing())
    assert sink().write(iter([batch("a"), batch("b", None)])) == 3  # type: ignore[arg-type]
    with pytest.raises(DataError, match=r"the database refuses the rows for answers: .*") as caught:
        sink().write(iter([batch("c")]))
    assert "canary" not in str(caught.value)
    assert sink("append").write(iter([batch("c")])) == 1
    for mode in ("append", "replace"):
        with pytest.raises(DataError, match="row 7 is no row"):
            sink(mode).write(failing())
    source = SqlSource.model_validate({"url": "${env:DML_TEST_DB}", "query": "SELECT * FROM answers"})
    assert sum(each.num_rows for each in source.batches()) == 4
    assert sink("replace").write(iter([batch("d")])) == 1
    assert labels() == ["d"]
    assert sink().write(iter([])) == 0
    with pytest.raises(DataError, match="refuses the rows for none"):
        sink("append", "none").write(iter([batch("a")]))
