"""Databases of several makes, read for real; PostgreSQL where its server is installed."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import database_servers
import pyarrow as pa
import pytest
from pydantic import ValidationError

from declarative_ml.core.errors import DataError, MissingDependency
from declarative_ml.sources.sql import SqlSource

_ROWS = [(1, "a", 0.5, "2024-01-01"), (2, None, 1.5, "2024-01-02"), (3, "c", None, None)]
_TABLE = "CREATE TABLE orders (id {integer}, name {text}, price {real}, day {date})"


def source(query: str | None = "SELECT * FROM orders", **options: Any) -> SqlSource:
    asked = {"query": query, **options}
    return SqlSource.model_validate({"url": "${env:DML_TEST_DB}", **asked})


def rows(table: SqlSource) -> list[tuple[Any, ...]]:
    read = pa.Table.from_batches(list(table.batches())).to_pylist()
    return [tuple(row.values()) for row in read]


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "shop.db"
    with sqlite3.connect(path) as connection:
        connection.execute(_TABLE.format(integer="integer", text="text", real="real", date="text"))
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", _ROWS)
    connection.close()
    monkeypatch.setenv("DML_TEST_DB", f"sqlite:///{path}")
    return path


@pytest.fixture
def duckdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import duckdb

    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute(_TABLE.format(integer="bigint", text="varchar", real="double", date="varchar"))
        connection.executemany("INSERT INTO orders VALUES (?, ?, ?, ?)", _ROWS)
    monkeypatch.setenv("DML_TEST_DB", f"duckdb:///{path}")
    return path


@pytest.fixture(scope="module")
def postgresql() -> Iterator[str]:
    """The address of a server of our own, with the table in it."""
    with database_servers.postgresql() as address:
        from adbc_driver_postgresql import dbapi

        with dbapi.connect(address) as connection, connection.cursor() as cursor:
            cursor.execute(_TABLE.format(integer="bigint", text="text", real="float8", date="text"))
            cursor.executemany("INSERT INTO orders VALUES ($1, $2, $3, $4)", _ROWS)
            connection.commit()
        yield address


@pytest.fixture(scope="module")
def mariadb() -> Iterator[str]:
    """The address of a server of our own, with the table in it."""
    pytest.importorskip("pymysql", reason="the extra `mysql` is not installed")
    with database_servers.mariadb() as address:
        import sqlalchemy

        engine = sqlalchemy.create_engine(address.replace("mysql:", "mysql+pymysql:"))
        with engine.begin() as connection:
            connection.exec_driver_sql(
                _TABLE.format(integer="bigint", text="varchar(9)", real="double", date="varchar(10)")
            )
            connection.exec_driver_sql("INSERT INTO orders VALUES (%s, %s, %s, %s)", _ROWS)
            connection.exec_driver_sql(
                "CREATE TABLE kinds (d date, t datetime(3), n decimal(9,2), b boolean, j json, r blob, i int)"
            )
            connection.exec_driver_sql(
                "INSERT INTO kinds VALUES ('2024-01-02', '2024-01-02 03:04:05.5', 12.5, 1, '[1]', 'x', null)"
            )
        engine.dispose()
        yield address


_SERVERS = [
    "sqlite",
    "duckdb",
    pytest.param("postgresql", marks=pytest.mark.slow),
    pytest.param("mariadb", marks=pytest.mark.slow),
    "sqlalchemy",
]


@pytest.fixture
def database(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A database of the kind that is asked for, its address where `source` looks for it."""
    kind: str = request.param
    if kind == "sqlalchemy":
        path = request.getfixturevalue("sqlite")
        monkeypatch.setenv("DML_TEST_DB", f"sqlite+pysqlite:///{path}")
    else:
        address = request.getfixturevalue(kind)
        if isinstance(address, str):
            monkeypatch.setenv("DML_TEST_DB", address)
    return kind


@pytest.mark.parametrize("database", _SERVERS, indirect=True)
def test_every_database_gives_the_same_rows(database: str) -> None:
    as_text = database in ("mariadb", "sqlalchemy")
    expected = [tuple(None if v is None else str(v) for v in row) for row in _ROWS] if as_text else _ROWS
    one: Any = "1" if as_text else 1
    assert source().columns() == ["id", "name", "price", "day"]
    assert rows(source("SELECT * FROM orders ORDER BY id ;")) == expected
    assert sorted(rows(source(None, table="orders"))) == expected
    assert rows(source("SELECT count(*) AS n FROM orders WHERE name IS NULL")) == [(one,)]
    with pytest.raises(DataError, match=r"the database refuses: .*nope") as caught:
        rows(source("SELECT nope FROM orders"))
    assert str(caught.value.hint).startswith("the address is in ${env:DML_TEST_DB}; the query: SELECT nope")
    with pytest.raises(DataError, match=r"the database refuses: .*pe`") as caught:
        rows(source(None, table='no"pe`'))
    assert str(caught.value.hint).endswith('the table: no"pe`')
    for sql in ("DELETE FROM orders RETURNING id", "DROP TABLE orders", "UPDATE orders SET id = 7"):
        with pytest.raises(DataError, match=r"refuses|stopped"):
            rows(source(sql))
    assert len(rows(source())) == 3
    with pytest.raises(DataError, match="the column 'id' twice"):
        rows(source("SELECT id, id FROM orders"))


@pytest.mark.parametrize("database", _SERVERS, indirect=True)
def test_params_are_bound_by_the_driver(database: str) -> None:
    query = "SELECT name, ':id' AS t, 5 % 3 AS m FROM orders -- :c\n"
    query += "WHERE id >= :low AND name <> :name AND price < :p"
    if database == "postgresql":
        query = query.replace("':id'", "':id'::text")
    found = rows(source(query, params={"low": 1, "name": "c'; DROP TABLE orders; --", "p": 9.5}))
    assert [tuple(map(str, row)) for row in found] == [("a", ":id", "2")]
    assert len(rows(source())) == 3
    assert len(rows(source("SELECT * FROM orders WHERE name = :n OR name = :n", params={"n": "a"}))) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give either 'query' or 'table'"),
        ({"query": "SELECT 1", "table": "t"}, "give either 'query' or 'table'"),
        ({"query": "SELECT :a, :b", "params": {"a": 1}}, "'params' do not give :b, for which the query asks"),
        ({"query": "SELECT ':a', x::b", "params": {"a": 1}}, "'params' give a, but the query has no :a"),
        ({"table": "t", "params": {"a": 1}}, "'params' give a, but the query has no :a"),
    ],
)
def test_what_is_asked_for_is_checked_with_the_spec(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        SqlSource.model_validate({"url": "${env:DML_TEST_DB}", **options})


@pytest.mark.slow
def test_kinds_of_mariadb_read_as_in_a_file(mariadb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DML_TEST_DB", mariadb)
    assert rows(source("SELECT d, t, n, b, j, i FROM kinds")) == [
        ("2024-01-02", "2024-01-02 03:04:05.500000", "12.50", "1", "[1]", None)
    ]
    with pytest.raises(DataError, match="column 'r' holds bytes"):
        rows(source("SELECT r FROM kinds"))
    sizes = [batch.num_rows for batch in source("SELECT seq FROM shop.seq_1_to_100000").batches()]
    assert sum(sizes) == 100_000
    assert len(sizes) > 1


def test_many_rows_come_in_bounded_batches(sqlite: Path) -> None:
    many = source(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000) SELECT i FROM n"
    )
    sizes = [batch.num_rows for batch in many.batches()]
    assert sum(sizes) == 200_000
    assert max(sizes) <= 65_536


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("sqlite:///canary/none.db", "the database's file is not there"),
        ("canary://host/db", "is none of a database that can be read"),
        ("canary", "is none of a database that can be read"),
        ("postgresql://me:canary@127.0.0.1:1/db", "the database refuses"),
        ("mysql://me:canary@127.0.0.1:1/db", "the database refuses"),
        ("mariadb+pymysql://me:canary@127.0.0.1:nope/db", "the database refuses"),
        ("postgresql://me:canary x=%%@127.0.0.1:1/db", "the database refuses"),
        ("postgresql://me:can%20ary@127.0.0.1:notaport/canary", "the database refuses"),
    ],
)
def test_no_part_of_the_address_is_shown(address: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if address.startswith(("mysql", "mariadb")):
        pytest.importorskip("pymysql", reason="the extra `mysql` is not installed")
    monkeypatch.setenv("DML_TEST_DB", address)
    with pytest.raises(DataError, match=message) as caught:
        source().columns()
    shown = f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert "canary" not in shown
    assert "can ary" not in shown


@pytest.mark.slow
def test_a_wrong_password_is_not_shown(postgresql: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DML_TEST_DB", postgresql.replace("canary-pass", "canary-wrong"))
    with pytest.raises(DataError, match=r"the database refuses: .*password authentication failed") as caught:
        source().columns()
    assert "canary" not in str(caught.value)


def test_duckdb_reads_no_file_but_its_own(duckdb: Path) -> None:
    with pytest.raises(DataError, match="the database refuses: Permission Error"):
        rows(source("SELECT * FROM read_csv('/etc/hosts')"))


def test_without_the_driver_the_extra_is_named(sqlite: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from declarative_ml.core import optional

    monkeypatch.setattr(optional, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="adbc_driver_sqlite is not installed") as caught:
        source().columns()
    assert "declarative-ml[sql]" in str(caught.value.hint)


def test_a_run_asks_again_and_does_only_what_follows_from_other_rows(
    sqlite: Path,
    flowers: Callable[..., Path],
    run: Callable[..., Any],
    write_flowers: Callable[..., Path],
    tmp_path: Path,
) -> None:
    import csv

    def fill(rows: int) -> None:
        path = write_flowers(tmp_path / "flowers.csv", rows=rows)
        with sqlite3.connect(sqlite) as connection, path.open() as stream:
            header, *lines = csv.reader(stream)
            connection.execute("DROP TABLE IF EXISTS flowers")
            connection.execute(f"CREATE TABLE flowers ({', '.join(header)})")
            connection.executemany("INSERT INTO flowers VALUES (?, ?, ?, ?, ?, ?)", lines)
        connection.close()

    fill(90)
    query = {"type": "sql", "url": "${env:DML_TEST_DB}", "query": "SELECT * FROM flowers"}
    spec = flowers(data={"source": query, "split": {"method": "random", "validation": 0.2}})
    first = run(spec)
    assert first.error is None, first.error
    again = run(spec)
    done = {step["id"]: step["status"] for step in again.result["steps"]}
    assert done.pop("acquire.source") == "run"
    assert set(done.values()) == {"cached"}
    fill(120)
    changed = run(spec)
    assert "cached" not in {step["status"] for step in changed.result["steps"]}
    assert changed.result["model_digest"] != first.result["model_digest"]
