"""The verbs end to end through the command line: what they print and the codes they end in."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def spec(tmp_path: Path, write_flowers: Callable[..., Path]) -> Path:
    write_flowers(tmp_path / "flowers.csv")
    whole = {
        "name": "flowers",
        "data": {"source": "flowers.csv", "split": {"method": "random", "validation": 0.2}},
        "target": "kind",
        "model": "linear",
        "explain": False,
        "track": False,
    }
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps(whole))
    return path


def test_run_prints_one_object(spec: Path, dml: Any) -> None:
    result = json.loads(dml("run", spec, "--format", "json").out)
    assert result["status"] == "ok"
    assert {"run", "bundle", "report", "model_digest", "mlflow_run_id", "metrics", "steps", "seconds"} <= set(
        result
    )
    assert {"test", "validation"} == set(result["metrics"])
    assert {step["status"] for step in result["steps"]} == {"run"}
    assert Path(result["bundle"], "model.onnx").is_file()
    again = json.loads(dml("run", spec, "--format", "json").out)
    assert {step["status"] for step in again["steps"]} == {"cached"}
    assert (again["run"], again["model_digest"]) == (result["run"], result["model_digest"])


def test_a_failed_run_still_prints_its_object(spec: Path, dml: Any) -> None:
    outcome = dml("run", spec, "--format", "json", "-q", "--set", "evaluate.metric=rmse")
    assert outcome.code == 5
    assert json.loads(outcome.out)["status"] == "failed"
    assert "does not apply" in outcome.err


def test_why(spec: Path, dml: Any) -> None:
    first = dml("why", "train", spec)
    assert "train.linear.fold0 would run: known after prepare, split" in first.out
    assert "acquire.source would run: first run" in dml("why", "acquire", spec).out
    assert dml("run", spec, "-q").code == 0
    assert (
        "train.linear.fold0 is cached: nothing that it depends on has changed"
        in dml("why", "train", spec).out
    )
    changed = dml("why", "split", spec, "--set", "seed=7").out
    assert "split would run: params.seed: 42 -> 7" in changed
    option = dml("why", "train.linear.fold0", spec, "--set", "model.penalty=0.5").out
    assert "train.linear.fold0 would run: params.model.penalty: None -> 0.5" in option
    data = spec.parent / "flowers.csv"
    data.write_text(data.read_text() + "1,1,red,2024-01-01,no,a\n")
    assert "acquire.source would run: the data files changed" in dml("why", "acquire", spec).out
    assert dml("why", "trian", spec).code == 2


def test_plan_says_what_is_cached(spec: Path, dml: Any, tmp_path: Path) -> None:
    assert dml("run", spec, "-q", "--until", "prepare").code == 0
    shown = dml("plan", spec)
    assert shown.code == 0
    plan = dml("plan", spec, "-o", tmp_path / "plan.json")
    assert plan.code == 0
    assert json.loads((tmp_path / "plan.json").read_text())["name"] == "flowers"


def test_steps_of_a_plan_file_one_by_one(spec: Path, dml: Any, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    assert dml("plan", spec, "-o", plan).code == 0
    waiting = dml("step", plan, "prepare")
    assert (waiting.code, "needs steps that have not run" in waiting.err) == (2, True), waiting.err
    for step in json.loads(plan.read_text())["steps"]:
        outcome = dml("step", plan, step["id"])
        assert outcome.code == 0, outcome.err
    result = json.loads(dml("run", spec, "--format", "json", "-q").out)
    assert {step["status"] for step in result["steps"]} == {"cached"}


@pytest.mark.parametrize(
    ("argv", "code", "message"),
    [
        (["rnu"], 2, "Did you mean 'run'"),
        (["run", "nowhere.yaml"], 3, "nowhere.yaml"),
        (["run", "{spec}", "--until", "trian"], 2, "the plan has no step 'trian'"),
        (["run", "{spec}", "--fresh", "trian"], 2, "the plan has no step 'trian'"),
        (["run", "{spec}", "--jobs", "0"], 2, "--jobs"),
        (["run", "{spec}", "--set", "modle=linear"], 3, "modle"),
        (["run", "{spec}", "--profile", "none"], 3, "none"),
        (["run", "{spec}", "--store", "s3://bucket"], 2, "only local folders"),
        (["step", "{spec}", "split"], 2, "is not a plan"),
        (["predict", "nowhere.yaml", "d.csv"], 3, "nowhere.yaml"),
        (["gc", "--keep", "-1"], 2, "--keep"),
    ],
)
def test_wrong_commands(argv: list[str], code: int, message: str, spec: Path, dml: Any) -> None:
    outcome = dml(*(item.format(spec=spec) for item in argv))
    assert (outcome.code, message in outcome.err) == (code, True), (outcome.code, outcome.err)
    assert "Traceback" not in outcome.err


def test_gc_keeps_what_the_last_run_needs(spec: Path, dml: Any) -> None:
    assert dml("run", spec, "-q").code == 0
    assert dml("gc", "--store", spec.parent / ".dml").code == 0
    result = json.loads(dml("run", spec, "--format", "json", "-q").out)
    assert {step["status"] for step in result["steps"]} == {"cached"}


@pytest.mark.parametrize(
    "argv",
    [
        ["run", "{spec}", "--store", "{file}"],
        ["init", "{file}", "--target", "kind", "-o", "{file}/spec.yaml"],
        ["init", "{file}", "--target", "kind", "-o", "/proc/spec.yaml"],
        ["plan", "{spec}", "-o", "{file}/plan.json"],
    ],
)
def test_places_that_cannot_be_written(argv: list[str], spec: Path, dml: Any) -> None:
    outcome = dml(*(item.format(spec=spec, file=spec.parent / "flowers.csv") for item in argv))
    assert outcome.code == 2, outcome.err
    assert "hint: check the path" in outcome.err
    assert "bug" not in outcome.err
