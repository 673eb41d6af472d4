from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.graph.plan import Plan
from declarative_ml.planner.build import build_plan
from declarative_ml.planner.views import in_words
from declarative_ml.spec.load import load_spec


@pytest.fixture
def plan_of(tmp_path: Path) -> Any:
    def build(**sections: Any) -> Plan:
        (tmp_path / "d.csv").write_text("x,y\n1,2\n")
        path = tmp_path / "spec.yaml"
        whole = {"name": "plan", "data": {"source": "d.csv"}, "target": "y", **sections}
        path.write_text(json.dumps(whole))
        return build_plan(load_spec(path).spec)

    return build


def trials(plan: Plan, name: str) -> dict[int, list[int]]:
    """Trial -> the trials that it sees."""
    prefix = f"tune.{name}.trial"
    return {
        int(step.id.removeprefix(prefix)): [
            int(need.removeprefix(prefix)) for need in step.inputs.values() if need.startswith(prefix)
        ]
        for step in plan.steps
        if step.id.startswith(prefix)
    }


def test_trials_see_the_generations_before_theirs(plan_of: Any) -> None:
    seen = trials(plan_of(tune={"trials": 8}), "lightgbm")
    assert seen[0] == []
    assert [seen[number] for number in range(1, 5)] == [[0]] * 4
    assert [seen[number] for number in range(5, 8)] == [[0, 1, 2, 3, 4]] * 3


def test_the_first_trial_must_come_through_and_the_others_need_not(plan_of: Any) -> None:
    plan = plan_of(tune={"trials": 3})
    assert [plan[f"tune.lightgbm.trial{n}"].optional for n in range(3)] == [False, True, True]
    assert all(plan[f"tune.lightgbm.trial{n}"].effort > 0 for n in range(3))


def test_fits_and_graphs_take_the_options(plan_of: Any) -> None:
    plan = plan_of(model={"type": "ensemble", "members": ["linear", "lightgbm"]}, tune={"trials": 2})
    for step in ("train.lightgbm.fold0", "train.lightgbm.final"):
        assert plan[step].inputs["tune"] == "tune.lightgbm"
    assert "tune" not in plan["train.linear.fold0"].inputs
    for step in ("assemble", "leaderboard"):
        assert plan[step].inputs["member1.tune"] == "tune.lightgbm"
        assert "member0.tune" not in plan[step].inputs
    assert plan["report"].inputs["tuned.lightgbm"] == "tune.lightgbm"


@pytest.mark.parametrize(
    ("model", "space", "tuned"),
    [
        ("linear", {}, {"linear": {"penalty"}}),
        ("linear", {"iterations": {"low": 10, "high": 50}}, {"linear": {"iterations"}}),
        ("auto", {}, {"lightgbm": None}),
        ("auto", {"mlp.dropout": {"low": 0.0, "high": 0.5}}, {"mlp": {"dropout"}}),
        (
            {"type": "ensemble", "members": ["lightgbm", {"type": "lightgbm", "extra_trees": True}]},
            {"lightgbm2.num_leaves": {"low": 4, "high": 64}, "lightgbm.lambda_l2": {"choices": [0, 1]}},
            {"lightgbm": {"lambda_l2"}, "lightgbm2": {"num_leaves"}},
        ),
    ],
)
def test_what_is_tuned(model: Any, space: Any, tuned: dict[str, Any], plan_of: Any) -> None:
    plan = plan_of(model=model, tune={"trials": 2, "space": space})
    found = {step.id.removeprefix("tune."): step for step in plan.steps if step.kind == "tune"}
    assert set(found) == set(tuned)
    for name, options in tuned.items():
        assert options is None or set(found[name].params["space"]) == options


def test_options_that_the_spec_sets_are_kept(plan_of: Any) -> None:
    plan = plan_of(model={"type": "lightgbm", "num_leaves": 7}, tune={"trials": 2})
    space = plan["tune.lightgbm"].params["space"]
    assert "num_leaves" not in space
    assert space["min_data_in_leaf"]["integer"] is True
    assert "integer" not in space["learning_rate"]


def test_the_metric_is_the_primary_one_unless_named(plan_of: Any) -> None:
    def metric(**sections: Any) -> Any:
        return plan_of(**sections)["tune.lightgbm.trial1"].params["metric"]

    assert metric(tune={}) is None
    assert metric(tune={}, evaluate={"metric": "log_loss"}) == "log_loss"
    assert metric(tune={"metric": "brier"}, evaluate={"metric": "log_loss"}) == "brier"


def test_trials_are_told_in_one_sentence(plan_of: Any) -> None:
    told = in_words(plan_of(tune={"trials": 12}))
    assert told.count("Choose the options of lightgbm that did best in 12 trials") == 1
    assert not any("held-out rows" in each for each in told)


def test_without_tune_nothing_is_tuned(plan_of: Any) -> None:
    assert not any(step.kind in ("trial", "tune") for step in plan_of().steps)
