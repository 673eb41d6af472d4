from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.graph.plan import Plan, Step
from declarative_ml.planner.build import build_plan
from declarative_ml.planner.code import code_digests
from declarative_ml.planner.keys import differences, key_document
from declarative_ml.spec.load import load_spec

PlanOf = Callable[..., Plan]


@pytest.fixture
def plan_of(tmp_path: Path) -> PlanOf:
    def build(processes: int | None, **sections: Any) -> Plan:
        (tmp_path / "d.csv").write_text("x,y\n1,2\n")
        resources = {} if processes is None else {"resources": {"processes": processes}}
        whole = {"name": "plan", "data": {"source": "d.csv"}, "target": "y", **sections, **resources}
        path = tmp_path / "spec.yaml"
        path.write_text(json.dumps(whole))
        return build_plan(load_spec(path).spec)

    return build


def learning(plan: Plan) -> dict[str, Step]:
    return {step.id: step for step in plan.steps if step.kind in ("train", "trial")}


def test_the_plan_shows_the_processes_of_networks_alone(plan_of: PlanOf) -> None:
    model = {"type": "ensemble", "members": ["mlp", "lightgbm"]}
    found = learning(plan_of(3, model=model, tune={"trials": 2}))
    shared = {name for name, step in found.items() if step.params.get("processes") == 3}
    assert shared == {name for name in found if ".mlp." in name}
    assert {name for name, step in found.items() if step.title.endswith(", in 3 processes")} == shared
    assert not any("processes" in step.params for name, step in found.items() if name not in shared)


def test_one_process_is_none_at_all(plan_of: PlanOf) -> None:
    assert learning(plan_of(1, model="mlp")) == learning(plan_of(None, model="mlp"))


def test_the_number_of_processes_enters_the_key(plan_of: PlanOf) -> None:
    steps = [learning(plan_of(number, model="mlp"))["train.mlp.fold0"] for number in (2, 4)]
    two, four = (key_document(step, dict.fromkeys(step.inputs, ""), {}, 2) for step in steps)
    assert differences(two, four) == ["params.processes: 2 -> 4"]


def test_the_code_of_the_processes_enters_the_key() -> None:
    code = code_digests(["declarative_ml.models.mlp"])
    assert {"declarative_ml.models.mlp_fit", "declarative_ml.learning.rank_launcher"} <= code.keys()
