"""`tests` of a spec in a run: judged on the ONNX file, told everywhere, and in the way of what would ship."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from declarative_ml.core.errors import GateFailed
from declarative_ml.store.bundle import Bundle

Make = Callable[..., Any]
COLUMNS = {"length": "number", "width": "number", "colour": "category"}
GOOD = {
    "colour": {"type": "invariance", "columns": ["colour"], "max_change": 1.0},
    "known": {"type": "expect", "rows": [{"given": {"length": 0, "width": 0}, "prediction": "a"}]},
}
BAD = {"still": {"type": "robustness", "noise": "jitter", "max_change": 0.0, "rows": 10}}


def artifact(report: Any, step: str, name: str) -> Any:
    digest = json.loads((report.folder / "run.json").read_text())["digests"][step]
    (found,) = (report.folder.parents[1] / "store" / "artifacts").glob(f"*/{digest}")
    return json.loads((found / name).read_text())


def test_tests_that_pass_let_the_model_out(flowers: Make, run: Make) -> None:
    report = run(flowers(features=COLUMNS, tests=GOOD, convert=["onnx"]))
    assert (report.error, report.result["status"]) == (None, "ok")
    assert [item["name"] for item in report.result["tests"]] == ["colour", "known"]
    assert report.result["conversions"][0]["status"] == "ok"
    first = report.result["tests"][0]
    assert (first["part"], first["passed"], first["share"]) == ("test", True, 1.0)
    assert "cases" not in first
    page = Path(report.result["report"]).read_text()
    assert "Another value of colour must not move any probability by more than 1." in page
    assert "behavioural test" not in page.partition("</header>")[2].partition("<section>")[0]


def test_a_test_that_fails_keeps_the_model_in(flowers: Make, run: Make) -> None:
    report = run(flowers(features=COLUMNS, tests={**GOOD, **BAD}, convert=["onnx"]))
    assert isinstance(report.error, GateFailed)
    assert report.error.exit_code == 4
    assert report.error.message.startswith("test still: 10 of 10 rows failed (100 %, allowed 0 %)")
    assert report.result["status"] == "gate_failed"
    assert "conversions" not in report.result
    status = {step["id"]: step["status"] for step in report.result["steps"]}
    assert (status["convert.onnx"], status["behave"], status["verify"]) == ("skipped", "run", "run")
    page = Path(report.result["report"]).read_text()
    assert "One behavioural test of 3 failed: still. See Tests." in page
    assert "still: the worst rows" in page
    case = artifact(report, "behave", "behave.json")[2]["cases"][0]
    table = (Path(report.folder).parents[2] / "flowers.csv").read_text().splitlines()
    assert table[case["row"]].startswith(f"{case['values']['length']:.3f},{case['values']['width']:.3f}")


def test_the_bundle_keeps_the_tests_with_the_rows_of_their_file(flowers: Make, run: Make) -> None:
    path = flowers(features=COLUMNS, tests={"known": {"type": "expect", "file": "cases.csv", "share": 0.1}})
    (path.parent / "cases.csv").write_text("width,length,kind\n0,0,a\n-2,2,c\n")
    report = run(path)
    kept = json.loads(Bundle.open(report.result["bundle"], verify=True).read("tests.json"))
    assert kept["seed"] == 42
    (item,) = kept["tests"]
    assert (item["name"], item["test"]["file"]) == ("known", None)
    assert item["test"]["rows"][1]["given"] == {"width": "-2", "length": "2"}
    (path.parent / "cases.csv").write_text("width,length,kind\n0,0,a\n")
    again = {step["id"]: step["status"] for step in run(path).result["steps"]}
    assert (again["behave"], again["evaluate"]) == ("run", "cached")


def test_outcomes_repeat_and_tests_do_not_age_the_model(flowers: Make, run: Make, tmp_path: Path) -> None:
    first = run(flowers("a", features=COLUMNS, tests=BAD), store=str(tmp_path / "one"))
    again = run(flowers("b", features=COLUMNS, tests=BAD), store=str(tmp_path / "two"))
    assert artifact(first, "behave", "behave.json") == artifact(again, "behave", "behave.json")
    without = run(flowers("a", features=COLUMNS), store=str(tmp_path / "one"))
    assert without.result["model_digest"] == first.result["model_digest"]
    assert "behave" not in {step["id"] for step in without.result["steps"]}


def test_without_test_rows_training_rows_stand_in(flowers: Make, run: Make) -> None:
    split = {"method": "random", "validation": 0.2, "test": 0.0}
    report = run(flowers(data={"source": "flowers.csv", "split": split}, tests={"colour": GOOD["colour"]}))
    assert [item["part"] for item in report.result["tests"]] == ["training"]
    assert "training rows" in Path(report.result["report"]).read_text()


def test_a_test_that_does_not_fit_the_model_is_told(flowers: Make, run: Make) -> None:
    tests = {"odd": {"type": "direction", "column": "length", "by": 1, "expect": "lower", "of_class": "z"}}
    report = run(flowers(tests=tests))
    assert report.error is not None
    assert (report.error.message, report.error.exit_code) == ("tests: the model knows no class 'z'", 5)
