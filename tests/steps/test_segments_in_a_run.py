"""`evaluate.segments`, from the spec to the result, the report and the numbers beside a champion."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.graph.plan import Step
from declarative_ml.spec.load import load_spec
from declarative_ml.steps.context import StepContext
from declarative_ml.steps.segments import FILE, write_findings
from declarative_ml.steps.tested import read_tested

Run = Callable[..., Any]


def write_telco(folder: Path, shared_data: Path, **sections: Any) -> Path:
    """A spec over telco churn whose test labels are wrong where Contract = One year and tenure < 12."""
    for part in ("train", "test"):
        with (shared_data / "telco_churn" / f"{part}.csv").open() as stream:
            rows = list(csv.DictReader(stream))
        for row in rows:
            if part == "test" and row["Contract"] == "One year" and int(row["tenure"]) < 12:
                row["Churn"] = {"Yes": "No", "No": "Yes"}[row["Churn"]]
        with (folder / f"{part}.csv").open("w") as stream:
            writer = csv.DictWriter(stream, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    whole = {
        "name": "telco",
        "data": {
            "source": "train.csv",
            "split": {"method": "files", "test": "test.csv", "validation": 0.1},
        },
        "target": {"column": "Churn", "positive": "Yes"},
        "exclude": ["customerID"],
        "model": "linear",
        "explain": False,
        "track": False,
        "resources": {"cpu": 1},
    }
    path = folder / "spec.yaml"
    path.write_text(json.dumps({**whole, **sections}))
    return path


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, shared_data: Path) -> Any:
    path = write_telco(tmp_path_factory.mktemp("telco"), shared_data)
    report = run_spec(load_spec(path, data=True), RunOptions())
    assert report.error is None, report.error
    return report


def artifact(report: Any, step: str) -> Path:
    digest = json.loads((report.folder / "run.json").read_text())["digests"][step]
    (found,) = (report.folder.parents[1] / "store" / "artifacts").glob(f"*/{digest}")
    return Path(found)


def test_the_planted_error_is_the_first_finding_of_the_run(finished: Any) -> None:
    first = finished.result["segments"][0]
    assert first["segment"] == "Contract = One year and tenure < 12"
    assert first["rows"] == 16
    assert set(first) == {"segment", "rows", "metrics", "loss", "excess", "p"}
    assert first["metrics"]["accuracy"] < 0.2 and first["p"] < 0.001
    assert first["loss"]["inside"] > 3 * first["loss"]["outside"]


def test_the_report_shows_it(finished: Any) -> None:
    page = (finished.folder / "report.html").read_text()
    assert "<h2>Where it fails</h2>" in page
    assert "1. Contract = One year and tenure &lt; 12" in page
    assert "sure and wrong" in page and "Its worst rows" in page
    assert "Data against the champion" not in page


def context_of(report: Any, out: Path) -> StepContext:
    out.mkdir()
    roles = ("table", "split", "assemble", "prepare", "evaluate")
    steps = {"table": "acquire.source"}
    return StepContext(
        step=Step(id="segments", kind="segments", title="", params={"seed": 1}),
        inputs={role: artifact(report, steps.get(role, role)) for role in roles},
        out=out,
        scratch=out,
        workspace=out,
        key="",
        threads=1,
        finished={},
        progress=lambda share, text: None,
    )


def test_beside_a_champion_that_does_not_make_the_error(finished: Any, tmp_path: Path) -> None:
    context = context_of(finished, tmp_path / "out")
    test = read_tested(context.inputs["evaluate"])
    said = dict(zip(test.rows[:].tolist(), zip(test.prediction[:], test.truth[:])))

    def champion(rows: np.ndarray) -> np.ndarray:
        """As the model, and right where the error was planted."""
        answers = np.stack([said[row][0] for row in rows.tolist()])
        truth = np.array([said[row][1] for row in rows.tolist()])
        sure = np.stack([1.0 - truth, truth], axis=1) * 0.9 + 0.05
        wrong = answers[np.arange(len(rows)), truth] < 0.3
        return np.asarray(np.where(wrong[:, None], sure, answers))

    reference = json.loads((context.inputs["prepare"] / "reference.json").read_text())
    reference["columns"]["Contract"]["levels"][0] = "Weekly"
    write_findings(context, champion, reference)
    found = json.loads((context.out / FILE).read_text())
    assert found["segments"][0]["champion"]["metrics"]["accuracy"] > 0.9
    assert found["champion"]["loss"] < found["loss"]
    assert found["champion"]["segments"][0]["segment"] == "Contract = One year and tenure < 12"
    moved = [item["column"] for item in found["drift"]["columns"] if item["moved"]]
    assert moved == ["Contract"]
    assert len(found["drift"]["columns"]) == 19


def test_it_can_be_switched_off(flowers: Run, run: Run) -> None:
    report = run(flowers(evaluate={"segments": False}))
    assert report.error is None, report.error
    assert "segments" not in report.result
    assert "segments" not in [step["id"] for step in report.result["steps"]]
    assert "Where it fails" not in (report.folder / "report.html").read_text()


@pytest.mark.parametrize("target", ["kind", "length"])
def test_few_test_rows_have_no_findings(target: str, flowers: Run, run: Run) -> None:
    report = run(flowers(target=target))
    assert report.error is None, report.error
    assert report.result["segments"] == []
    assert "In none of them is the model clearly worse" in (report.folder / "report.html").read_text()


def test_without_test_rows_there_is_no_search(flowers: Run, run: Run) -> None:
    report = run(flowers(data={"source": "flowers.csv", "split": {"method": "random", "test": 0}}))
    assert report.error is None, report.error
    assert "segments" not in report.result


def test_dates_and_texts_are_searched_too(tmp_path: Path, run: Run) -> None:
    random = np.random.default_rng(0)
    with (tmp_path / "orders.csv").open("w") as stream:
        stream.write("day,size,notes,price\n")
        for number in range(1500):
            day = np.datetime64("2024-01-01") + number % 500
            late = day >= np.datetime64("2025-01-01")
            size, words = random.integers(1, 50), random.integers(3, 30)
            notes = " ".join(random.choice(["red", "big", "old", "slow", "round", "soft"], words))
            price = 3 * size + random.normal(0, 30 if late else 1)
            stream.write(f"{day},{size},{notes},{price:.3f}\n")
    spec = {
        "name": "orders",
        "data": {"source": "orders.csv", "split": {"method": "random", "validation": 0.2, "test": 0.4}},
        "features": {"day": "date", "size": "number", "notes": "text"},
        "target": {"column": "price", "type": "number"},
        "model": "linear",
        "explain": False,
        "track": False,
        "resources": {"cpu": 1},
    }
    (tmp_path / "spec.yaml").write_text(json.dumps(spec))
    report = run(tmp_path / "spec.yaml")
    assert report.error is None, report.error
    first = report.result["segments"][0]
    assert first["segment"].startswith(("day ≥ 2024-12", "day ≥ 2025-01"))
    assert first["metrics"]["rmse"] > 20
