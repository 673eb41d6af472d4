"""`dml step --wait`: a step whose inputs another process is still making."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from declarative_ml.api.planning import inspect_spec, make_plan
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


def test_a_run_finds_what_steps_have_made_with_the_threads_of_the_spec(tmp_path: Path) -> None:
    """The number of threads is in the key of a training step."""
    cpu = 1 + (os.cpu_count() or 1)
    (tmp_path / "t.csv").write_text("a,y\n" + "".join(f"{n % 20},{'yn'[n % 2]}\n" for n in range(60)))
    text = (
        "name: w\ndata: {source: t.csv, split: {method: random, validation: 0.2}}\ntarget: y\ntrack: false\n"
    )
    (tmp_path / "spec.yaml").write_text(f"{text}model: linear\nresources: {{cpu: {cpu}}}\n")
    loaded = load_spec(tmp_path / "spec.yaml")
    made = make_plan(loaded)
    write_json(tmp_path / "plan.json", made.model_dump(mode="json"))
    for name in [each.id for each in made.ordered() if each.id in made.upstream("train.linear.fold0")]:
        assert step(tmp_path / "plan.json", name) == "run"
    _, states = inspect_spec(loaded)
    assert all(state.digest for state in states if state.step.id in made.upstream("train.linear.fold0"))
