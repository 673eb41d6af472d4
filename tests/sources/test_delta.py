"""Delta tables, written by delta-rs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from declarative_ml.core.errors import DataError, MissingDependency
from declarative_ml.sources.delta import DeltaSource


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A table of three versions, partitioned by a column."""
    deltalake = pytest.importorskip("deltalake", reason="the extra `delta` is not installed")
    for n, shop in (([1, 2], ["a", "b"]), ([3], ["a"]), ([4], ["c"])):
        rows = pa.table({"n": pa.array(n, pa.int32()), "shop": shop, "list": [[1]] * len(n)})
        deltalake.write_deltalake(str(tmp_path / "t"), rows, mode="append", partition_by=["shop"])
    return tmp_path / "t"


def rows(source: Any) -> list[tuple[Any, ...]]:
    read = pa.Table.from_batches(list(source.batches()))
    assert read.column_names == source.columns()
    return sorted(tuple(row.values()) for row in read.to_pylist())


def test_versions(table: Path) -> None:
    newest = DeltaSource(path=str(table), select=("n", "shop"))
    assert rows(newest) == [(1, "a"), (2, "b"), (3, "a"), (4, "c")]
    assert rows(newest.model_copy(update={"version": 0})) == [(1, "a"), (2, "b")]
    bound, facts = newest.bound({})
    assert facts == {"version": 2}
    assert bound.described() == "the Delta table t, version 2"
    again, same = newest.bound({"version": 1})
    assert (len(rows(again)), same) == (3, {"version": 1})
    assert rows(DeltaSource(path="t", version=0, select=("shop",)).resolved(table.parent)) == [("a",), ("b",)]


def test_what_cannot_be_read(table: Path) -> None:
    for options, message in (
        ({"version": 9}, "the Delta table t, version 9 cannot be read"),
        ({"select": ("m",)}, "has no column 'm', which `select` names"),
        ({}, "the Delta table t: column 'list'"),
    ):
        with pytest.raises(DataError, match=message):
            rows(DeltaSource.model_validate({"path": str(table), **options}))
    with pytest.raises(DataError, match="cannot be read"):
        DeltaSource(path=str(table.parent / "none")).columns()
    shutil.rmtree(table / "shop=b")
    with pytest.raises(DataError, match="cannot be read"):
        rows(DeltaSource(path=str(table), select=("n",)))


def test_a_run_records_the_version(
    tmp_path: Path, write_flowers: Callable[..., Path], flowers: Callable[..., Path], run: Callable[..., Any]
) -> None:
    deltalake = pytest.importorskip("deltalake", reason="the extra `delta` is not installed")
    from pyarrow import csv

    deltalake.write_deltalake(str(tmp_path / "t"), csv.read_csv(write_flowers(tmp_path / "flowers.csv")))
    split = {"method": "random", "validation": 0.2}
    spec = flowers(
        data={"source": {"type": "delta", "path": str(tmp_path / "t")}, "split": split}, model="linear"
    )
    report = run(spec)
    assert report.error is None, report.error
    locks = list(spec.parent.rglob("run.lock.json"))
    assert len(locks) == 1
    assert '"sources": {\n     "source": {\n      "version": 0' in locks[0].read_text()


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from declarative_ml.core import optional

    monkeypatch.setattr(optional, "find_spec", lambda name: None)
    with pytest.raises(MissingDependency, match="deltalake is not installed") as caught:
        DeltaSource(path="t").columns()
    assert "declarative-ml[delta]" in str(caught.value.hint)
