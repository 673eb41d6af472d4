from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.graph.plan import Plan
from declarative_ml.planner.build import build_plan
from declarative_ml.planner.views import as_mermaid, in_words
from declarative_ml.spec.load import load_spec
from declarative_ml.steps import STEPS


@pytest.fixture
def plan_of(tmp_path: Path) -> Any:
    """Build the plan of a spec given as sections over a minimal one. No data is read."""

    def build(folder: str = "a", **sections: Any) -> Plan:
        (tmp_path / folder).mkdir(exist_ok=True)
        path = tmp_path / folder / "spec.yaml"
        (tmp_path / folder / "d.csv").write_text("x,y\n1,2\n")
        whole = {"name": "plan", "data": {"source": "d.csv"}, "target": "y", **sections}
        path.write_text(json.dumps(whole))
        loaded = load_spec(path)
        return build_plan(loaded.spec, spec_digest=loaded.digest)

    return build


def _ids(plan: Plan) -> list[str]:
    return [step.id for step in plan.steps]


def test_equal_specs_give_equal_plans(plan_of: Any) -> None:
    assert plan_of(model="linear") == plan_of(model={"type": "linear"})


def test_a_plan_survives_json(plan_of: Any) -> None:
    plan = plan_of(model={"type": "ensemble", "members": ["lightgbm", "linear", "mlp"]})
    assert Plan.model_validate_json(plan.model_dump_json()) == plan
    assert Plan.model_validate(json.loads(json.dumps(plan.model_dump(mode="json")))) == plan


@pytest.mark.parametrize(
    ("sections", "present", "absent"),
    [
        ({}, ["train.lightgbm.fold4", "baseline.train", "explain", "track"], ["sql", "train.lightgbm.fold5"]),
        ({"model": "linear"}, ["train.linear.final"], ["baseline.train"]),
        ({"evaluate": {"segments": True}}, ["segments"], []),
        ({"evaluate": {"segments": False}}, ["evaluate"], ["segments"]),
        ({"data": {"source": "d.csv", "split": {"method": "random", "test": 0}}}, ["evaluate"], ["segments"]),
        ({"explain": False, "track": False}, ["report"], ["explain", "track"]),
        (
            {"data": {"source": "d.csv", "split": {"method": "random", "validation": 0.1}}},
            ["train.lightgbm.fold0"],
            ["train.lightgbm.fold1"],
        ),
        (
            {"data": {"source": "d.csv", "split": {"method": "random", "folds": 3}}},
            ["train.lightgbm.fold2"],
            ["train.lightgbm.fold3"],
        ),
        ({"data": {"source": "d.csv", "sql": "SELECT * FROM source"}}, ["acquire.source", "sql"], []),
        (
            {"model": {"type": "ensemble", "members": ["lightgbm", {"type": "lightgbm", "rounds": 9}]}},
            ["train.lightgbm.final", "train.lightgbm2.final", "baseline.assemble"],
            [],
        ),
    ],
)
def test_the_steps_of_a_spec(
    sections: dict[str, Any], present: list[str], absent: list[str], plan_of: Any
) -> None:
    ids = _ids(plan_of(**sections))
    assert set(present) <= set(ids)
    assert not set(absent) & set(ids)


def test_steps_come_after_what_they_need_and_have_a_kind(plan_of: Any) -> None:
    plan = plan_of(model={"type": "ensemble", "members": ["lightgbm", "mlp"]})
    seen: set[str] = set()
    for step in plan.ordered():
        assert set(step.inputs.values()) <= seen
        assert step.kind in STEPS
        seen.add(step.id)
    assert seen == set(_ids(plan))
    assert len(seen) == len(plan.steps)


def test_only_effects_come_last(plan_of: Any) -> None:
    assert [step.id for step in plan_of().steps if step.effect] == ["track"]
    assert _ids(plan_of())[-1] == "track"


def test_upstream_is_the_step_and_all_it_needs(plan_of: Any) -> None:
    assert plan_of(model="linear").upstream("profile") == {"acquire.source", "split", "profile"}


def test_parameters_hold_no_path(plan_of: Any, tmp_path: Path) -> None:
    for step in plan_of().steps:
        assert str(tmp_path) not in json.dumps(step.params), step.id


@pytest.mark.parametrize("step", ["acquire.source", "train.lightgbm.fold0", "track"])
def test_an_unknown_step_is_a_key_error(step: str, plan_of: Any) -> None:
    assert plan_of()[step].id == step
    with pytest.raises(KeyError, match="nothing"):
        plan_of()["nothing"]


def test_views(plan_of: Any) -> None:
    plan = plan_of()
    drawn = as_mermaid(plan)
    assert drawn.startswith("flowchart LR")
    assert drawn.count("-->") == sum(len(needed) for needed in plan.needs().values())
    words = in_words(plan)
    assert len(words) == len(set(words)) < len(plan.steps)
    assert any("5 fold(s)" in sentence for sentence in words)


MONOTONE = {"x": {"type": "number", "monotone": "increasing"}}


def test_candidates_that_cannot_keep_a_direction_are_not_planned(plan_of: Any) -> None:
    plan = plan_of(features=MONOTONE, model={"type": "auto", "quality": "balanced"})
    assert "train.lightgbm.fold0" in _ids(plan)
    assert not [step for step in _ids(plan) if step.startswith(("train.mlp", "train.linear"))]
    ensemble = plan["ensemble"]
    reason = "cannot keep the prediction increasing in 'x'"
    assert {"linear", "mlp"} <= ensemble.params["left_out"].keys()
    assert set(ensemble.params["left_out"].values()) == {reason}
    assert ensemble.title.endswith(f"; without {', '.join(ensemble.params['left_out'])}: {reason}")
    assert plan["leaderboard"].params["names"] == ensemble.params["names"]
    free = plan_of(model={"type": "auto", "quality": "balanced"})
    assert free["ensemble"].params["left_out"] == {} and "without" not in free["ensemble"].title


def test_an_interval_is_a_step_between_the_folds_and_the_graph(plan_of: Any) -> None:
    plan = plan_of(evaluate={"interval": 0.9})
    step = plan["interval"]
    assert step.params["level"] == 0.9
    assert "train.lightgbm.fold4" in step.inputs.values()
    assert "train.lightgbm.final" not in step.inputs.values(), "it has seen the rows"
    assert plan["assemble"].inputs["interval"] == "interval"
    assert plan["profile"].params["interval"] is True
    blend = plan_of(evaluate={"interval": 0.9}, model={"type": "ensemble", "members": ["mlp", "linear"]})
    assert blend["interval"].inputs["ensemble"] == "ensemble"
    assert "declarative_ml.models.lightgbm" in blend["assemble"].components
    assert "interval" not in _ids(plan_of())
