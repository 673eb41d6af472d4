"""Runs made again from their locks: equal where nothing differs, and named where something does."""

from __future__ import annotations

import json
import math
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from declarative_ml.api.reproduce import compared, find_locked, needed_for, prepare, reproduce
from declarative_ml.core.errors import DataError, UsageError
from declarative_ml.engines.clock import Clock
from declarative_ml.graph.plan import Plan, Step
from declarative_ml.models.base import FitContext
from declarative_ml.spec.run_lock import BUNDLE_LOCK, RUN_LOCK, read_run_lock
from declarative_ml.steps import ensemble
from declarative_ml.steps.context import SHORT
from declarative_ml.steps.cost import Cost
from declarative_ml.store.bundle import Bundle, zip_bundle

Run = Callable[..., Any]
LOOKED_AT = ("report", "track", "segments", "verify")
"""Steps that no bundle is made of."""
TIME = {"cpu": 1, "time": "10m"}
THREE = {"method": "random", "folds": 3}


def again(report: Any, *data: object) -> dict[str, Any]:
    """Make the run again, after its store is gone."""
    assert report.result["status"] == "ok", report.error
    shutil.rmtree(report.folder.parents[1] / "store")
    return from_lock(report.result["bundle"], *data)


def from_lock(bundle: str, *data: object) -> dict[str, Any]:
    return reproduce(prepare(find_locked(bundle), [str(path) for path in data]))


def lock_of(report: Any) -> Any:
    path = report.folder / RUN_LOCK
    return read_run_lock(path.read_text(), str(path))


def edit_lock(report: Any, **fields: Any) -> Path:
    """Write other values over those of the run's lock: what the run would have left on another machine."""
    path: Path = report.folder / RUN_LOCK
    content = json.loads(path.read_text())
    for name, value in fields.items():
        place = content
        *parents, last = name.split("__")
        for parent in parents:
            place = place[parent]
        place[last] = value
    path.write_text(json.dumps(content))
    return path


LIGHT: list[tuple[str, dict[str, Any]]] = [
    ("linear", {"model": "linear"}),
    ("linear, explained", {"explain": {"rows": 5, "background": 5}}),
    ("lightgbm", {"model": {"type": "lightgbm", "rounds": 20}, "resources": {"cpu": 2}}),
    ("lightgbm, refit off", {"model": {"type": "lightgbm", "rounds": 20}, "refit": False}),
    ("xgboost", {"model": {"type": "xgboost", "rounds": 20}}),
    ("extra_trees", {"model": {"type": "extra_trees", "trees": 20}}),
    ("mlp", {"model": {"type": "mlp", "epochs": 3}}),
    ("ensemble", {"model": {"type": "ensemble", "members": ["linear", {"type": "lightgbm", "rounds": 20}]}}),
    ("interval", {"target": "length", "evaluate": {"interval": 0.9}, "data.split": THREE, "model": "linear"}),
    ("tune", {"model": {"type": "lightgbm", "rounds": 10}, "tune": {"trials": 3}}),
    ("an option of the spec that is no text", {"seed": 7, "exclude": ["wild"], "imbalance": "oversample"}),
    ("sql", {"data.sql": "SELECT * FROM source WHERE width IS NOT NULL"}),
    ("a format", {"convert": ["onnx"]}),
]


@pytest.mark.parametrize("sections", [case[1] for case in LIGHT], ids=[case[0] for case in LIGHT])
def test_a_run_made_again_is_equal(sections: dict[str, Any], flowers: Run, run: Run) -> None:
    found = again(run(flowers(**with_data(sections))))
    assert found["equal"], found
    assert found["differences"] == []
    assert found["model_digest"][0] == found["model_digest"][1] is not None
    assert found["compared"]["steps"] > 6
    assert found["compared"]["files"] >= 3


def with_data(sections: dict[str, Any]) -> dict[str, Any]:
    """The sections, with `data.x` inside the data of the flowers."""
    data = {"source": "flowers.csv", "split": {"method": "random", "validation": 0.2}}
    data |= {name.removeprefix("data."): value for name, value in sections.items() if "." in name}
    return {**{name: value for name, value in sections.items() if "." not in name}, "data": data}


@pytest.mark.slow
def test_auto_made_again_is_equal(flowers: Run, run: Run) -> None:
    assert again(run(flowers(model={"type": "auto", "quality": "fast"})))["equal"]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "library"), [("savedmodel", "tensorflow"), ("openvino", "openvino")])
def test_formats_made_again_are_equal(name: str, library: str, flowers: Run, run: Run) -> None:
    pytest.importorskip(library)
    found = again(run(flowers(convert=[name])))
    assert found["equal"], found
    assert found["compared"]["files"] > 3, "the model's own, and those of the format"


@pytest.mark.slow
def test_texts_made_again_are_equal(tmp_path: Path, run: Run) -> None:
    words = random.Random(3)
    good, bad = ["fine", "great", "quick", "kind"], ["late", "broken", "rude", "lost"]
    rows = []
    for number in range(400):
        chosen = [words.choice(good if number % 2 else bad), words.choice(good + bad), f"order{number % 37}"]
        words.shuffle(chosen)
        rows.append(f"the parcel was {' '.join(chosen)} indeed,{'yes' if number % 2 else 'no'}")
    (tmp_path / "notes.csv").write_text("\n".join(["note,happy", *rows]) + "\n")
    spec = {"name": "notes", "data": {"source": "notes.csv"}, "target": "happy", "track": False}
    spec |= {"features": {"note": "text"}, "model": {"type": "ensemble", "members": ["linear", "lightgbm"]}}
    path = tmp_path / "spec.yaml"
    path.write_text(json.dumps({**spec, "explain": False}))
    assert again(run(path))["equal"]


def test_a_reproduction_leaves_the_workspace_alone(flowers: Run, run: Run) -> None:
    path = flowers()
    report = run(path)
    before = sorted((file, file.stat().st_mtime_ns) for file in (path.parent / ".dml").rglob("*"))
    assert from_lock(report.result["bundle"])["equal"]
    assert sorted((file, file.stat().st_mtime_ns) for file in (path.parent / ".dml").rglob("*")) == before


def test_equal_runs_have_equal_locks(flowers: Run, run: Run) -> None:
    locks = [run(flowers(name), store=None).folder / "bundle" / BUNDLE_LOCK for name in ("here", "there")]
    assert locks[0].read_bytes() == locks[1].read_bytes()


def test_both_forms_of_the_lock_say_the_same(flowers: Run, run: Run) -> None:
    report = run(flowers(description="no: 1e3, 0x1f", seed=11))
    bundle = Bundle.open(report.result["bundle"], verify=True)
    text = bundle.read(BUNDLE_LOCK).decode()
    assert read_run_lock(text, BUNDLE_LOCK) == lock_of(report)
    assert yaml.safe_load(text)["spec"]["description"] == "no: 1e3, 0x1f"
    assert str(report.folder) not in text
    assert lock_of(report).data["acquire.source"].model_dump()["rows"] == 90
    order = [state.step.id for state in report.states if state.step.kind not in LOOKED_AT]
    assert list(lock_of(report).steps) == order, "as in the plan, so that the first that differs is the first"


# -- what the clock decided


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[dict[str, int]], None]:
    """Let the time of steps, by the start of their id, be up when it has been looked at so often."""

    def make(looks: dict[str, int]) -> None:
        begin = Clock.begin

        def begun(self: Clock, step: Step) -> Callable[[], float]:
            often = next((count for name, count in looks.items() if step.id.startswith(name)), None)
            if often is None:
                return begin(self, step)
            left = iter([math.inf] * often)
            return lambda: next(left, -1.0)

        monkeypatch.setattr(Clock, "begin", begun)

    return make


# The step itself looks at the clock once before a fit; a search does not.
CUT: list[tuple[str, dict[str, Any], str, int, Any]] = [
    ("linear", {"model": "linear"}, "train.linear.fold0", 3, 3),
    ("lightgbm", {"model": "lightgbm"}, "train.lightgbm.fold0", 7, 7),
    ("xgboost", {"model": "xgboost"}, "train.xgboost.fold0", 7, 7),
    ("extra_trees, 5 at a time", {"model": "extra_trees"}, "train.extra_trees.fold0", 4, 20),
    ("mlp", {"model": {"type": "mlp", "epochs": 9}}, "train.mlp.fold0", 5, 5),
    ("a trial", {"model": "lightgbm", "tune": {"trials": 3}}, "tune.lightgbm.trial0", 6, [7]),
]


@pytest.mark.parametrize(
    ("sections", "step", "looks", "place"), [case[1:] for case in CUT], ids=[case[0] for case in CUT]
)
def test_a_fit_that_was_cut_short_ends_at_the_same_place(
    sections: dict[str, Any],
    step: str,
    looks: int,
    place: Any,
    clock: Callable[..., None],
    flowers: Run,
    run: Run,
) -> None:
    clock({step: looks})
    report = run(flowers(**sections, resources=TIME))
    assert report.error is None, report.error
    kept = lock_of(report).steps[step]
    assert kept.pinned == {"stopped_after": place}
    assert not kept.unpinned
    found = again(report)
    assert found["equal"], found
    assert found["pinned"][step] == kept.pinned


def test_members_that_were_left_out_stay_out(clock: Callable[..., None], flowers: Run, run: Run) -> None:
    late = ("train.lightgbm", "train.xgboost", "train.extra_trees", "train.linear.final")
    clock(dict.fromkeys(late, 0))
    report = run(flowers(model={"type": "auto", "quality": "fast"}, resources=TIME))
    assert report.error is None, report.error
    steps = lock_of(report).steps
    assert steps["train.lightgbm.fold0"].pinned == {"skipped": "the time is up"}
    reason = "the time is up: the models of the folds ship instead"
    assert steps["train.linear.final"].pinned == {"skipped": reason}
    found = again(report)
    assert found["equal"], found


@pytest.mark.parametrize(
    ("model", "place", "pace"),
    [
        ("lightgbm", "declarative_ml.models.boosting.Boosting._rate_for", 0.2),
        ("xgboost", "declarative_ml.models.boosting.Boosting._rate_for", 0.2),
        ("mlp", "declarative_ml.models.mlp_fit._epochs_for", 12),
    ],
)
def test_a_fit_that_was_hurried_takes_the_same_steps(
    model: str, place: str, pace: float, flowers: Run, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def paced(*given: Any) -> float | None:
        (context,) = (item for item in given if isinstance(item, FitContext))
        return None if context.work else pace

    with monkeypatch.context() as patch:
        patch.setattr(place, paced)
        patch.setattr(Clock, "spares", lambda _, step: f"{SHORT}: 1" if ".fold2" in step.id else None)
        data = {"source": "flowers.csv", "split": THREE}
        report = run(flowers(data=data, model=model, resources=TIME))
    assert report.error is None, report.error
    steps = lock_of(report).steps
    assert steps[f"train.{model}.fold0"].pinned == {"hurried": pace}
    assert steps[f"train.{model}.fold2"].pinned == {"skipped": f"{SHORT}: 1"}
    assert not steps[f"train.{model}.final"].pinned, "what a refit does follows from the folds"
    page = (report.folder / "report.html").read_text()
    assert f"fits of {model} ended early or took larger steps" in page
    found = again(report)
    assert found["equal"], found


def test_a_late_explanation_spends_as_much_again(clock: Callable[..., None], flowers: Run, run: Run) -> None:
    clock({"explain": 0})
    report = run(flowers(explain={"rows": 10, "background": 50}, resources=TIME))
    assert lock_of(report).steps["explain"].pinned == {"evaluations": 0}
    assert again(report)["equal"]


def test_a_conversion_without_time_stays_out(clock: Callable[..., None], flowers: Run, run: Run) -> None:
    clock({"convert.onnx": 0})
    report = run(flowers(convert=["onnx"], resources=TIME))
    assert lock_of(report).steps["convert.onnx"].pinned == {"late": True}
    assert again(report)["equal"]


@pytest.mark.slow
@pytest.mark.parametrize("quick", ["linear", "lightgbm"])
def test_what_a_stop_watch_decided_is_taken_from_the_lock(
    quick: str, flowers: Run, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measured(context: Any, task: Any, numbers: list[int]) -> Cost:
        names = [context.params["names"][number] for number in numbers]
        return Cost(1000, 10.0 if names == [quick] else 1e6)

    model = {"type": "auto", "quality": "fast", "max_latency": "100us"}
    with monkeypatch.context() as patch:
        patch.setattr(ensemble, "cost_of", measured)
        report = run(flowers(model=model))
    assert report.error is None, report.error
    assert quick not in lock_of(report).steps["ensemble"].pinned["no_room"]
    monkeypatch.setattr(ensemble, "cost_of", lambda *_: Cost(1000, 1e9))  # a slower machine
    found = again(report)
    assert found["equal"], found


@pytest.mark.slow
def test_a_run_of_ten_seconds_made_again_is_equal(
    tmp_path: Path, write_flowers: Callable[..., Path], flowers: Run, run: Run
) -> None:
    path = flowers(model={"type": "auto", "quality": "best"}, resources={"cpu": 1, "time": "10s"})
    write_flowers(path.parent / "flowers.csv", rows=3000)
    report = run(path)
    assert report.error is None, report.error
    assert any(step.pinned for step in lock_of(report).steps.values())
    assert not any(step.unpinned for step in lock_of(report).steps.values())
    found = again(report)
    assert found["equal"], found


def test_what_is_not_in_the_lock_is_said(flowers: Run, run: Run) -> None:
    report = run(flowers())
    step = {"digest": "0" * 64, "unpinned": True}
    edit_lock(report, **{"steps__train.linear.fold0": step})
    locked = prepare(find_locked(report.folder.name, str(report.folder.parents[1])))
    assert locked.unpinned == ["train.linear.fold0"]
    found = reproduce(locked)
    assert not found["equal"]
    assert found["first"]["why"] == "the clock ended it in the run, and the lock does not hold where"


# -- what is not as it was


def test_a_changed_table_is_named(flowers: Run, run: Run, dml: Run) -> None:
    path = flowers()
    report = run(path)
    data = path.parent / "flowers.csv"
    data.write_text(data.read_text() + "9.1,-3.2,red,2024-05-05,no,a\n")
    outcome = dml("reproduce", report.result["bundle"], "--quiet")
    assert outcome.code == 8, outcome
    assert "data file flowers.csv digest " in outcome.out
    assert "different: the model is another one" in outcome.out
    assert "first at step acquire.source: data file flowers.csv digest" in outcome.out
    assert "rows of acquire.source 90 then, 91 now" in outcome.out
    assert "model.onnx" in outcome.out
    assert not list(Path(report.folder.parents[1], "runs").glob("*reproduce*"))


def test_a_table_with_other_quotes_gives_the_same_model(flowers: Run, run: Run) -> None:
    path = flowers()
    report = run(path)
    data = path.parent / "flowers.csv"
    data.write_text(data.read_text().replace(",red,", ',"red",'))
    found = from_lock(report.result["bundle"])
    assert found["equal"]
    (difference,) = found["differences"]
    assert (difference["kind"], difference["name"]) == ("data", "flowers.csv")


def test_another_version_of_a_library_is_the_cause(flowers: Run, run: Run, dml: Run) -> None:
    report = run(flowers(model={"type": "lightgbm", "rounds": 5}))
    step = {"digest": "0" * 64}
    edit_lock(
        report,
        environment__libraries__lightgbm="4.5.0",
        environment__libraries__scipy="1.0",
        **{"steps__train.lightgbm.fold0": step},
    )
    store = report.folder.parents[1]
    outcome = dml("reproduce", report.folder.name, "--store", store, "--format", "json", "--quiet")
    assert outcome.code == 8
    found = json.loads(outcome.out)
    assert found["first"]["step"] == "train.lightgbm.fold0"
    assert found["first"]["why"].startswith("lightgbm 4.5.0 then, 4.")
    assert "scipy" not in found["first"]["why"], "the step does not use it"
    assert {each["name"] for each in found["differences"]} == {"lightgbm", "scipy"}


@pytest.mark.parametrize(
    ("field", "then", "said"),
    [
        ("environment__python", "CPython 3.9.1", "Python CPython 3.9.1 then, CPython 3."),
        ("environment__processors", 96, "processors 96 then, "),
        ("environment__instructions", ["sse2"], "instruction sets sse2 then, "),
        ("environment__variables", {"MKL_CBWR": "COMPATIBLE"}, "MKL_CBWR COMPATIBLE then, none now"),
        ("environment__dml", "0.0.1", "declarative-ml 0.0.1 then, "),
        ("environment__libraries__numpy", "1.0", "numpy 1.0 then, 2."),
        ("code", {"declarative_ml.models.linear": "0" * 16}, "code of models.linear 000000000000 then, "),
    ],
)
def test_a_check_says_what_is_not_as_it_was(
    field: str, then: Any, said: str, flowers: Run, run: Run, dml: Run
) -> None:
    report = run(flowers())
    store = report.folder.parents[1]
    asked = ("reproduce", "latest", "--check", "--store", store)
    outcome = dml(*asked)
    assert outcome.code == 0, outcome
    assert "this machine, the data and the code are as they were" in outcome.out
    edit_lock(report, **{field: then})
    outcome = dml(*asked)
    assert outcome.code == 8
    assert said in outcome.out
    assert json.loads(dml(*asked, "--format", "json").out)["differences"]


def test_a_changed_template_is_named_and_changes_nothing(flowers: Run, run: Run, dml: Run) -> None:
    path = flowers(extends="base.yaml")
    base = path.parent / "base.yaml"
    base.write_text("description: First words\nowner: garden\n")
    report = run(path)
    assert list(lock_of(report).templates) == ["base.yaml"]
    base.write_text("description: Other words\nowner: garden\n")
    outcome = dml("reproduce", report.result["bundle"], "--quiet")
    assert outcome.code == 0, outcome
    assert "template base.yaml digest " in outcome.out
    assert "spec: description First words then, Other words now" in outcome.out
    assert "equal: model " in outcome.out


def test_a_template_of_a_branch_is_named_by_its_commit(tmp_path: Path, flowers: Run, run: Run) -> None:
    repository = tmp_path / "specs"

    def commit(text: str) -> str:
        (repository / "base.yaml").write_text(text)
        who = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        for command in (["add", "."], [*who, "commit", "-qm", "next"]):
            subprocess.run(["git", "-C", str(repository), *command], check=True)
        asked = ["git", "-C", str(repository), "rev-parse", "HEAD"]
        return subprocess.run(asked, check=True, capture_output=True, text=True).stdout.strip()

    subprocess.run(["git", "init", "-q", "-b", "main", str(repository)], check=True)
    first = commit("owner: garden\n")
    report = run(flowers(extends=f"git+file://{repository}@main#base.yaml"))
    second = commit("owner: field\n")
    found = prepare(find_locked(report.result["bundle"])).differences
    assert [each.kind for each in found] == ["template", "spec"]
    assert (found[0].then, found[0].now) == (f"commit {first[:12]}", f"commit {second[:12]}")


def test_profiles_and_overrides_are_no_difference(flowers: Run, dml: Run) -> None:
    path = flowers(profiles={"small": {"seed": 3}})
    outcome = dml("run", path, "--profile", "small", "--set", "exclude=[wild]", "--quiet")
    assert outcome.code == 0, outcome
    outcome = dml("reproduce", "--check", "--store", path.parent / ".dml")
    assert outcome.code == 0, outcome


# -- where things are


def test_a_bundle_that_was_sent_needs_its_data(
    flowers: Run, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = flowers()
    report = run(path)
    away = tmp_path / "away"
    away.mkdir()
    sent = zip_bundle(Path(report.result["bundle"]), away / "flowers.zip")
    monkeypatch.chdir(away)
    with pytest.raises(DataError, match=r"there is no file .*flowers\.csv") as caught:
        from_lock(str(sent))
    assert caught.value.hint == "say where the data lies now: --data PATH"
    assert from_lock(str(sent), path.parent)["equal"], "the folder"
    other = shutil.copy(path.parent / "flowers.csv", away / "renamed.csv")
    assert from_lock(str(sent), other)["equal"], "the only file, by another name"


def test_data_is_found_by_name(flowers: Run, run: Run, tmp_path: Path) -> None:
    split = {"method": "files", "test": "late.csv", "validation": 0.2}
    path = flowers(data={"source": "flowers.csv", "split": split})
    shutil.copy(path.parent / "flowers.csv", path.parent / "late.csv")
    report = run(path)
    moved = [shutil.move(path.parent / name, tmp_path / name) for name in ("late.csv", "flowers.csv")]
    assert from_lock(report.result["bundle"], *moved)["equal"]
    with pytest.raises(UsageError, match="no file of the spec has this name") as caught:
        from_lock(report.result["bundle"], shutil.copy(moved[0], tmp_path / "third.csv"))
    assert caught.value.hint == "its files: flowers.csv, late.csv"
    with pytest.raises(DataError, match=r"there is no file .*nowhere\.csv"):
        from_lock(report.result["bundle"], tmp_path / "nowhere.csv")


def test_a_run_without_a_lock_is_refused(flowers: Run, run: Run) -> None:
    report = run(flowers())
    (report.folder / RUN_LOCK).unlink()
    with pytest.raises(UsageError, match="has no lock: it was made before runs had one"):
        find_locked("latest", str(report.folder.parents[1]))


def test_a_lock_that_was_edited_is_refused(flowers: Run, run: Run) -> None:
    report = run(flowers())
    path = edit_lock(report, spec__seed=1)
    with pytest.raises(DataError, match="the spec in it is not the one that ran"):
        find_locked("latest", str(report.folder.parents[1]))
    path.write_text("{}")
    with pytest.raises(DataError, match="is not a lock of a run that this version reads: version None"):
        find_locked("latest", str(report.folder.parents[1]))


def test_a_part_of_a_run_is_made_again(flowers: Run, run: Run) -> None:
    report = run(flowers(), until="prepare")
    found = reproduce(prepare(find_locked(report.folder.name, str(report.folder.parents[1]))))
    assert found["equal"]
    assert found["compared"] == {"steps": 4, "files": 0, "metrics": 0}


def test_what_only_lets_a_model_out_is_not_compared() -> None:
    def step(name: str, *needed: str) -> Step:
        return Step(id=name, kind=name.partition(".")[0], title=name, inputs={each: each for each in needed})

    steps = [
        step("assemble"),
        step("evaluate", "assemble"),
        step("champion"),
        step("gate", "evaluate", "champion"),
        step("convert.onnx", "assemble", "gate"),
        step("package", "evaluate", "convert.onnx"),
        step("report", "package"),
    ]
    plan = Plan(name="x", spec_digest="", steps=tuple(steps))
    assert compared(plan) == {"assemble", "evaluate", "convert.onnx", "package"}
    assert compared(needed_for(plan, ["gate", "of another version"])) == {
        "assemble",
        "evaluate",
        "champion",
        "gate",
    }


def test_steps_that_came_and_went_are_named(flowers: Run, run: Run) -> None:
    report = run(flowers())
    path = report.folder / RUN_LOCK
    content = json.loads(path.read_text())
    content["steps"]["weave"] = content["steps"].pop("profile")
    path.write_text(json.dumps(content))
    locked = prepare(find_locked("latest", str(report.folder.parents[1])))
    assert [str(each) for each in locked.differences] == [
        "step weave there then, gone now",
        "step profile none then, there now",
    ]
    found = reproduce(locked)
    assert found["first"] == {"step": "weave", "why": "this version of declarative-ml has no such step"}
    assert found["model_digest"][0] == found["model_digest"][1]
