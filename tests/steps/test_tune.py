"""Tuning, from the spec to the report."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Callable
from typing import Any

import pytest

from declarative_ml.api import run as run_module
from declarative_ml.core.errors import MissingDependency, StepFailed
from declarative_ml.engines.clock import Clock
from declarative_ml.graph.plan import Step
from declarative_ml.models.lightgbm import LightGBM
from declarative_ml.models.linear import Linear
from declarative_ml.steps.tune import is_clear

pytest.importorskip("optuna")

Run = Callable[..., Any]
LIGHTGBM = {"type": "lightgbm", "rounds": 8}
SPACE = {"num_leaves": {"low": 2, "high": 12}, "learning_rate": {"low": 0.02, "high": 0.9, "log": True}}
FOLDS = {"source": "flowers.csv", "split": {"method": "random", "folds": 3}}


def tuned(**fields: Any) -> dict[str, Any]:
    return {"model": LIGHTGBM, "data": FOLDS, "tune": {"trials": 11, "space": SPACE, **fields}}


def artifact(report: Any, step: str, name: str) -> Any:
    """A JSON file of the artifact of one step."""
    record = json.loads((report.folder / "run.json").read_text())
    digest = record["digests"][step]
    (found,) = (report.folder.parents[1] / "store" / "artifacts").glob(f"*/{digest}")
    return json.loads((found / name).read_text())


def status(report: Any) -> dict[str, str]:
    return {step["id"]: step["status"] for step in report.result["steps"]}


def test_the_best_options_reach_the_model_and_the_page(flowers: Run, run: Run) -> None:
    report = run(flowers(**tuned()))
    assert report.error is None, report.error
    tune = artifact(report, "tune.lightgbm", "tune.json")
    assert tune["metric"] == "log_loss"
    whole = [trial for trial in tune["trials"] if not trial.get("pruned", True)]
    assert tune["leader"] == min(whole, key=lambda trial: trial["score"])["trial"]
    assert tune["best"] == tune["leader"] > 0, "the table was chosen so that tuning helps clearly"
    assert tune["trials"][0]["options"] == {}
    assert set(tune["options"]) == set(SPACE) == set(tune["importance"])
    assert tune["given"]["num_leaves"] == 8, "what the default comes to on so many rows"
    leaves = tune["options"]["num_leaves"]
    fitted = artifact(report, "train.lightgbm.fold0", "train.json")
    assert fitted["work"] == tune["trials"][tune["best"]]["work"][0], "the fold is fitted as in the trial"
    page = (report.folder / "report.html").read_text()
    assert "Search for options" in page
    assert f"Trial {tune['best']} did best" in page
    assert f'<td class="number">{leaves}</td>' in page
    assert f"{len(tune['trials'])} trials" in page, "they share one box of the plan"
    assert run(flowers(**tuned())).unchanged


def test_half_of_the_trials_stop_after_their_first_fold(flowers: Run, run: Run) -> None:
    report = run(flowers(**tuned(trials=13)))
    trials = artifact(report, "tune.lightgbm", "tune.json")["trials"]
    pruned = [trial for trial in trials if trial.get("pruned")]
    assert pruned, "no trial was stopped"
    for trial in pruned:
        first = 1 + (trial["trial"] - 1) // 4 * 4
        before = sorted(each["folds"][0] for each in trials[:first] if "folds" in each)
        assert trial["trial"] > 4
        assert len(trial["folds"]) == 1
        assert trial["folds"][0] > (before[(len(before) - 1) // 2] + before[len(before) // 2]) / 2


def test_the_same_spec_gives_the_same_model(flowers: Run, run: Run) -> None:
    first, second = (run(flowers(name, **tuned()), jobs=jobs) for name, jobs in (("a", 4), ("b", 1)))
    assert first.result["model_digest"] == second.result["model_digest"]
    other = run(flowers("c", **tuned(), seed=7))
    assert other.result["model_digest"] != first.result["model_digest"]


@pytest.mark.slow
def test_a_search_that_is_killed_goes_on_where_it_was(flowers: Run, run: Run, spawn: Run) -> None:
    calm = run(flowers("calm", **tuned())).result["model_digest"]
    path = flowers("killed", **tuned())
    for point in ("tune.lightgbm.trial2:middle", "tune.lightgbm.trial6:start", "tune.lightgbm:start"):
        process = spawn("run", path, "-q", DML_FAULT=point)
        assert process.wait(timeout=120) == -signal.SIGKILL, process.communicate()
    report = run(path)
    assert report.result["model_digest"] == calm
    found = status(report)
    assert found["tune.lightgbm.trial0"] == found["tune.lightgbm.trial5"] == "cached"
    assert found["tune.lightgbm"] == "run"


def test_more_trials_go_on_from_those_that_are_there(flowers: Run, run: Run) -> None:
    run(flowers(**tuned(trials=5)))
    found = status(run(flowers(**tuned(trials=7))))
    assert {found[f"tune.lightgbm.trial{n}"] for n in range(5)} == {"cached"}
    assert found["tune.lightgbm.trial6"] == "run"


def test_options_that_are_not_clearly_better_stay_away(
    flowers: Run, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    from declarative_ml.steps import tune as step

    monkeypatch.setattr(step, "is_clear", lambda given, leading: False)
    report = run(flowers(**tuned()))
    plain = run(flowers("plain", model=LIGHTGBM, data=FOLDS))
    tune = artifact(report, "tune.lightgbm", "tune.json")
    assert tune["leader"] > tune["best"] == 0
    assert tune["options"] == {}
    assert report.result["metrics"] == plain.result["metrics"]
    assert "so the given options stay" in (report.folder / "report.html").read_text()


@pytest.mark.parametrize(
    ("given", "leading", "clear"),
    [
        ([0.5], [0.4], True),
        ([0.5, 0.5, 0.5], [0.4, 0.41, 0.39], True),
        ([0.5, 0.5, 0.5], [0.6, 0.61, 0.59], True),
        ([0.5, 0.5, 0.5], [0.3, 0.6, 0.55], False),
        ([0.5, 0.7, 0.6], [0.5, 0.7, 0.6], False),
        ([0.5, None, 0.6], [0.4, 0.7, 0.5], True),
    ],
)
def test_when_a_difference_is_clear(given: list[Any], leading: list[Any], clear: bool) -> None:
    assert is_clear(given, leading) is clear


def test_every_kind_of_model_in_one_blend(flowers: Run, run: Run) -> None:
    pytest.importorskip("torch")
    model = {"type": "ensemble", "members": ["linear", {"type": "mlp", "epochs": 3, "networks": 1}]}
    space = {
        "linear.penalty": {"low": 0.1, "high": 10, "log": True},
        "mlp.layers": {"choices": [[4], [8, 8]]},
        "mlp.activation": {"choices": ["silu", "tanh"]},
    }
    report = run(flowers(model=model, tune={"trials": 3, "space": space}))
    assert report.error is None, report.error
    page = (report.folder / "report.html").read_text()
    assert "8 × 8" in page or "by the fit" in page or "64 × 64" in page
    options = artifact(report, "tune.mlp", "options.json")["options"]
    assert options.get("activation") in ("silu", "tanh", None)
    parity = artifact(report, "assemble", "assembly.json")["parity"]
    assert parity["max_difference"] <= parity["tolerance"], "the graph has the chosen activation"


def test_points_are_not_tried_twice(flowers: Run, run: Run) -> None:
    space = {"penalty": {"choices": [0.1, 1.0]}}
    report = run(flowers(model="linear", tune={"trials": 6, "space": space}))
    trials = artifact(report, "tune.linear", "tune.json")["trials"]
    reasons = [trial["reason"] for trial in trials if "reason" in trial]
    assert reasons
    assert set(reasons) == {"the same options as in an earlier trial"}
    measured = [trial["options"] for trial in trials if "score" in trial]
    assert all(options not in measured[:number] for number, options in enumerate(measured))


def test_without_held_out_rows_the_model_stays_as_it_is(flowers: Run, run: Run) -> None:
    path = flowers(model="linear", tune={"trials": 3}, data={"source": "flowers.csv", "split": "column"})
    lines = (path.parent / "flowers.csv").read_text().splitlines()
    parts = [line + (",part" if not n else ",train" if n % 4 else ",test") for n, line in enumerate(lines)]
    (path.parent / "flowers.csv").write_text("\n".join(parts) + "\n")
    document = json.loads(path.read_text())
    document["data"]["split"] = {"method": "column", "column": "part"}
    path.write_text(json.dumps(document))
    report = run(path)
    assert report.error is None, report.error
    assert artifact(report, "tune.linear", "options.json") == {"options": {}}
    assert "Nothing was tried: no rows are held out" in (report.folder / "report.html").read_text()


def test_a_trial_that_fails_is_left_out(flowers: Run, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    fit = Linear.fit

    def fragile(self: Linear, *arguments: Any) -> Any:
        if self.penalty is not None and self.penalty > 1.0:
            raise ValueError("no luck today")
        return fit(self, *arguments)

    monkeypatch.setattr(Linear, "fit", fragile)
    report = run(flowers(model="linear", tune={"trials": 6}))
    assert report.error is None, report.error
    reasons = [trial.get("reason", "") for trial in artifact(report, "tune.linear", "tune.json")["trials"]]
    assert any("no luck today" in reason for reason in reasons)
    assert "no luck today" in (report.folder / "report.html").read_text()


def test_the_given_options_must_work(flowers: Run, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no luck today")

    monkeypatch.setattr(LightGBM, "fit", broken)
    report = run(flowers(**tuned()))
    assert isinstance(report.error, StepFailed)
    assert "tune.lightgbm.trial0" in report.error.message


def test_without_optuna_nothing_is_begun(flowers: Run, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_module, "installed", lambda name: name != "optuna")
    path = flowers(**tuned())
    with pytest.raises(MissingDependency, match="optuna is not installed") as error:
        run(path)
    assert error.value.hint == "pip install 'declarative-ml[tune]'"
    assert not list((path.parent / ".dml" / "store").glob("actions/*/*.json"))


TIME = {"cpu": 1, "time": "10m"}


def test_trials_that_do_not_fit_into_the_time_are_left_out(
    flowers: Run, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin = Clock.begin

    def begun(self: Clock, step: Step) -> Callable[[], float]:
        if step.kind == "trial" and step.optional:
            return lambda: time.monotonic() + 0.31  # more than nothing, less than the first trial took
        return begin(self, step)

    fit = LightGBM.fit

    def slow(self: LightGBM, *arguments: Any) -> Any:
        time.sleep(0.15)
        return fit(self, *arguments)

    monkeypatch.setattr(Clock, "begin", begun)
    monkeypatch.setattr(LightGBM, "fit", slow)
    path = flowers(**tuned(trials=6), resources=TIME)
    report = run(path)
    assert report.error is None, report.error
    tune = artifact(report, "tune.lightgbm", "tune.json")
    assert {trial.get("reason") for trial in tune["trials"][1:]} == {"the time is up"}
    assert tune["best"] == 0
    assert "5 left out: the time is up" in (report.folder / "report.html").read_text()
    assert run(path).unchanged, "a run with as much time takes it as it is"
    whole = run(flowers(**tuned(trials=6)))
    assert "reason" not in artifact(whole, "tune.lightgbm", "tune.json")["trials"][1]


def test_a_first_trial_without_time_makes_do(flowers: Run, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    begin = Clock.begin

    def begun(self: Clock, step: Step) -> Callable[[], float]:
        return (lambda: time.monotonic() - 1.0) if step.kind == "trial" else begin(self, step)

    monkeypatch.setattr(Clock, "begin", begun)
    report = run(flowers(**tuned(trials=3), resources=TIME))
    assert report.error is None, report.error
    first = artifact(report, "tune.lightgbm", "tune.json")["trials"][0]
    assert first["cut"] is True
    assert len(first["folds"]) == 3


def test_mlflow_gets_a_run_for_each_trial(flowers: Run, run: Run) -> None:
    pytest.importorskip("mlflow")
    from declarative_ml.trackers.mlflow_store import connect, locate

    path = flowers(model="linear", tune={"trials": 3}, track={"experiment": "flowers"})
    report = run(path)
    assert report.error is None, report.error
    client = connect(locate(path.parent / ".dml", None))
    experiment = client.get_experiment_by_name("flowers").experiment_id
    parent = report.result["mlflow_run_id"]
    nested = client.search_runs([experiment], f"tags.`mlflow.parentRunId` = '{parent}'")
    assert sorted(each.info.run_name for each in nested) == [f"tune.linear.trial{n}" for n in range(3)]
    assert sorted(each.data.tags["dml.chosen"] for each in nested) == ["false", "false", "true"]
    assert all("held_out.log_loss" in each.data.metrics for each in nested)
    assert all(each.info.status == "FINISHED" for each in nested)
    assert run(path).unchanged
