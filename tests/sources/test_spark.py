"""Spark over Spark Connect: a real server, where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet
from pydantic import ValidationError
from spark_server import spark

from declarative_ml.core.errors import DataError, MissingDependency
from declarative_ml.sources.spark import SparkSource


def source(**options: Any) -> SparkSource:
    return SparkSource.model_validate({"url": "${env:DML_TEST_SPARK}"} | options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either 'query' or 'table'"),
        ({"query": "SELECT 1", "table": "t"}, "give either 'query' or 'table'"),
        ({"query": "SELECT :a", "params": {"b": 1}}, "'params' do not give :a"),
        ({"query": "SELECT 1", "params": {"b": 1}}, "'params' give b"),
        ({"url": "sc://host", "table": "t"}, "a secret is given in clear"),
    ],
)
def test_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        source(**options)


def test_what_is_kept() -> None:
    asked = source(query="SELECT 1 AS a;", select=["a"])
    assert (asked.remote, asked.files(), asked.described()) == (True, [], "the rows of the spark query")
    key = {"url": "${env:DML_TEST_SPARK}", "query": "SELECT 1 AS a", "select": ("a",)}
    assert asked.options_for_key() == key


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from declarative_ml.core import optional

    monkeypatch.setattr(optional, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="pyspark is not installed") as caught:
        source(table="t").columns()
    assert "declarative-ml[spark]" in str(caught.value.hint)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server with a table of orders in several files."""
    folder = tmp_path_factory.mktemp("spark")
    (folder / "orders").mkdir()
    for part in range(3):
        numbers = list(range(part * 1_000, part * 1_000 + 1_000))
        columns = {"n": numbers, "a b": [f"s{n}" for n in numbers], "list": [[n] for n in numbers]}
        parquet.write_table(pa.table(columns), folder / "orders" / f"{part}.parquet")
    with spark(folder) as address, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DML_TEST_SPARK", address)
        with source(query="SELECT 1")._frame() as frame:
            create = f"CREATE TABLE orders USING parquet LOCATION '{folder / 'orders'}'"
            frame.sparkSession.sql(create).collect()
        yield address


@pytest.mark.slow
def test_tables_and_queries(server: str) -> None:
    orders = source(table="orders", select=["a b", "n"])
    assert orders.columns() == ["a b", "n"]
    batches = list(orders.batches())
    assert len(batches) > 1
    found = pa.Table.from_batches(batches)
    assert found.schema == pa.schema([("a b", pa.string()), ("n", pa.int64())])
    assert sorted(found["n"].to_pylist()) == list(range(3_000))
    query = (
        "SELECT n, CAST(n AS decimal(9, 2)) / 4 AS share, date'2024-01-31' AS day FROM orders WHERE n < :n;"
    )
    few = source(query=query, params={"n": 2})
    rows = pa.Table.from_batches(list(few.batches())).to_pylist()
    assert [(row["n"], row["share"], str(row["day"])) for row in rows] == [
        (0, 0.0, "2024-01-31"),
        (1, 0.25, "2024-01-31"),
    ]


@pytest.mark.slow
def test_what_spark_refuses(server: str, monkeypatch: pytest.MonkeyPatch, capfd: Any) -> None:
    for options, message in (
        ({"query": "SELEC 1"}, "the rows of the spark query cannot be read: .*PARSE_SYNTAX_ERROR"),
        ({"query": "DROP TABLE orders"}, "PARSE_SYNTAX_ERROR"),
        ({"table": "none"}, "the table none cannot be read: .*TABLE_OR_VIEW_NOT_FOUND"),
        ({"table": "orders"}, "the table orders: column 'list'"),
        ({"table": "orders", "select": ["m"]}, "has no column 'm', which `select` names"),
        ({"query": "SELECT n FROM orders WHERE n < 0"}, "there are none"),
    ):
        with pytest.raises(DataError, match=message) as caught:
            list(source(**options).batches())
        assert "JVM" not in str(caught.value)
    for address, message in (
        ("sc://127.0.0.1:1/;token=canary", "the table orders cannot be read: .*refused"),
        ("http://canary", "the address in .* is none of Spark Connect"),
    ):
        monkeypatch.setenv("DML_TEST_SPARK", address)
        with pytest.raises(DataError, match=message) as caught:
            source(table="orders").columns()
        assert "canary" not in str(caught.value)
    assert capfd.readouterr().err == ""
