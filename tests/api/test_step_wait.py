"""`dml step --wait`: a step whose inputs another process is still making."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from declarative_ml.api.planning import make_plan
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
    return run_step(plan, name, store=None, threads=1, listener=silent, wait=wait, poll=0.02)


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
