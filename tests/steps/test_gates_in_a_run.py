"""Gates and the champion, from the spec to the verdict: worse models are refused, equal ones pass."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.api.run import RunOptions, RunReport, run_spec
from declarative_ml.core.errors import DataError, GateFailed
from declarative_ml.spec.load import load_spec
from declarative_ml.store.bundle import Bundle

GOOD = {"type": "lightgbm", "rounds": 40, "learning_rate": 0.1}
EQUAL = {"type": "lightgbm", "rounds": 45, "learning_rate": 0.09}
FEW_TREES = {"type": "lightgbm", "rounds": 1, "learning_rate": 0.1, "num_leaves": 2}

Rows = list[dict[str, str]]


def read(path: Path, rows: int) -> Rows:
    with path.open(newline="") as stream:
        return list(islice(csv.DictReader(stream), rows))


def write(path: Path, rows: Rows) -> None:
    with path.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_spec(folder: Path, gates: dict[str, Any], target: str, **sections: Any) -> Path:
    """A spec over train.csv and test.csv of the folder."""
    evaluate = {"gates": gates, **sections.pop("evaluate", {})}
    test = {"method": "files", "test": "test.csv", "validation": 0.2}
    whole = {
        "name": "guarded",
        "data": {"source": "train.csv", "split": test},
        "target": target,
        "model": GOOD,
        "refit": False,
        "explain": False,
        "track": False,
        "resources": {"cpu": 1},
        "evaluate": evaluate,
    }
    path = folder / "spec.yaml"
    path.write_text(json.dumps({**whole, **sections}))
    return path


def run(path: Path) -> RunReport:
    return run_spec(load_spec(path, data=True), RunOptions())


def outcome(report: RunReport) -> dict[str, bool]:
    """Gate -> whether it was passed."""
    return {gate["name"]: gate["passed"] for gate in report.result["gates"]}


def gate(report: RunReport, name: str) -> dict[str, Any]:
    (found,) = (each for each in report.result["gates"] if each["name"] == name)
    return dict(found)


Table = tuple[Path, Path]
"""A folder with train.csv and test.csv, and the bundle of a good model of it."""


def prepared(folder: Path, source: Path, target: str, train: int, test: int) -> Table:
    folder.mkdir()
    write(folder / "train.csv", read(source / "train.csv", train))
    write(folder / "test.csv", read(source / "test.csv", test))
    report = run(write_spec(folder, {"quick": {"latency": "50ms"}}, target))
    assert report.error is None, report.error
    return folder, Path(report.result["bundle"])


@pytest.fixture(scope="module")
def telco(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Table:
    folder = tmp_path_factory.mktemp("gates") / "telco"
    return prepared(folder, shared_data / "telco_churn", "Churn", 3000, 1400)


@pytest.fixture(scope="module")
def adult(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Table:
    folder = tmp_path_factory.mktemp("gates") / "adult"
    return prepared(folder, shared_data / "adult", "income", 3000, 1500)


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Table:
    folder = tmp_path_factory.mktemp("gates") / "houses"
    return prepared(folder, shared_data / "california_housing", "median_house_value", 3000, 1500)


NOT_WORSE = {"not-worse": {"metric": "roc_auc", "beats": "champion"}}


def test_an_equal_model_passes_and_fewer_trees_do_not(telco: Table) -> None:
    folder, champion = telco
    gates = {
        **NOT_WORSE,
        "every-contract": {"metric": "log_loss", "beats": "champion", "slice": "Contract"},
        "not-inferior": {"metric": "roc_auc", "beats": "champion", "by": -0.03, "sure": True},
        "good-enough": {"metric": "roc_auc", "min": 0.8},
    }
    named = {"evaluate": {"champion": str(champion)}}
    report = run(write_spec(folder, gates, "Churn", model=EQUAL, **named))
    assert report.error is None, report.error
    assert all(outcome(report).values())
    compared = gate(report, "not-worse")
    assert compared["interval"][0] <= compared["observed"] <= compared["interval"][1]
    assert compared["candidate"] - compared["champion"] == pytest.approx(compared["observed"])
    assert compared["champion"] == pytest.approx(Bundle.open(champion).manifest.metrics["test"]["roc_auc"]), (
        "the champion's own run had the same test rows"
    )
    assert compared["candidate"] == report.result["metrics"]["test"]["roc_auc"]

    report = run(write_spec(folder, gates, "Churn", model=FEW_TREES, **named))
    assert isinstance(report.error, GateFailed) and report.error.exit_code == 4
    assert report.result["status"] == "gate_failed"
    assert outcome(report) == dict.fromkeys(gates, False)
    assert "gate not-worse: roc_auc is 0." in str(report.error)
    assert "shown to be below 0" in str(report.error)
    assert Path(report.result["bundle"]).is_dir() and Path(report.result["report"]).is_file()
    page = Path(report.result["report"]).read_text()
    assert "4 of 4 gates failed" in page and "every-contract" in page
    worst = gate(report, "every-contract")
    assert worst["slice"].startswith("Contract = ") and len(worst["parts"]) == 3
    assert "98.33 % interval" in worst["reason"], "three slices share the chance of a mistake"


def test_the_champion_against_itself_is_equal(telco: Table) -> None:
    folder, champion = telco
    gates = {
        **NOT_WORSE,
        "better": {"metric": "roc_auc", "beats": "champion", "sure": True},
        "by-much": {"metric": "roc_auc", "beats": "champion", "by": 0.001},
    }
    report = run(write_spec(folder, gates, "Churn", evaluate={"champion": str(champion)}))
    assert outcome(report) == {"not-worse": True, "better": False, "by-much": False}
    assert gate(report, "not-worse")["interval"] == [0.0, 0.0]
    assert run(write_spec(folder, NOT_WORSE, "Churn", evaluate={"champion": str(champion)})).error is None


def test_a_run_that_passed_is_not_run_again(telco: Table) -> None:
    folder, champion = telco
    path = write_spec(folder, NOT_WORSE, "Churn", evaluate={"champion": str(champion)})
    first = run(path)
    again = run(path)
    assert again.unchanged and again.result["gates"] == first.result["gates"]


def test_shuffled_labels_are_refused(adult: Table) -> None:
    folder, champion = adult
    rows = read(folder / "train.csv", 10_000)
    labels = [row["income"] for row in rows]
    random.Random(0).shuffle(labels)
    broken = folder / "shuffled"
    broken.mkdir()
    write(broken / "train.csv", [{**row, "income": label} for row, label in zip(rows, labels, strict=True)])
    write(broken / "test.csv", read(folder / "test.csv", 10_000))
    gates = {
        **NOT_WORSE,
        "ranks": {"metric": "roc_auc", "min": 0.8},
        "calibrated": {"metric": "ece", "max": 0.2},
        "small": {"size": "20MB"},
    }
    report = run(write_spec(broken, gates, "income", evaluate={"champion": str(champion)}))
    assert outcome(report) == {"not-worse": False, "ranks": False, "calibrated": True, "small": True}
    assert "the champion learned from other data" in Path(report.result["report"]).read_text()


def test_an_equal_model_of_adult_passes(adult: Table) -> None:
    folder, champion = adult
    gates = {**NOT_WORSE, "by-sex": {"metric": "accuracy", "beats": "champion", "slice": "sex"}}
    report = run(write_spec(folder, gates, "income", model=EQUAL, evaluate={"champion": str(champion)}))
    assert report.error is None and all(outcome(report).values())


def test_a_broken_slice_is_refused_by_its_gate_alone(houses: Table) -> None:
    """Inland houses with the prices of others: the whole is still good."""
    folder, champion = houses
    rows = read(folder / "train.csv", 10_000)
    for row in rows:
        if row["ocean_proximity"] == "INLAND":
            row["median_house_value"] = str(float(row["median_house_value"]) * 2)
    broken = folder / "inland"
    broken.mkdir()
    write(broken / "train.csv", rows)
    write(broken / "test.csv", read(folder / "test.csv", 10_000))
    gates = {
        "good-enough": {"metric": "mae", "max": 90_000},
        "everywhere": {"metric": "mae", "max": 100_000, "slice": "ocean_proximity"},
        "here": {"metric": "mae", "max": 100_000, "slice": {"ocean_proximity": "NEAR BAY"}},
        "not-worse": {"metric": "mae", "beats": "champion", "slice": "ocean_proximity"},
        "fair": {"fairness": "mae", "column": "ocean_proximity", "min_ratio": 0.1},
    }
    clean = run(
        write_spec(folder, gates, "median_house_value", model=EQUAL, evaluate={"champion": str(champion)})
    )
    assert clean.error is None, clean.error
    report = run(write_spec(broken, gates, "median_house_value", evaluate={"champion": str(champion)}))
    assert outcome(report) == {
        "good-enough": True, "everywhere": False, "here": True, "not-worse": False, "fair": True,
    }  # fmt: skip
    assert gate(report, "everywhere")["slice"] == "ocean_proximity = INLAND"
    assert gate(report, "not-worse")["slice"] == "ocean_proximity = INLAND"
    assert gate(report, "everywhere")["observed"] > 100_000 > gate(report, "good-enough")["observed"]
    assert "is above 100,000" in str(report.error) or ", above 100,000" in str(report.error)


# Tables that are made here.


def flowers_gates(flowers: Callable[..., Path], gates: dict[str, Any], **sections: Any) -> Path:
    evaluate = {"gates": gates, **sections.pop("evaluate", {})}
    return flowers(evaluate=evaluate, **sections)


def test_every_kind_of_gate_says_why(flowers: Callable[..., Path], dml: Callable[..., Any]) -> None:
    gates = {
        "quick": {"latency": "0.001us"},
        "small": {"size": "0.1kB"},
        "fair": {"fairness": "tpr", "class": "a", "column": "wild", "max_difference": 0.0, "rows": 2},
        "held-out": {"metric": "accuracy", "min": 1.01, "part": "validation"},
        "few": {"metric": "accuracy", "min": 0.0, "slice": {"colour": "pink"}},
        "groups": {"fairness": "tpr", "class": "a", "column": "wild", "max_difference": 1},
        "fine": {"metric": "accuracy", "min": 0.0, "slice": "colour", "rows": 2},
    }
    spec = flowers_gates(flowers, gates, convert=["onnx"])
    ended = dml("run", spec, "--format", "json")
    assert ended.code == 4
    result = json.loads(ended.out)
    assert result["status"] == "gate_failed"
    reasons = {item["name"]: item["reason"] for item in result["gates"] if not item["passed"]}
    assert list(reasons) == ["quick", "small", "fair", "held-out", "few", "groups"]
    assert "more than 0.001us" in reasons["quick"]
    assert "more than 0.1kB" in reasons["small"]
    assert "above 0" in reasons["fair"]
    assert "held-out rows" in reasons["held-out"] and "below 1.01" in reasons["held-out"]
    assert reasons["few"] == ("could not be measured: colour = pink: 0 test rows are fewer than 30")
    assert "0 of 2 groups have 30 rows that count" in reasons["groups"]
    assert [step["status"] for step in result["steps"] if step["id"] == "convert.onnx"] == ["skipped"]
    again = dml("run", spec)
    assert again.code == 4
    assert "✗ quick     one row takes" in again.out and "✓ fine      colour = " in again.out


@pytest.mark.parametrize(
    ("gates", "error", "hint"),
    [
        (
            {"fair": {"fairness": "tpr", "column": "wild", "max_difference": 0.1}},
            "gate 'fair': tpr is of one class, and the target has several",
            "name it: class: a",
        ),
        (
            {"fair": {"fairness": "tpr", "class": "z", "column": "wild", "max_difference": 0.1}},
            "gate 'fair': the target 'kind' has no class 'z'",
            "its classes are a, b, c",
        ),
    ],
)
def test_what_only_the_data_shows(
    flowers: Callable[..., Path], gates: dict[str, Any], error: str, hint: str
) -> None:
    report = run(flowers_gates(flowers, gates))
    assert isinstance(report.error, DataError)
    assert (report.error.message, report.error.hint) == (error, hint)


def test_without_a_champion_a_comparison_passes_and_says_so(flowers: Callable[..., Path]) -> None:
    report = run(flowers_gates(flowers, {"not-worse": {"metric": "accuracy", "beats": "champion"}}))
    assert report.error is None
    found = gate(report, "not-worse")
    assert found["passed"] and found["observed"] is None
    assert found["reason"].startswith(
        "passed without a comparison: there is no champion: the spec names none"
    )


def test_a_champion_that_cannot_be_compared_is_a_fault(flowers: Callable[..., Path]) -> None:
    """Of another task, with other classes, or in need of a column that is gone."""
    bundle = run(flowers()).result["bundle"]
    gates = {"not-worse": {"metric": "log_loss", "beats": "champion"}}
    named = {"evaluate": {"champion": bundle}}
    sources = {
        "SELECT * EXCLUDE (length) FROM source": "the champion needs the column 'length', which the data no",
        "SELECT * FROM source WHERE kind <> 'c'": "for one of several classes, this model for one of two",
        "SELECT * REPLACE (CASE kind WHEN 'c' THEN 'd' ELSE kind END AS kind) FROM source": (
            "the champion knows the classes a, b, c, this model a, b, d"
        ),
    }
    for sql, reason in sources.items():
        data = {"source": "flowers.csv", "sql": sql, "split": {"validation": 0.2}}
        report = run(flowers_gates(flowers, gates, data=data, **named))
        assert isinstance(report.error, GateFailed), report.error
        assert "gate not-worse: cannot be compared: " in str(report.error) and reason in str(report.error)
    report = run(
        flowers_gates(flowers, {"near": {"metric": "rmse", "beats": "champion"}}, target="length", **named)
    )
    assert "the champion predicts 'kind', this model 'length'" in str(report.error)


def test_a_damaged_champion_is_no_champion(flowers: Callable[..., Path]) -> None:
    bundle = Path(run(flowers()).result["bundle"])
    (bundle / "model.onnx").write_bytes(b"")
    gates = {"not-worse": {"metric": "log_loss", "beats": "champion"}}
    report = run(flowers_gates(flowers, gates, evaluate={"champion": str(bundle)}))
    assert isinstance(report.error, DataError)
    assert "model.onnx does not match its digest" in report.error.message
