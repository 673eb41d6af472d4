"""`explain` and `stored`: the values of a bundle, by the one sampler."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from declarative_ml.api.explain import MAX_ROWS, explain, stored
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.graph.onnx_graph import OnnxGraph
from declarative_ml.scoring.explain import explain_inputs
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.scoring.shap_sampler import DEFAULT_BUDGET
from declarative_ml.store.bundle import Bundle, write_bundle

NAMES = [f"c{number}" for number in range(13)]
"""More columns than are enumerated: their values are sampled."""
BACKGROUND = 20


def product_graph(names: list[str]) -> bytes:
    """The product of all columns plus one, as a number; missing counts as 0."""
    graph = OnnxGraph()
    total = graph.constant([[1.0]], "float32")
    for name in names:
        raw = graph.input(name, "float32")
        known = graph.add("Where", [graph.add("IsNaN", [raw]), graph.constant([[0.0]], "float32"), raw])
        total = graph.add("Mul", [total, graph.add("Add", [known, graph.constant([[1.0]], "float32")])])
    graph.output(total, "prediction", "float32")
    return graph.build("product", {"task": "number"}).SerializeToString()


def make_bundle(folder: Path, names: list[str], explanation: dict[str, Any] | None = None) -> Bundle:
    draw = np.random.default_rng(0)
    inputs = [
        {"name": name, "feature": "number", "dtype": "float32", "rule": {"type": "number"}} for name in names
    ]
    background = {name: draw.integers(0, 2, BACKGROUND).tolist() for name in names}
    files = {
        "model.onnx": product_graph(names),
        "reference.json": json.dumps({"columns": {}, "background": background}).encode(),
    }
    if explanation is not None:
        arrays = io.BytesIO()
        np.savez(
            arrays, base=np.ones(1), values=np.full((2, len(names), 1), 0.5), predictions=np.ones((2, 1))
        )
        files |= {"explanation.json": json.dumps(explanation).encode(), "explanation.npz": arrays.getvalue()}
    task = {"target": "answer", "type": "number", "classes": ()}
    write_bundle(folder, {"name": "product", "task": task, "inputs": inputs}, files)
    return Bundle.open(folder)


def about(names: list[str], seed: int = 5) -> dict[str, Any]:
    importance = [{"feature": name, "mean_abs_shap": 0.5} for name in names]
    return {"names": names, "outputs": ["answer"], "method": "exact", "importance": importance, "seed": seed}


@pytest.fixture
def small(tmp_path: Path) -> Bundle:
    return make_bundle(tmp_path / "small", ["a", "b"])


def test_a_row_is_explained_and_what_it_leaves_out_is_missing(small):
    found = explain(small, row='{"a": 3}')
    assert (found["method"], found["outputs"]) == ("exact", ["answer"])
    (row,) = found["rows"]
    assert row["prediction"] == 4.0
    assert row["base"] + sum(row["values"].values()) == pytest.approx(4.0)
    assert {item["feature"]: item["mean_abs_shap"] for item in found["features"]} == {
        name: pytest.approx(abs(value)) for name, value in row["values"].items()
    }
    sizes = [item["mean_abs_shap"] for item in found["features"]]
    assert sizes == sorted(sizes, reverse=True)


def test_the_rows_of_a_file_are_explained_in_their_order(small, tmp_path):
    (tmp_path / "rows.csv").write_text("b,a,more\n1,2,x\n0,5,y\n")
    found = explain(small, rows=str(tmp_path / "rows.csv"))
    assert [row["prediction"] for row in found["rows"]] == [6.0, 6.0]


def test_at_most_the_first_thousand_rows_are_explained(small, tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n" + "1,1\n" * (MAX_ROWS + 5))
    assert len(explain(small, rows=str(tmp_path / "rows.csv"))["rows"]) == MAX_ROWS


@pytest.mark.parametrize(
    ("row", "message"), [("{", "--row is not JSON"), ("[1]", "--row must be a JSON object")]
)
def test_a_row_that_is_no_object_is_refused(small, row, message):
    with pytest.raises(UsageError, match=message) as caught:
        explain(small, row=row)
    assert "--row '{" in caught.value.hint


def test_a_file_without_rows_is_refused(small, tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n")
    with pytest.raises(DataError, match=r"rows\.csv"):
        explain(small, rows=str(tmp_path / "rows.csv"))


def test_a_value_that_does_not_fit_is_named(small, tmp_path):
    (tmp_path / "rows.csv").write_text("a,b\n1,1\n1,many\n")
    with pytest.raises(DataError, match=r"column 'b', row 2: 'many' is not a number"):
        explain(small, rows=str(tmp_path / "rows.csv"))


def test_the_values_are_those_of_the_run_and_of_serving(tmp_path):
    bundle = make_bundle(tmp_path / "wide", NAMES, about(NAMES, seed=5))
    scorer = Scorer(bundle)
    inputs, _ = scorer.raw_rows([dict.fromkeys(NAMES, 2.0)])
    served = explain_inputs(scorer, inputs, budget=DEFAULT_BUDGET, seed=5)
    asked = json.dumps(dict.fromkeys(NAMES, 2.0))
    assert served.method == "permutation"
    assert list(explain(bundle, row=asked)["rows"][0]["values"].values()) == served.values[0, :, 0].tolist()
    other = explain(bundle, row=asked, seed=6)["rows"][0]["values"]
    assert list(other.values()) != served.values[0, :, 0].tolist()


def test_the_stored_explanation_has_the_same_shape(tmp_path):
    bundle = make_bundle(tmp_path / "stored", ["a", "b"], about(["a", "b"]))
    kept, fresh = stored(bundle), explain(bundle, row='{"a": 1, "b": 0}')
    assert kept["rows"] == [{"prediction": 1.0, "base": 1.0, "values": {"a": 0.5, "b": 0.5}}] * 2
    assert kept.keys() == fresh.keys()
    assert kept["rows"][0].keys() == fresh["rows"][0].keys()
    assert kept["features"][0].keys() == fresh["features"][0].keys()


def test_a_bundle_without_an_explanation_asks_for_rows(small):
    with pytest.raises(UsageError, match="holds no explanation") as caught:
        stored(small)
    assert "--rows FILE" in caught.value.hint
