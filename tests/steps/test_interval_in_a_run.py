"""`evaluate.interval`, from the spec to `lower` and `upper` in every place where answers come out."""

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

from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.core.errors import DataError
from declarative_ml.scoring.scorer import Scorer
from declarative_ml.spec.load import load_spec
from declarative_ml.steps import interval
from declarative_ml.store.bundle import Bundle

Run = Callable[..., Any]
FAST = {"type": "lightgbm", "learning_rate": 0.3, "early_stopping": 10}


def artifact(report: Any, step: str, name: str) -> Any:
    digest = json.loads((report.folder / "run.json").read_text())["digests"][step]
    (found,) = (report.folder.parents[1] / "store" / "artifacts").glob(f"*/{digest}")
    return json.loads((found / name).read_text())


def write_houses(folder: Path, shared_data: Path, **sections: Any) -> Path:
    """A spec over 1,500 houses, and 1,000 others in new.csv."""
    with (shared_data / "california_housing" / "train.csv").open() as stream:
        (folder / "houses.csv").write_text("".join(islice(stream, 1501)))
    with (shared_data / "california_housing" / "test.csv").open() as stream:
        (folder / "new.csv").write_text("".join(islice(stream, 1001)))
    whole = {
        "name": "houses",
        "data": {"source": "houses.csv", "split": {"method": "random", "folds": 3}},
        "target": "median_house_value",
        "model": FAST,
        "evaluate": {"interval": 0.8},
        "explain": False,
        "track": False,
        "resources": {"cpu": 1},
    }
    path = folder / "spec.yaml"
    path.write_text(json.dumps({**whole, **sections}))
    return path


@pytest.fixture
def houses(tmp_path: Path, shared_data: Path) -> Callable[..., Path]:
    """Write the spec with other sections."""
    return lambda **sections: write_houses(tmp_path, shared_data, **sections)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> tuple[Path, Any]:
    """The spec as it is, and the report of its run."""
    path = write_houses(tmp_path_factory.mktemp("houses"), shared_data)
    report = run_spec(load_spec(path, data=True), RunOptions())
    assert report.error is None, report.error
    return path, report


def read(path: Path) -> dict[str, np.ndarray]:
    with path.open() as stream:
        rows = list(csv.DictReader(stream))
    return {name: np.array([float(row[name]) for row in rows]) for name in ("prediction", "lower", "upper")}


def test_every_output_gives_the_same_honest_interval(finished: Any, dml: Any, tmp_path: Path) -> None:
    spec, report = finished
    new = spec.parent / "new.csv"
    found = report.result["interval"]
    assert found["level"] == 0.8 and found["rows"] == 300
    assert 0.73 <= found["coverage"][0] <= 0.88
    widths = [group["width"] for group in found["groups"]]
    assert widths[-1] > 1.5 * widths[0], "as wide where the model errs much as where it errs little"

    assert dml("predict", spec, new, "-o", tmp_path / "out.csv").code == 0
    answers = read(tmp_path / "out.csv")
    assert (answers["lower"] <= answers["prediction"]).all()
    assert (answers["prediction"] <= answers["upper"]).all()
    with (new).open() as stream:
        truth = np.array([float(row["median_house_value"]) for row in csv.DictReader(stream)])
    inside = (truth >= answers["lower"]) & (truth <= answers["upper"])
    assert 0.76 <= inside.mean() <= 0.86

    measured = json.loads(dml("evaluate", spec, new, "--format", "json").out)["interval"]
    assert measured["coverage"][0] == pytest.approx(inside.mean())
    assert measured["width"][0] == pytest.approx((answers["upper"] - answers["lower"]).mean(), rel=1e-5)
    assert "80 % intervals cover" in dml("evaluate", spec, new).out


def test_the_bundle_says_the_level_and_the_report_what_it_is_worth(finished: Any, dml: Any) -> None:
    spec, report = finished
    bundle = Bundle.open(report.result["bundle"], verify=True)
    assert bundle.manifest.interval == 0.8
    session = ort.InferenceSession(bundle.read("model.onnx"))
    assert [node.name for node in session.get_outputs()] == ["prediction", "lower", "upper"]
    assert [node.shape for node in session.get_outputs()] == [["N", 1]] * 3
    assert session.get_modelmeta().custom_metadata_map["interval"] == "0.8"
    scored = Scorer(bundle).predict_rows([dict.fromkeys(Scorer(bundle).columns)] * 2)
    assert scored.lower is not None and scored.upper is not None
    assert (scored.lower <= scored.prediction).all() and (scored.prediction <= scored.upper).all()
    page = (report.folder / "report.html").read_text()
    assert "<h2>Prediction intervals</h2>" in page and "widest fifth" in page
    again = dml("run", spec)
    assert again.out.startswith("Nothing to do") and "80 % intervals cover" in again.out


def test_parity_covers_the_ends(houses: Any, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(self: Any, data: Any, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        lower, upper = real(self, data, prediction)
        return lower, upper + 1e-3 * np.abs(upper)

    real = interval.Interval.apply
    monkeypatch.setattr(interval.Interval, "apply", shifted)
    report = run(houses())
    assert "the ONNX graph differs from the trained model by" in str(report.error)


@pytest.mark.parametrize(
    "sections",
    [
        {"refit": False},
        {"model": {"type": "ensemble", "members": [FAST, "linear"]}},
        {"model": "linear", "features": {"ocean_proximity": "category"}},
        {"data": {"source": "houses.csv", "split": {"method": "group", "column": "housing_median_age"}}},
        {"data": {"source": "houses.csv", "split": {"method": "random", "validation": 0.2}}},
    ],
    ids=["folds ship", "ensemble", "no number column", "groups", "one fold"],
)
def test_whatever_the_model_and_the_split(sections: dict[str, Any], houses: Any, run: Run) -> None:
    report = run(houses(**sections))
    assert report.error is None, report.error
    assert artifact(report, "assemble", "assembly.json")["parity"]["max_difference"] <= 1e-5
    if sections.get("data", {}).get("split", {}).get("method") != "group":  # new groups promise nothing
        assert 0.7 <= report.result["interval"]["coverage"][0] <= 0.9


def test_errors_are_learned_from_every_row_that_a_fold_holds_out(finished: Any) -> None:
    assert artifact(finished[1], "interval", "interval.json")["rows"] == 1200


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"evaluate": {"interval": 0.95}}, "an interval of 0.95 needs 39 held-out rows, and there are 18"),
        (
            {"data": {"source": "flowers.csv", "split": {"method": "column", "column": "wild",
                      "train": "yes", "validation": "none", "test": "no"}}},
            "an interval of 0.8 needs 9 held-out rows, and there are 0",
        ),
        ({"target": "kind"}, "evaluate.interval is for numbers, and the target 'kind' is multiclass"),
        ({"features": {"lower": "number"}}, "a feature cannot be called 'lower'"),
    ],
    ids=["too few rows", "nothing held out", "classes", "an output's name"],
)  # fmt: skip
def test_what_cannot_be_is_said(sections: dict[str, Any], message: str, flowers: Run, run: Run) -> None:
    path = flowers(**{"target": "length", "evaluate": {"interval": 0.8}, **sections})
    if "features" in sections:
        table = path.parent / "flowers.csv"
        table.write_text(table.read_text().replace("width", "lower", 1))
    report = run(path)
    assert isinstance(report.error, DataError)
    assert message in report.error.message
    assert report.error.hint


def test_without_intervals_such_names_are_free(flowers: Run, run: Run) -> None:
    path = flowers(target="length", features={"lower": "number"})
    table = path.parent / "flowers.csv"
    table.write_text(table.read_text().replace("width", "lower", 1))
    report = run(path)
    assert report.error is None, report.error
    assert report.result["interval"] is None
    assert Bundle.open(report.result["bundle"]).manifest.interval is None


def test_many_held_out_rows_are_thinned(houses: Any, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(interval, "MOST_ROWS", 500)
    report = run(houses())
    assert report.error is None, report.error
    assert artifact(report, "interval", "interval.json")["rows"] == 500


def write_noise(path: Path) -> None:
    """400 rows: where `loud`, which weighs 9, the target is ten times as noisy; no feature shows it."""
    random = np.random.default_rng(1)
    lines = ["x,y,counts"]
    for number in range(400):
        loud = number % 4 == 0
        x = random.normal()
        y = x + random.normal() * (1.0 if loud else 0.1)
        lines.append(f"{x:.4f},{y:.4f},{9 if loud else 0 if number % 4 == 1 else 1}")
    path.write_text("\n".join(lines))


@pytest.mark.slow
def test_row_weights_bound_what_weighs_most(tmp_path: Path) -> None:
    write_noise(tmp_path / "noise.csv")
    spec = {
        "name": "noise",
        "data": {"source": "noise.csv", "split": {"method": "random", "folds": 3, "test": 0.25}},
        "features": {"x": "number"},
        "target": {"column": "y", "type": "number"},
        "model": "linear",
        "evaluate": {"interval": 0.8},
        "explain": False,
        "track": False,
        "resources": {"cpu": 1},
    }
    widths = {}
    for weight in ({}, {"weight": "counts"}):
        path = tmp_path / "spec.yaml"
        path.write_text(json.dumps({**spec, **weight}))
        report = run_spec(load_spec(path), RunOptions(until="interval"))
        assert report.error is None, report.error
        found = artifact(report, "interval", "interval.json")
        root = found["bounds"]["floor"]
        widths[len(weight)] = (found["bounds"]["below"] + found["bounds"]["above"]) * root**2
        assert found["rows"] < 240 if weight else found["rows"] == 300, "a row of weight 0 stands for none"
    assert widths[1] > 1.5 * widths[0]


def test_weights_that_leave_too_few_rows(tmp_path: Path, run: Run) -> None:
    lines = [f"{n % 17},{n % 5},{1e6 if n % 40 == 0 else 1}" for n in range(200)]
    (tmp_path / "few.csv").write_text("\n".join(["x,y,counts", *lines]))
    spec = {
        "name": "few",
        "data": {"source": "few.csv"},
        "weight": "counts",
        "features": {"x": "number"},
        "target": {"column": "y", "type": "number"},
        "model": "linear",
        "evaluate": {"interval": 0.8},
    }
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps(spec))
    message = str(run(path).error)
    assert "an interval of 0.8 needs 9 held-out rows, and there are 160, whose weights make" in message
