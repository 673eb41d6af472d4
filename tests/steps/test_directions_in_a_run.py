"""`monotone: increasing|decreasing`, from the spec to the proof in the report, on real tables."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from declarative_ml.core.errors import DataError, StepFailed
from declarative_ml.learning.monotone import reversal
from declarative_ml.models import lightgbm

Run = Callable[..., Any]
FAST = {"type": "lightgbm", "learning_rate": 0.15, "early_stopping": 10}


@pytest.fixture
def spec(tmp_path: Path, shared_data: Path) -> Callable[..., Path]:
    """Write a spec over the first rows of a shared table; `features` are those that it names."""

    def write(table: str, rows: int, target: Any, features: dict[str, Any], **sections: Any) -> Path:
        with (shared_data / table / "train.csv").open() as stream:
            (tmp_path / f"{table}.csv").write_text("".join(islice(stream, rows + 1)))
        whole = {
            "name": table.replace("_", "-"),
            "data": {"source": f"{table}.csv", "split": {"method": "random", "validation": 0.2}},
            "target": target,
            "features": features,
            "others": "auto",
            "model": FAST,
            "explain": False,
            "track": False,
            "resources": {"cpu": 1},
        }
        path = tmp_path / "spec.yaml"
        path.write_text(json.dumps({**whole, **sections}))
        return path

    return write


def assembly(report: Any) -> dict[str, Any]:
    digest = json.loads((report.folder / "run.json").read_text())["digests"]["assemble"]
    (found,) = (report.folder.parents[1] / "store" / "artifacts").glob(f"*/{digest}")
    result: dict[str, Any] = json.loads((found / "assembly.json").read_text())
    return result


def wrong_way(report: Any, table: Path, column: str, direction: str, values: list[Any]) -> float:
    """The worst step the wrong way of the bare graph, on the first 60 rows with each of `values`."""
    session = ort.InferenceSession(Path(report.result["bundle"]) / "model.onnx")
    with table.open() as stream:
        rows = [row for row in islice(csv.DictReader(stream), 60) for _ in values]
    feed = {}
    for item in session.get_inputs():
        cells = values * 60 if item.name == column else [row[item.name] for row in rows]
        if item.type == "tensor(float)":
            numbers = [float(cell) if str(cell).strip() else float("nan") for cell in cells]
            feed[item.name] = np.array(numbers, dtype=np.float32)[:, None]
        else:
            feed[item.name] = np.array(cells, dtype=object)[:, None]
    outputs = {node.name for node in session.get_outputs()}
    name = "probabilities" if "probabilities" in outputs else "prediction"
    answers = session.run([name], feed)[0][:, -1].reshape(60, len(values)).astype(np.float64)
    return float(reversal(answers, direction).max() / (1.0 if name == "probabilities" else answers.std()))


# Wealth, age, and a date that the demand grows with: real tables tempt a model to go back in each.
CASES = {
    "number": ("california_housing", 2000, "median_house_value",
               "median_income", "number", "increasing", np.linspace(0.5, 15.0, 60).tolist()),
    "binary": ("telco_churn", 3000, {"column": "Churn", "positive": "Yes"},
               "tenure", "number", "decreasing", list(range(1, 73))),
    "date": ("bike_sharing", 4000, {"column": "cnt", "type": "number"},
             "dteday", "date", "increasing",
             [f"2011-{month:02d}-{day:02d}" for month in range(1, 13) for day in (1, 9, 20)]),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_the_constrained_model_keeps_what_the_other_breaks(case: str, spec: Any, run: Run) -> None:
    table, rows, target, column, kind, direction, values = CASES[case]
    drop = {"exclude": ["instant", "casual", "registered"]} if case == "date" else {}
    free = run(spec(table, rows, target, {column: kind}, **drop))
    assert free.error is None, free.error
    data = Path(free.folder).parents[2] / f"{table}.csv"
    assert wrong_way(free, data, column, direction, values) > 0.01
    assert assembly(free)["monotone"] == []

    kept = run(spec(table, rows, target, {column: {"type": kind, "monotone": direction}}, **drop))
    assert kept.error is None, kept.error
    assert wrong_way(kept, data, column, direction, values) <= 1e-6
    (proven,) = assembly(kept)["monotone"]
    assert (proven["column"], proven["direction"], proven["rows"]) == (column, direction, 100)
    assert proven["points"] > 20 and proven["worst"] <= 1e-6
    moves = "falls" if direction == "increasing" else "rises"
    subject = "probability of Yes" if case == "binary" else "prediction"
    page = (kept.folder / "report.html").read_text()
    assert f"The {subject} never {moves} when only {column} grows. That was proven on the ONNX file" in page
    assert "That was proven on the ONNX file" not in (free.folder / "report.html").read_text()


def test_a_graph_that_goes_the_wrong_way_never_ships(
    spec: Any, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lightgbm, "_constraints", lambda *_: {})
    features = {"median_income": {"type": "number", "monotone": "increasing"}}
    report = run(spec("california_housing", 1500, "median_house_value", features))
    assert isinstance(report.error, StepFailed)
    assert "the prediction is not increasing in 'median_income': it goes the wrong way by" in (
        report.error.message
    )
    assert "(allowed 1e-06), first at row" in report.error.message
    assert report.result["bundle"] is None


def test_a_blend_of_able_models_is_proven_as_well(spec: Any, run: Run) -> None:
    model = {"type": "ensemble", "members": [FAST, {**FAST, "extra_trees": True}]}
    features = {"tenure": {"type": "number", "monotone": "decreasing", "missing": "zero"}}
    evaluate = {"threshold": {"maximize": "f1"}}
    report = run(spec("telco_churn", 1500, "Churn", features, model=model, evaluate=evaluate))
    assert report.error is None, report.error
    assert assembly(report)["calibration"]["scale"] > 0
    assert [item["worst"] for item in assembly(report)["monotone"]] == pytest.approx([0.0], abs=1e-6)


def test_auto_leaves_out_what_cannot(spec: Any, run: Run, dml: Any) -> None:
    features = {"median_income": {"type": "number", "monotone": "increasing"}}
    path = spec("california_housing", 600, "median_house_value", features, model={"type": "auto"})
    planned = dml("plan", path)
    assert "train.mlp" not in planned.out and "train.lightgbm.fold0" in planned.out
    assert "cannot keep the prediction increasing in 'median_income'" in planned.out
    report = run(path)
    assert report.error is None, report.error
    page = (report.folder / "report.html").read_text()
    assert "cannot keep the prediction increasing in &#39;median_income&#39;" in page
    (proven,) = assembly(report)["monotone"]
    assert proven["worst"] <= 1e-6
    members = {item["name"]: item["weight"] for item in assembly(report)["members"]}
    assert members["lightgbm"] > 0.0 and members["mlp"] == members["linear"] == 0.0
    assert run(path).unchanged


def test_several_classes_are_refused_when_they_are_found(flowers: Run, run: Run) -> None:
    features = {"length": {"type": "number", "monotone": "increasing"}}
    report = run(flowers(features=features, others="auto", model="lightgbm"))
    assert isinstance(report.error, DataError)
    assert "'length' cannot be monotone: the target 'kind' has 3 classes" in report.error.message
    assert "one class against the rest" in str(report.error.hint)


@pytest.mark.parametrize("monotone", ["increasing", "decreasing"])
def test_a_column_of_gaps_and_one_of_one_value_are_swept(monotone: str, run: Run, flowers: Run) -> None:
    path = flowers(model={"type": "lightgbm", "rounds": 20}, target="wild", others="auto")
    table = path.parent / "flowers.csv"
    lines = table.read_text().splitlines()
    extended = [lines[0] + ",same,gaps"] + [
        f"{line},7,{number if number % 3 == 0 else ''}" for number, line in enumerate(lines[1:])
    ]
    table.write_text("\n".join(extended) + "\n")
    sections = json.loads(path.read_text())
    option = {"type": "number", "monotone": monotone}
    sections["features"] = {"same": option, "gaps": option}
    path.write_text(json.dumps(sections))
    report = run(path)
    assert report.error is None, report.error
    points = {item["column"]: item["points"] for item in assembly(report)["monotone"]}
    assert points["same"] == 1 and points["gaps"] > 20
