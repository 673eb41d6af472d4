"""Databases of several makes, read for real; PostgreSQL where its server is installed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from declarative_ml.core.errors import DataError, MissingDependency
from declarative_ml.sources.sql import SqlSource

_ROWS = [(1, "a", 0.5, "2024-01-01"), (2, None, 1.5, "2024-01-02"), (3, "c", None, None)]
_TABLE = "CREATE TABLE orders (id {integer}, name {text}, price {real}, day {date})"


def source(query: str = "SELECT * FROM orders", variable: str = "DML_TEST_DB") -> SqlSource:
    return SqlSource.model_validate({"url": f"${{env:{variable}}}", "query": query})


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
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/pg_ctl"))
    if not found:
        pytest.skip("PostgreSQL's server is not installed")
    programs, folder = found[-1].parent, Path(tempfile.mkdtemp(prefix="dml-postgresql-"))
    # The server refuses to be root, and its user cannot look into the temporary folders of pytest.
    user = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")
    data, port = str(folder / "data"), str(20_000 + os.getpid() % 20_000)
    (folder / "password").write_text("canary-pass")
    (folder / "password").chmod(0o644)

    def call(*command: str) -> None:
        subprocess.run([*user, *command], check=True, capture_output=True, cwd="/", timeout=60)

    secret = f"--pwfile={folder / 'password'}"
    call(str(programs / "initdb"), "-D", data, "-U", "me", "-A", "scram-sha-256", secret, "-N")
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories='' -F"
    call(str(programs / "pg_ctl"), "-D", data, "-w", "-l", str(folder / "log"), "-o", options, "start")
    try:
        address = f"postgresql://me:canary-pass@127.0.0.1:{port}/postgres"
        from adbc_driver_postgresql import dbapi

        with dbapi.connect(address) as connection, connection.cursor() as cursor:
            cursor.execute(_TABLE.format(integer="bigint", text="text", real="float8", date="text"))
            cursor.executemany("INSERT INTO orders VALUES ($1, $2, $3, $4)", _ROWS)
            connection.commit()
        yield address
    finally:
        call(str(programs / "pg_ctl"), "-D", data, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.parametrize("database", ["sqlite", "duckdb", "postgresql"])
def test_every_database_gives_the_same_rows(
    database: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = request.getfixturevalue(database)
    if database == "postgresql":
        monkeypatch.setenv("DML_TEST_DB", address)
    assert source().columns() == ["id", "name", "price", "day"]
    assert rows(source("SELECT * FROM orders ORDER BY id ;")) == _ROWS
    assert rows(source("SELECT count(*) AS n FROM orders WHERE name IS NULL")) == [(1,)]
    with pytest.raises(DataError, match=r"the database refuses: .*nope") as caught:
        rows(source("SELECT nope FROM orders"))
    assert str(caught.value.hint).startswith("the address is in ${env:DML_TEST_DB}")
    with pytest.raises(DataError, match=r"refuses|stopped"):
        rows(source("DELETE FROM orders RETURNING id"))
    assert len(rows(source())) == 3
    with pytest.raises(DataError, match="the column 'id' twice"):
        rows(source("SELECT id, id FROM orders"))


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
        ("postgresql://me:canary x=%%@127.0.0.1:1/db", "the database refuses"),
        ("postgresql://me:can%20ary@127.0.0.1:notaport/canary", "the database refuses"),
    ],
)
def test_no_part_of_the_address_is_shown(address: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DML_TEST_DB", address)
    with pytest.raises(DataError, match=message) as caught:
        source().columns()
    shown = f"{caught.value} {caught.value.hint} {caught.value.__cause__}"
    assert "canary" not in shown
    assert "can ary" not in shown


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
