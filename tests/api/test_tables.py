"""Sources and sinks on the command line, written as a spec writes them."""

from __future__ import annotations

import csv
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.api.tables import sink_of, source_of
from declarative_ml.core.errors import UsageError

_SHOP = "{type: sql, url: '${env:DML_TEST_DB}', table: flowers}"


@pytest.fixture
def shop(tmp_path: Path, write_flowers: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "canary.db"
    table = write_flowers(tmp_path / "flowers.csv")
    with sqlite3.connect(path) as connection, table.open() as stream:
        header, *lines = csv.reader(stream)
        connection.execute(f"CREATE TABLE flowers ({', '.join(header)})")
        connection.executemany(f"INSERT INTO flowers VALUES ({', '.join('?' * len(header))})", lines)
    connection.close()
    monkeypatch.setenv("DML_TEST_DB", f"sqlite:///{path}")
    monkeypatch.chdir(tmp_path)
    return path


def test_from_a_database_to_a_database(shop: Path, dml: Callable[..., Any]) -> None:
    begun = dml("init", _SHOP, "--target", "kind")
    assert begun.code == 0, begun.err
    spec = Path("spec.yaml").read_text()
    assert f"  source: {_SHOP}   # 90 rows" in spec
    assert "name: flowers\n" in spec
    options = ("--set", "model=linear", "--set", "track=false", "--set", "explain=false")
    assert dml("run", "spec.yaml", *options).code == 0
    sink = "{type: sql, url: '${env:DML_TEST_DB}', table: answers}"
    said = dml("predict", "spec.yaml", _SHOP, "-o", sink, "--keep", "kind", *options)
    assert said.code == 0, said.err
    assert "canary" not in begun.out + begun.err + said.out + said.err
    with sqlite3.connect(shop) as connection:
        found = connection.execute("SELECT count(*), sum(prediction = kind) > 45 FROM answers").fetchall()
    connection.close()
    assert found == [(90, 1)]
    again = dml("predict", "spec.yaml", _SHOP, "-o", sink, *options)
    assert again.code == 5
    assert "the database refuses the rows for answers" in again.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{type: nope, path: a}", "the source has no type that is known"),
        ("{path: a}", "the source has no type that is known"),
        ("{type: sql, url: 'sqlite:///canary', table: a}", "url: a secret is given in clear"),
        ("{type: sql, url: '${env:A}'}", "give either 'query' or 'table'"),
        ("{type: file, pth: canary}", "path: Field required"),
        ("{type: sql", "no mapping in one line"),
        ("sample:canary", "name: Input should be"),
    ],
)
def test_a_source_that_is_none(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        source_of(text)
    assert "canary" not in str(caught.value)


def test_a_sink_that_is_none() -> None:
    with pytest.raises(UsageError, match="mode: Input should be 'create'"):
        sink_of("{type: sql, url: '${env:A}', table: a, mode: upsert}")


def test_addresses_and_files_need_no_mapping() -> None:
    kinds = ("https://host/a.csv", "s3://lake/a.csv", "a.csv", "sample:iris")
    assert [source_of(text).type for text in kinds] == ["remote", "remote", "file", "sample"]
