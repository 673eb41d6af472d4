"""Predictions into Delta tables: one commit, or none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from declarative_ml.api.tables import sink_of
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.sources.delta import DeltaSource
from declarative_ml.sources.delta_sink import DeltaSink

pytest.importorskip("deltalake", reason="the extra `delta` is not installed")


def batches(*numbers: int) -> Iterator[pa.RecordBatch]:
    for number in numbers:
        yield pa.record_batch({"prediction": ["a"], "probability": pa.array([number], pa.float32())})


def rows(path: Path) -> list[Any]:
    found = pa.Table.from_batches(list(DeltaSource(path=str(path)).batches()))
    return sorted(found["probability"].to_pylist())


def test_modes(tmp_path: Path) -> None:
    table = tmp_path / "answers"
    sink = DeltaSink(path="answers").resolved(tmp_path)
    assert sink.write(batches(1, 2)) == 2
    assert sink.model_copy(update={"mode": "append"}).write(batches(3)) == 1
    assert rows(table) == [1, 2, 3]
    with pytest.raises(DataError, match=r"the Delta table answers refuses the rows: .*already exists"):
        sink.write(batches(4))
    assert sink.model_copy(update={"mode": "replace"}).write(batches(5)) == 1
    assert rows(table) == [5]
    assert sink.write(batches()) == 0


def test_rows_that_end_in_an_error_leave_the_table_as_it_was(tmp_path: Path) -> None:
    def faulty() -> Iterator[pa.RecordBatch]:
        yield from batches(6)
        raise DataError("row 7 is bad")

    sink = DeltaSink(path=str(tmp_path / "answers"))
    sink.write(batches(1))
    with pytest.raises(DataError, match="row 7 is bad"):
        sink.model_copy(update={"mode": "append"}).write(faulty())
    assert rows(tmp_path / "answers") == [1]
    with pytest.raises(DataError, match="refuses the rows"):
        other = iter([pa.record_batch({"other": [1]})])
        sink.model_copy(update={"mode": "append"}).write(other)
    assert rows(tmp_path / "answers") == [1]


def test_the_command_line_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sink = sink_of("{type: delta, path: answers, mode: append}")
    assert sink == DeltaSink(path=str(tmp_path / "answers"), mode="append")
    with pytest.raises(UsageError, match="the table cannot be used: mode: Input should be"):
        sink_of("{type: delta, path: answers, mode: merge}")
