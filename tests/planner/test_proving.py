from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.core.errors import DataError
from declarative_ml.graph.plan import Plan
from declarative_ml.planner.build import build_plan
from declarative_ml.planner.code import code_digests
from declarative_ml.spec.load import load_spec

FAIR = {"type": "invariance", "columns": ["x"], "max_change": 0.1}


def plan_of(folder: Path, **sections: Any) -> Plan:
    folder.mkdir(exist_ok=True)
    (folder / "d.csv").write_text("x,y\n1,2\n")
    whole = {
        "name": "plan",
        "data": {"source": "d.csv"},
        "target": "y",
        "track": {"enabled": True},
        **sections,
    }
    (folder / "spec.yaml").write_text(json.dumps({**whole, **sections}))
    loaded = load_spec(folder / "spec.yaml")
    return build_plan(loaded.spec, spec_digest=loaded.digest, folder=folder)


def test_every_plan_tries_the_bundle_before_it_is_told_of(tmp_path: Path) -> None:
    plan = plan_of(tmp_path)
    assert plan["verify"].inputs["package"] == "package"
    assert plan["verify"].inputs["evaluate"] == "evaluate"
    for step in ("report", "track"):
        assert plan[step].inputs["verify"] == "verify"
    assert "behave" not in {step.id for step in plan.steps}


def test_tests_stand_before_whatever_lets_the_model_out(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, tests={"fair": FAIR}, convert=["onnx"])
    for step in ("convert.onnx", "package", "report", "track"):
        assert plan[step].inputs["behave"] == "behave"
    assert plan["behave"].title == "Put 1 behavioural test to the ONNX file"
    assert plan["behave"].components == ("declarative_ml.behaviour.invariance",)


def test_a_file_of_answers_enters_the_key_by_its_content_not_by_its_place(tmp_path: Path) -> None:
    tests = {"known": {"type": "expect", "file": "cases.csv"}}
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cases.csv").write_text("x,y\n1,2\n")
    first, second = (plan_of(tmp_path / name, tests=tests)["behave"] for name in ("a", "b"))
    assert first.params == second.params
    assert first.params["tests"]["known"]["file"] is None
    assert first.files == (str(tmp_path / "a" / "cases.csv"),)
    assert first.outside == {"files": {"known": str(tmp_path / "a" / "cases.csv")}}


def test_a_file_of_answers_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no file"):
        plan_of(tmp_path, tests={"known": {"type": "expect", "file": "cases.csv"}})


def test_what_is_served_ages_with_the_code_that_serves_it() -> None:
    found = code_digests(
        ["declarative_ml.steps.verify", "declarative_ml.scoring.worker", "declarative_ml.serving.trial"]
    )
    assert {"declarative_ml.scoring.answering", "declarative_ml.scoring.scorer"} <= set(found)
