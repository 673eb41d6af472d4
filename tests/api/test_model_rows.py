"""Which rows `dml predict` and `dml evaluate` take from a spec whose SQL cannot be re-run on new rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from declarative_ml.api.predict import model_rows
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.store.bundle import Bundle, write_bundle

WINDOW = "SELECT a, a - lag(a) OVER () AS step, y FROM source"
SAME_NAMES = "SELECT a, y FROM source ORDER BY a LIMIT 10"
JOIN = "SELECT left_.a, right_.b AS step, y FROM left_ JOIN right_ USING (k)"
ROW_WISE = "SELECT a, a * 2 AS step, y FROM source"


def table(*columns: str) -> dict[str, Any]:
    return {"missing": [""], "columns": {name: {"type": "number"} for name in columns}}


def bundle(folder: Path, sql: str | None, inputs: list[str], sources: dict[str, Any]) -> Bundle:
    graph = OnnxGraph()
    answers = [graph.input(name, "float32") for name in inputs]
    graph.output(graph.add("Add", [answers[0], answers[-1]]), "prediction", "float32")
    fields = {
        "name": "rows",
        "task": {"target": "y", "type": "number"},
        "inputs": [
            {"name": name, "feature": "number", "dtype": "float32", "rule": {"type": "number"}}
            for name in inputs
        ],
        "sql": sql,
        "sources": sources,
    }
    model = graph.build("rows", {"task": "number"}).SerializeToString()
    write_bundle(folder, fields, {"model.onnx": model, "reference.json": b"{}"})
    return Bundle.open(folder)


def batches(**columns: list[str]) -> Iterator[pa.RecordBatch]:
    yield pa.record_batch({name: pa.array(values) for name, values in columns.items()})


@pytest.mark.parametrize(
    ("sql", "sources"),
    [
        (None, {}),
        (WINDOW, {"source": table("a", "y")}),
        (JOIN, {"left_": table("k", "a"), "right_": table("k", "b", "y")}),
    ],
    ids=["no sql", "window", "join"],
)
def test_shaped_rows_pass_as_they_are(sql: str | None, sources: dict[str, Any], tmp_path: Path) -> None:
    model = bundle(tmp_path / "b", sql, ["a", "step"], sources)
    (rows,) = model_rows(model, batches(a=["1"], step=["2"], note=["x"]))
    assert rows.to_pylist() == [{"a": "1", "step": "2", "note": "x"}]


def test_row_wise_sql_is_run_on_new_rows(tmp_path: Path) -> None:
    model = bundle(tmp_path / "b", ROW_WISE, ["a", "step"], {"source": table("a", "y")})
    (rows,) = model_rows(model, batches(a=["1", "2"]))
    assert rows.column("step").to_pylist() == [2.0, 4.0]


@pytest.mark.parametrize(
    ("sql", "inputs", "sources", "error", "message"),
    [
        (WINDOW, ["a", "step"], {"source": table("a", "y")}, DataError, "(window), and the rows lack 'step'"),
        (JOIN, ["a", "step"], {"left_": table("k", "a"), "right_": table("k", "b", "y")}, DataError,
         "(it joins several sources), and the rows lack 'step'"),
        (SAME_NAMES, ["a"], {"source": table("a", "y")}, UsageError, "named as those of a source"),
    ],
    ids=["window", "join", "raw and shaped look alike"],
)  # fmt: skip
def test_raw_rows_are_refused(
    sql: str, inputs: list[str], sources: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    model = bundle(tmp_path / "b", sql, inputs, sources)
    with pytest.raises(error) as caught:
        list(model_rows(model, batches(a=["1"])))
    assert message in str(caught.value)
