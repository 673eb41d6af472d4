"""`dml step --wait`: a step whose inputs another process is still making."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from declarative_ml.api.planning import inspect_spec, make_plan
from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.api.step import run_step
from declarative_ml.core.atomic import write_json
from declarative_ml.core.errors import UsageError
from declarative_ml.engines.events import silent
from declarative_ml.spec.load import load_spec


@pytest.fixture
def plan(tmp_path: Path) -> Path:
    rows = "".join(f"{n},{'yn'[n % 2]}\n" for n in range(60))
    (tmp_path / "t.csv").write_text(f"a,y\n{rows}")
    (tmp_path / "spec.yaml").write_text("name: w\ndata: {source: t.csv}\ntarget: y\ntrack: false\n")
    path = tmp_path / "plan.json"
    write_json(path, make_plan(load_spec(tmp_path / "spec.yaml")).model_dump(mode="json"))
    return path


def step(plan: Path, name: str, wait: float = 0.0) -> str:
    return run_step(plan, name, store=None, listener=silent, wait=wait, poll=0.02)


def test_without_waiting_the_steps_before_are_named(plan: Path) -> None:
    with pytest.raises(UsageError, match="split needs steps that have not run: acquire"):
        step(plan, "split", wait=0.05)


def test_a_waiting_step_runs_when_its_inputs_are_there(plan: Path) -> None:
    found: list[str] = []
    waiting = threading.Thread(target=lambda: found.append(step(plan, "split", wait=60)))
    waiting.start()
    assert step(plan, "acquire.source") == "run"
    waiting.join(60)
    assert found == ["run"]


def test_steps_one_by_one_make_what_a_run_finds(tmp_path: Path) -> None:
    """The number of threads is in the key of a training step; the clock is asked by the step that asks it."""
    rows = "".join(f"{n % 20},{'yn'[n % 2]},2024-01-{1 + n % 28:02d}\n" for n in range(60))
    (tmp_path / "t.csv").write_text(f"a,y,seen\n{rows}")
    spec = {
        "name": "w",
        "data": {
            "source": "t.csv",
            "split": {"method": "random", "validation": 0.2},
            "checks": {"columns": {"seen": {"freshness": "9999d"}}},
        },
        "target": "y",
        "model": "linear",
        "track": False,
        "resources": {"cpu": 1 + (os.cpu_count() or 1)},
    }
    write_json(tmp_path / "spec.yaml", spec)
    loaded = load_spec(tmp_path / "spec.yaml")
    made = make_plan(loaded)
    write_json(tmp_path / "plan.json", made.model_dump(mode="json"))
    wanted = made.upstream("train.linear.fold0")
    assert [each.id for each in made.steps if each.always and each.id in wanted] == ["check"]
    for name in [each.id for each in made.ordered() if each.id in wanted]:
        assert step(tmp_path / "plan.json", name) == "run"
    assert [step(tmp_path / "plan.json", name) for name in ("check", "split")] == ["run", "cached"]
    _, states = inspect_spec(loaded)
    assert {state.step.id for state in states if state.digest} == wanted - {"check"}
    collected = run_spec(loaded, RunOptions(collect=True, until="train.linear.fold0"))
    assert {each["id"]: each["status"] for each in collected.result["steps"]} == dict.fromkeys(
        wanted, "cached"
    )
