"""model: auto, from the spec to the report."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from declarative_ml.core.errors import StepFailed
from declarative_ml.engines.clock import Clock
from declarative_ml.graph.plan import Step
from declarative_ml.models.linear import Linear
from declarative_ml.models.mlp import MLP
from declarative_ml.steps import context
from declarative_ml.steps.context import SHORT

Run = Callable[..., Any]
AUTO = {"type": "auto", "quality": "balanced"}


def artifact(report: Any, step: str, name: str) -> Any:
    """A JSON file of the artifact of one step."""
    record = json.loads((report.folder / "run.json").read_text())
    digest = record["digests"][step]
    (found,) = (report.folder.parents[1] / "store" / "artifacts").glob(f"*/{digest}")
    return json.loads((found / name).read_text())


def test_the_candidates_are_weighed_and_compared(flowers: Run, run: Run) -> None:
    report = run(flowers(model=AUTO))
    assert report.error is None, report.error
    members = artifact(report, "ensemble", "ensemble.json")["members"]
    assert [member["name"] for member in members] == [
        "linear",
        "lightgbm",
        "xgboost",
        "extra_trees",
        "mlp",
    ]
    assert sum(member["weight"] for member in members) == pytest.approx(1.0)
    board = artifact(report, "leaderboard", "leaderboard.json")
    losses = [candidate["loss"] for candidate in board["candidates"]]
    assert losses == sorted(losses)
    assert all(c["bytes"] > 500 and c["microseconds"] > 1 for c in board["candidates"])
    page = (report.folder / "report.html").read_text()
    assert "answers alone" in page or "A blend of" in page
    again = run(flowers(model=AUTO))
    assert again.unchanged


def test_a_candidate_without_weight_is_not_fitted_again(
    flowers: Run, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from declarative_ml.steps import ensemble

    monkeypatch.setattr(ensemble, "sparse_weights", lambda *_: [1.0, 0.0, 0.0, 0.0, 0.0])
    report = run(flowers(model=AUTO))
    status = {step["id"]: step["status"] for step in report.result["steps"]}
    assert status["train.linear.final"] == "run"
    assert status["train.lightgbm.final"] == status["train.mlp.final"] == "skipped"
    assert "it adds next to nothing to the blend" in (report.folder / "report.html").read_text()


def test_a_candidate_that_fails_is_left_out_and_tried_again_next_time(
    flowers: Run, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no luck today")

    with monkeypatch.context() as patch:
        patch.setattr(MLP, "fit", broken)
        report = run(flowers(model=AUTO))
    assert report.error is None
    mlp = artifact(report, "ensemble", "ensemble.json")["members"][4]
    assert mlp["weight"] == 0.0
    assert mlp["reason"].startswith("failed: ")
    assert "no luck today" in mlp["reason"]
    assert "no luck today" in (report.folder / "report.html").read_text()
    again = run(flowers(model=AUTO))
    assert artifact(again, "ensemble", "ensemble.json")["members"][4]["loss"] is not None


def test_the_first_candidate_must_come_through(
    flowers: Run, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no luck today")

    monkeypatch.setattr(Linear, "fit", broken)
    report = run(flowers(model=AUTO))
    assert isinstance(report.error, StepFailed)
    assert "no luck today" in report.error.message


def test_without_torch_its_candidate_says_so(flowers: Run, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "installed", lambda name: name != "torch")
    report = run(flowers(model=AUTO))
    assert report.error is None
    reason = artifact(report, "ensemble", "ensemble.json")["members"][4]["reason"]
    assert reason == "torch is not installed"


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make the time of some steps be up when they begin."""

    def make(ending: str) -> None:
        begin = Clock.begin

        def begun(self: Clock, step: Step) -> Callable[[], float]:
            if step.kind == "train" and step.id.endswith(ending):
                return lambda: time.monotonic() - 1.0
            return begin(self, step)

        monkeypatch.setattr(Clock, "begin", begun)

    return make


TIME = {"cpu": 1, "time": "10m"}


def test_the_first_candidate_is_cut_short_and_the_others_left_out(
    flowers: Run, run: Run, late: Callable[[str], None]
) -> None:
    late("fold0")
    path = flowers(model=AUTO, resources=TIME)
    report = run(path)
    assert report.error is None, report.error
    first, *others = artifact(report, "ensemble", "ensemble.json")["members"]
    assert first["weight"] == 1.0
    assert {other["reason"] for other in others} == {"the time is up"}
    assert artifact(report, "train.linear.fold0", "train.json")["cut"] is True
    assert run(path).unchanged, "a run with as much time takes it as it is"
    whole = run(flowers(model=AUTO))
    assert artifact(whole, "train.linear.fold0", "train.json")["cut"] is False


def test_without_time_to_refit_the_folds_ship(flowers: Run, run: Run, late: Callable[[str], None]) -> None:
    late("final")
    report = run(flowers(model="lightgbm", resources=TIME))
    assert report.error is None, report.error
    reason = artifact(report, "train.lightgbm.final", "skipped.json")["reason"]
    assert reason == "the time is up: the models of the folds ship instead"
    assert Path(report.result["bundle"], "model.onnx").is_file()


@pytest.fixture
def spare(monkeypatch: pytest.MonkeyPatch) -> Callable[[Mapping[str, int]], None]:
    """Let there be time for so many folds of each candidate only ("" for all others)."""

    def make(folds: Mapping[str, int]) -> None:
        def spared(self: Clock, step: Step) -> str | None:
            found = re.fullmatch(r"train\.(.+)\.fold(\d+)", step.id)
            if found is None or int(found[2]) < folds.get(found[1], folds.get("", 9)):
                return None
            return f"{SHORT}: some folds held out"

        monkeypatch.setattr(Clock, "spares", spared)

    return make


FOLDED: dict[str, Any] = {
    "data": {"source": "flowers.csv", "split": {"method": "random", "folds": 3}},
    "resources": TIME,
}


@pytest.mark.parametrize(("folds", "done"), [({"": 1}, 1), ({"": 2}, 2), ({"lightgbm": 1}, 1)])
def test_models_are_compared_on_the_folds_that_none_was_spared(
    flowers: Run, run: Run, spare: Callable[[Mapping[str, int]], None], folds: Mapping[str, int], done: int
) -> None:
    spare(folds)
    report = run(flowers(model=AUTO, **FOLDED))
    assert report.error is None, report.error
    assembly = artifact(report, "assemble", "assembly.json")
    split = artifact(report, "split", "split.json")
    assert (assembly["folds"], split["folds"]) == (done, 3)
    assert all(member["loss"] is not None for member in assembly["members"])
    board = artifact(report, "leaderboard", "leaderboard.json")["candidates"]
    assert all(entry["score"] is not None for entry in board)
    page = (report.folder / "report.html").read_text()
    assert f"The time was short: models were compared on the rows of {done} of 3 folds." in page


def test_a_small_model_is_taught_by_the_folds_that_there_are(
    flowers: Run, run: Run, spare: Callable[[Mapping[str, int]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    from declarative_ml.steps import ensemble

    monkeypatch.setattr(ensemble, "sparse_weights", lambda _, __, margins: [1 / len(margins)] * len(margins))
    monkeypatch.setattr(ensemble, "leave_out", lambda *_: None)
    spare({"": 1})
    report = run(flowers(model={**AUTO, "max_size": "20MB"}, **FOLDED))
    assert report.error is None, report.error
    members = artifact(report, "ensemble", "ensemble.json")["members"]
    assert next(each for each in members if each["name"] == "distilled")["weight"] > 0
    assert artifact(report, "train.distilled.final", "train.json")["cut"] is False


def test_a_late_explanation_does_with_less(flowers: Run, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Clock.begin

    def begun(self: Clock, step: Step) -> Callable[[], float]:
        return (lambda: time.monotonic()) if step.kind == "explain" else begin(self, step)

    explained = {"rows": 10, "background": 50}
    full = run(flowers("full", explain=explained))
    monkeypatch.setattr(Clock, "begin", begun)
    cut = run(flowers("cut", explain=explained, resources=TIME))
    many, few = (artifact(each, "explain", "explanation.json")["evaluations"] for each in (full, cut))
    assert few < many


def test_what_the_clock_cut_survives_a_clean_up(flowers: Run, run: Run, late: Callable[[str], None]) -> None:
    from declarative_ml.api.gc import collect_garbage
    from declarative_ml.api.workspace import Workspace

    late("fold0")
    path = flowers(model="lightgbm", resources=TIME)
    assert run(path).error is None
    workspace = Workspace.beside(path, None)
    for record in workspace.store.root.rglob("*"):
        os.utime(record, (1.0, 1.0))
    collect_garbage(workspace, keep=1)
    assert run(path).unchanged
