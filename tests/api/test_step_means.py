"""What a single step has of its plan's means: the memory, the time, and the failures of optional steps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.api.planning import inspect_spec, make_plan
from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.api.step import run_step
from declarative_ml.core.atomic import read_json, write_json
from declarative_ml.core.errors import StepFailed
from declarative_ml.engines.clock import Clock
from declarative_ml.engines.events import silent
from declarative_ml.models.lightgbm import LightGBM
from declarative_ml.spec.load import LoadedSpec, load_spec


def spec_in(folder: Path, **more: Any) -> LoadedSpec:
    rows = "".join(f"{n % 20},{'yn'[n % 3 % 2]}\n" for n in range(120))
    (folder / "t.csv").write_text(f"a,y\n{rows}")
    split = {"method": "random", "validation": 0.2}
    fields = {"name": "w", "data": {"source": "t.csv", "split": split}, "target": "y", "track": False, **more}
    write_json(folder / "spec.yaml", fields)
    loaded = load_spec(folder / "spec.yaml")
    write_json(folder / "plan.json", make_plan(loaded).model_dump(mode="json"))
    return loaded


def step(folder: Path, name: str) -> str:
    return run_step(folder / "plan.json", name, store=None, listener=silent)


def test_a_step_runs_under_the_ceiling_of_its_plan(tmp_path: Path) -> None:
    ceiling = 64 << 30  # of this whole process, which has run other tests
    spec_in(tmp_path, resources={"memory": "64Gi"})
    assert json.loads((tmp_path / "plan.json").read_text())["memory"] == ceiling
    assert step(tmp_path, "acquire.source") == "run"
    [action] = (tmp_path / ".dml" / "store" / "actions").rglob("*.json")
    assert 0 < read_json(action)["peak_bytes"] < ceiling  # only a run with a ceiling looks at its memory


def test_a_step_has_its_share_of_the_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other candidates are fitted elsewhere, and their time is theirs."""
    spec_in(tmp_path, model={"type": "auto", "quality": "fast"}, resources={"time": "100s", "cpu": 1})
    found: dict[str, float] = {}
    begin = Clock.begin

    def noted(clock: Clock, one: Any) -> Any:
        deadline = begin(clock, one)
        found[one.id] = deadline() - (clock.deadline - 100)
        return deadline

    monkeypatch.setattr(Clock, "begin", noted)
    for name in (
        "acquire.source",
        "split",
        "profile",
        "prepare",
        "train.linear.fold0",
        "train.lightgbm.fold0",
    ):
        assert step(tmp_path, name) == "run"
    plan = make_plan(load_spec(tmp_path / "spec.yaml"))
    efforts = {each.id: each.effort for each in plan.steps if each.effort}
    for name in ("train.linear.fold0", "train.lightgbm.fold0"):
        assert 0 < found[name] < 100 * efforts[name] / sum(efforts.values()) + 5


@pytest.mark.slow
def test_an_optional_step_that_failed_is_left_out_by_those_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = spec_in(tmp_path, model={"type": "auto", "quality": "fast"}, explain="none")
    plan = make_plan(loaded)

    def broken(*_: Any, **__: Any) -> Any:
        raise StepFailed("no luck today")

    order = [each.id for each in plan.ordered() if each.id in plan.upstream("assemble")]
    with monkeypatch.context() as patched:
        patched.setattr(LightGBM, "fit", broken)
        found = {name: step(tmp_path, name) for name in order}
    assert found["train.lightgbm.fold0"] == "skipped"
    assert found["assemble"] == "run"
    collected = run_spec(loaded, RunOptions(collect=True, until="assemble"))
    ran = {each["id"] for each in collected.result["steps"] if each["status"] == "run"}
    assert ran == {"baseline.train", "baseline.assemble"}  # what assemble does not need, nobody had done

    # A run of its own tries the candidate again, and so does whoever asks for the step.
    states = {state.step.id: state.state for state in inspect_spec(loaded)[1]}
    assert states["train.lightgbm.fold0"] == "run"
    assert step(tmp_path, "train.lightgbm.fold0") == "run"
    assert step(tmp_path, "train.lightgbm.fold0") == "cached"
