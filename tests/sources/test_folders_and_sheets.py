"""Folders of files, partitioned ones, and Excel books, written by other libraries."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset
import pytest
from pydantic import ValidationError

from declarative_ml.core.errors import DataError, MissingDependency
from declarative_ml.sources.file import FileSource


def read(**options: Any) -> dict[str, list[Any]]:
    source = FileSource(**options)
    table = pa.Table.from_batches(list(source.batches()))
    assert table.column_names == source.columns()
    found: dict[str, list[Any]] = table.to_pydict()
    return found


def test_a_folder_is_all_tables_in_it(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "_temporary").mkdir()
    for name in ("b.csv", "deep/a.csv", "_SUCCESS", "notes.md", ".hidden.csv", "_temporary/x.csv"):
        (tmp_path / name).write_text(f"a\n{name}\n")
    assert read(path=str(tmp_path)) == {"a": ["b.csv", "deep/a.csv"]}


@pytest.mark.parametrize("writer", ["duckdb", "pyarrow"])
@pytest.mark.parametrize("path", ["{}", "{}/*/*/*.parquet", "{}/**/*.parquet"])
def test_partitions_that_others_write_become_columns(tmp_path: Path, writer: str, path: str) -> None:
    table = pa.table({"n": [1, 2, 3], "shop": ["a b", "c/d", None], "year": [2023, 2024, 2024]})
    if writer == "duckdb":
        duckdb.register("rows", table)
        target = tmp_path / "t"
        duckdb.sql(f"COPY rows TO '{target}' (FORMAT parquet, PARTITION_BY (year, shop))")
    else:
        pa.dataset.write_dataset(
            table,
            tmp_path / "t",
            format="parquet",
            partitioning=pa.dataset.partitioning(
                pa.schema([("year", pa.int64()), ("shop", pa.string())]), flavor="hive"
            ),
        )
    found = read(path=path.format(tmp_path / "t"))
    assert sorted(zip(found["n"], found["shop"], found["year"], strict=True)) == [
        (1, "a b", "2023"),
        (2, "c/d", "2024"),
        (3, None, "2024"),
    ]


def test_the_value_of_a_partition_is_part_of_the_key(tmp_path: Path) -> None:
    (tmp_path / "year=2024").mkdir()
    (tmp_path / "year=2024" / "a.csv").write_text("a\n1\n")
    before = FileSource(path=str(tmp_path)).options_for_key()
    (tmp_path / "year=2024").rename(tmp_path / "year=2025")
    assert FileSource(path=str(tmp_path)).options_for_key() != before
    one = FileSource(path=str(tmp_path / "year=2025" / "a.csv"))
    assert "partitions" not in one.options_for_key()
    assert one.columns() == ["a"]


def test_a_column_of_the_file_goes_before_the_partition(tmp_path: Path) -> None:
    (tmp_path / "year=2024").mkdir()
    (tmp_path / "year=2024" / "a.csv").write_text("year,a\n7,1\n")
    assert read(path=str(tmp_path)) == {"year": ["7"], "a": ["1"]}


def test_partitions_must_agree(tmp_path: Path) -> None:
    for folder in ("year=2024", "month=1"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.csv").write_text("a\n1\n")
    with pytest.raises(DataError, match=r"folders that name 'year', .* in such that name 'month'"):
        FileSource(path=str(tmp_path)).columns()


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet", "arrow"])
def test_select_reads_some_columns_in_its_order(tmp_path: Path, ending: str) -> None:
    path = str(tmp_path / f"t.{ending}")
    duckdb.sql("CREATE OR REPLACE TABLE t AS SELECT 'x' AS a, 'y' AS b, 'z' AS c")
    if ending == "arrow":
        with pa.OSFile(path, "wb") as stream, pa.ipc.new_file(stream, duckdb.table("t").arrow().schema) as to:
            to.write_table(duckdb.table("t").to_arrow_table())
    else:
        duckdb.sql(f"COPY t TO '{path}' (FORMAT {'json' if ending == 'jsonl' else ending})")
    assert read(path=path, select=("c", "a")) == {"c": ["z"], "a": ["x"]}
    with pytest.raises(DataError, match="has no column 'cc', which `select` names") as caught:
        FileSource(path=path, select=("cc",)).columns()
    assert caught.value.hint == "did you mean 'c'?"


@pytest.fixture
def book(tmp_path: Path) -> Path:
    openpyxl = pytest.importorskip("openpyxl", reason="openpyxl writes the book")
    pytest.importorskip("fastexcel", reason="the extra `excel` is not installed")
    workbook = openpyxl.Workbook()
    sheet = workbook.active
    sheet.title = "orders"
    sheet.append(["id", " price ", "day", "moment", "name", "zip", "paid", "mixed"])
    moment = dt.datetime(2024, 1, 2, 3, 4, 5)
    sheet.append([1, 0.1, dt.date(2024, 1, 2), moment, "a", "00123", True, 1])
    sheet.append([])
    sheet.append([2, 1234567.25, dt.date(2024, 1, 3), None, None, "00124", False, "x"])
    more = workbook.create_sheet("more")
    more.append(["n"])
    more.append([7])
    workbook.create_sheet("empty")
    workbook.create_sheet("twice").append(["a", "a"])
    workbook.save(tmp_path / "book.xlsx")
    return tmp_path / "book.xlsx"


def test_a_sheet_reads_as_the_same_table_in_csv_would(book: Path) -> None:
    assert read(path=str(book)) == {
        "id": ["1", "2"],
        "price": ["0.1", "1234567.25"],
        "day": ["2024-01-02", "2024-01-03"],
        "moment": ["2024-01-02 03:04:05", None],
        "name": ["a", None],
        "zip": ["00123", "00124"],
        "paid": ["true", "false"],
        "mixed": ["1", "x"],
    }
    assert read(path=str(book), sheet="more") == read(path=str(book), sheet=2) == {"n": ["7"]}
    assert read(path=str(book), select=("name",)) == {"name": ["a", None]}


@pytest.mark.parametrize(
    ("sheet", "message"),
    [
        ("order", "has no sheet 'order'"),
        (9, "has no sheet 9"),
        ("empty", "book.xlsx is empty"),
        ("twice", "the header names 'a' more than once"),
    ],
)
def test_a_sheet_that_cannot_be_read(book: Path, sheet: str | int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        FileSource(path=str(book), sheet=sheet).columns()


def test_a_damaged_book(book: Path) -> None:
    book.write_bytes(book.read_bytes()[:500])
    with pytest.raises(DataError, match=r"book\.xlsx is not a readable Excel file"):
        FileSource(path=str(book)).columns()


def test_sheets_count_from_one() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 1"):
        FileSource(path="a.xlsx", sheet=0)


def test_without_the_library_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from declarative_ml.core import optional

    (tmp_path / "a.xlsx").write_bytes(b"")
    monkeypatch.setattr(optional, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="fastexcel is not installed") as caught:
        FileSource(path=str(tmp_path / "a.xlsx")).columns()
    assert "declarative-ml[excel]" in str(caught.value.hint)
