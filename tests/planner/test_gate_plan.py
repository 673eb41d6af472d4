"""Where gates and the champion stand in a plan."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.graph.plan import Plan
from declarative_ml.planner.build import build_plan
from declarative_ml.spec.load import load_spec

GATE = {"good": {"metric": "roc_auc", "min": 0.8}}
BEATS = {"not-worse": {"metric": "roc_auc", "beats": "champion"}}


@pytest.fixture
def plan(tmp_path: Path) -> Callable[..., Plan]:
    def build(evaluate: dict[str, Any], **sections: Any) -> Plan:
        (tmp_path / "d.csv").write_text("x,y\n1,2\n")
        whole = {"name": "plan", "data": {"source": "d.csv"}, "target": "y", "evaluate": evaluate, **sections}
        (tmp_path / "spec.yaml").write_text(json.dumps(whole))
        loaded = load_spec(tmp_path / "spec.yaml")
        return build_plan(loaded.spec, spec_digest=loaded.digest)

    return build


def test_what_lets_the_model_out_waits_for_the_gates(plan: Callable[..., Plan]) -> None:
    built = plan({"gates": GATE}, convert=["onnx"], track=True)
    assert [step.id for step in built.steps if "gate" in step.inputs] == [
        "convert.onnx",
        "package",
        "report",
        "track",
    ]
    assert all(step.inputs["gate"] == "gate" for step in built.steps if "gate" in step.inputs)
    assert built["gate"].inputs["evaluate"] == "evaluate" and "champion" not in built["gate"].inputs
    assert built["gate"].params["gates"] == GATE
    order = [step.id for step in built.ordered()]
    assert order.index("evaluate") < order.index("gate") < order.index("convert.onnx")


def test_without_gates_there_are_no_such_steps(plan: Callable[..., Plan]) -> None:
    steps = {step.id for step in plan({"champion": "old"}).steps}
    assert not steps & {"gate", "champion"}


@pytest.mark.parametrize(
    ("evaluate", "track", "found"),
    [
        ({}, {"enabled": True}, None),
        ({}, {"register": "churn"}, {"registry": "churn", "alias": "champion"}),
        ({}, {"register": "churn", "enabled": False}, None),
        (
            {"champion": {"registry": "other"}},
            {"register": "churn"},
            {"registry": "other", "alias": "champion"},
        ),
        ({"champion": {"registry": "a", "alias": "live"}}, False, {"registry": "a", "alias": "live"}),
        ({"champion": "old"}, {"register": "churn"}, {"registry": None, "alias": None}),
    ],
)
def test_which_champion(
    plan: Callable[..., Plan], evaluate: dict[str, Any], track: Any, found: dict[str, Any] | None
) -> None:
    built = plan({"gates": BEATS, **evaluate}, track=track)
    steps = {step.id: step for step in built.steps}
    assert steps["champion"].params == found if found else "champion" not in steps
    assert ("champion" in steps["gate"].inputs) is (found is not None)


def test_a_registry_is_asked_in_every_run_and_a_bundle_is_read_by_content(
    plan: Callable[..., Plan], tmp_path: Path
) -> None:
    asked = plan({"gates": BEATS, "champion": {"registry": "churn"}}, track={"uri": "sqlite:///x"})[
        "champion"
    ]
    assert asked.always and not asked.files and asked.outside == {"uri": "sqlite:///x"}
    assert asked.libraries == ("mlflow",)
    (tmp_path / "old").mkdir()
    for name in ("bundle.json", "model.onnx", "reference.json", "report.html"):
        (tmp_path / "old" / name).write_text("")
    read = plan({"gates": BEATS, "champion": "old"})["champion"]
    assert not read.always and not read.libraries
    assert [Path(name).name for name in read.files] == ["bundle.json", "model.onnx", "reference.json"]
    (tmp_path / "old.zip").write_text("")
    assert plan({"gates": BEATS, "champion": "old.zip"})["champion"].files == (str(tmp_path / "old.zip"),)


def test_a_champion_is_relative_to_the_file_that_names_it(plan: Callable[..., Plan], tmp_path: Path) -> None:
    assert plan({"gates": BEATS, "champion": "old"})["champion"].outside == {"path": str(tmp_path / "old")}
    (tmp_path / "team").mkdir()
    base = {"evaluate": {"champion": "models/old", "gates": BEATS}}
    (tmp_path / "team" / "base.yaml").write_text(json.dumps(base))
    built = plan({}, extends="team/base.yaml")
    assert built["champion"].outside == {"path": str(tmp_path / "team/models/old")}
