"""Learning from other candidates: what the rows become, and what may reach them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from declarative_ml.api.planning import make_plan
from declarative_ml.api.run import RunOptions, run_spec
from declarative_ml.core.errors import DataError
from declarative_ml.core.task import Task
from declarative_ml.learning.dataset import Dataset, Layout
from declarative_ml.models import MODELS
from declarative_ml.models.base import FitContext
from declarative_ml.spec.load import load_spec
from declarative_ml.spec.portfolio import DISTILLED
from declarative_ml.steps import train
from declarative_ml.steps.teacher import softened

THREE = Task(target="y", type="multiclass", classes=("a", "b", "c"))
TWO = Task(target="y", type="binary", classes=("no", "yes"))
NUMBER = Task(target="y", type="number")


def rows(target: Any, weight: Any = None) -> Dataset:
    """Rows whose only column is their number."""
    count = len(target)
    empty = np.zeros((count, 0), np.float32)
    raw = np.arange(count, dtype=np.float32)[:, None]
    return Dataset(Layout(raw=("n",)), raw, empty, empty.astype(np.int32), np.asarray(target), weight)


def chances(data: Dataset, count: int, classes: int) -> np.ndarray:
    """The share of each class in the weight of each row."""
    found = np.zeros((count, classes))
    assert data.weight is not None
    np.add.at(found, (data.raw[:, 0].astype(int), np.asarray(data.target)), data.weight)
    return found / found.sum(axis=1, keepdims=True)


def test_two_classes_weigh_as_the_mixture_of_label_and_teacher_says() -> None:
    said = np.array([[0.9, 0.1], [0.6, 0.4], [0.0, 1.0]])
    found = softened(TWO, rows([0, 1, 1]), said, 0.5)
    np.testing.assert_allclose(chances(found, 3, 2), [[0.95, 0.05], [0.3, 0.7], [0.0, 1.0]])
    assert len(found) == 5, "the last row leaves no doubt"
    assert found.weight is not None and found.weight.mean() == pytest.approx(1.0)


def test_of_several_classes_the_likeliest_other_is_learned() -> None:
    said = np.array([[0.5, 0.2, 0.3], [0.1, 0.2, 0.7]])
    found = softened(THREE, rows([0, 0]), said, 1.0)
    np.testing.assert_allclose(chances(found, 2, 3), [[0.5 / 0.8, 0, 0.3 / 0.8], [0.1 / 0.8, 0, 0.7 / 0.8]])


def test_weights_of_rows_stay() -> None:
    said = np.array([[0.8, 0.2], [0.8, 0.2]])
    found = softened(TWO, rows([0, 0], np.array([3.0, 1.0])), said, 1.0)
    assert found.weight is not None
    by_row = np.bincount(found.raw[:, 0].astype(int), found.weight)
    assert by_row[0] == pytest.approx(3 * by_row[1])


def test_numbers_are_mixed() -> None:
    found = softened(NUMBER, rows([1.0, 2.0], np.array([2.0, 1.0])), np.array([3.0, 2.0]), 0.7)
    np.testing.assert_allclose(found.target, [2.4, 2.0])
    assert found.weight is not None and list(found.weight) == [2.0, 1.0]


def test_a_good_teacher_helps_where_labels_are_noise() -> None:
    random = np.random.default_rng(0)
    raw = random.uniform(-1, 1, (600, 1)).astype(np.float32)
    truth = 1 / (1 + np.exp(-2 * raw[:, 0].astype(float)))
    empty = np.zeros((600, 0))
    label = (random.uniform(size=600) < truth).astype(np.int64)
    data = Dataset(Layout(raw=("x",)), raw, empty.astype(np.float32), empty.astype(np.int32), label)
    model = MODELS.parse({"type": "lightgbm", "total_leaves": 200})
    context = FitContext(TWO, seed=0, threads=1, scratch=Path())
    said = np.stack([1 - truth, truth], axis=1)
    errors = []
    for seen in (data, softened(TWO, data, said, 0.7)):
        margins = model.predict(model.fit(seen, None, context).state, data, TWO)[:, 0]
        errors.append(float(np.abs(1 / (1 + np.exp(-margins)) - truth).mean()))
    assert errors[1] < 0.7 * errors[0]


CAPPED = {"type": "auto", "quality": "fast", "max_size": "40kB"}


def test_a_students_fits_see_only_what_held_out_their_own_fold(flowers: Callable[..., Path]) -> None:
    data = {"source": "flowers.csv", "split": {"method": "random", "folds": 3}}
    plan = make_plan(load_spec(flowers(model=CAPPED, data=data)))
    others = ["linear", "lightgbm", "xgboost", "extra_trees", "lightgbm-small"]
    for fold in range(3):
        step = plan[f"train.{DISTILLED}.fold{fold}"]
        taught_by = {source for role, source in step.inputs.items() if role.startswith("teacher")}
        assert taught_by == {f"train.{name}.fold{fold}" for name in others}
        assert step.optional and step.effort and "teachers" in step.params
    final = plan[f"train.{DISTILLED}.final"]
    assert sum(role.startswith("teacher") for role in final.inputs) == 3 * len(others)
    free = make_plan(load_spec(flowers("free", model="auto", data=data)))
    assert not any(DISTILLED in step.id or "teachers" in step.params for step in free.steps)


def test_leaves_follow_the_cap(flowers: Callable[..., Path]) -> None:
    found = {}
    for size in ("30kB", "100kB", "1MB", "9MB"):
        plan = make_plan(load_spec(flowers(size, model={**CAPPED, "max_size": size})))
        options = [plan[f"train.{name}.final"].params["model"] for name in ("lightgbm-small", DISTILLED)]
        found[size] = [model["total_leaves"] for model in options]
    assert found["30kB"][0] == found["30kB"][1] < 800
    assert found["100kB"][1] > 3 * found["30kB"][1]
    assert found["1MB"] == [2400, found["9MB"][1]] and found["1MB"][1] > 20_000


def write_noise(folder: Path, *, seed: int = 0, spoilt: str = "") -> Path:
    """A spec over 1,200 rows of two noisy classes, whose column `part` says what each row is for.

    The labels of the rows of the part `spoilt` are the other way round.
    """
    random = np.random.default_rng(seed)
    parts = random.choice(["train", "train", "train", "validation", "test"], 1200)
    columns = random.normal(size=(1200, 4))
    likely = 1 / (1 + np.exp(-columns @ [1.5, -1.0, 0.5, 0.0]))
    label = random.uniform(size=1200) < likely
    lines = ["a,b,c,d,part,y"]
    for row, part, yes in zip(columns, parts, label, strict=True):
        told = yes != (part == spoilt)
        lines.append(",".join([*(f"{value:.4f}" for value in row), part, "yes" if told else "no"]))
    folder.mkdir()
    (folder / "noise.csv").write_text("\n".join(lines))
    spec = {
        "name": "noise",
        "data": {"source": "noise.csv", "split": {"method": "column", "column": "part"}},
        "exclude": ["part"],
        "target": {"column": "y", "positive": "yes"},
        "model": CAPPED,
        "track": False,
        "explain": False,
        "resources": {"cpu": 1},
    }
    path = folder / "spec.yaml"
    path.write_text(json.dumps(spec))
    return path


def artifact(report: Any, step: str) -> Path:
    digest = json.loads((report.folder / "run.json").read_text())["digests"][step]
    (found,) = (report.folder.parents[1] / "store" / "artifacts").glob(f"*/{digest}")
    return Path(found)


@pytest.mark.slow
def test_labels_of_test_rows_never_reach_the_student(tmp_path: Path) -> None:
    steps = [f"train.{DISTILLED}.fold0", f"train.{DISTILLED}.final"]
    runs = [
        run_spec(load_spec(write_noise(tmp_path / name, spoilt=name)), RunOptions(until="assemble"))
        for name in ("clean", "test")
    ]
    assert all(report.error is None for report in runs)
    for step in steps:
        first, second = ((artifact(report, step) / "state.npz").read_bytes() for report in runs)
        assert first == second, step
    first, second = ((artifact(report, "assemble") / "model.onnx").read_bytes() for report in runs)
    assert first == second


@pytest.mark.slow
def test_the_student_ships_where_it_is_best_and_is_on_the_leaderboard(
    tmp_path: Path, run: Callable[..., Any]
) -> None:
    report = run(write_noise(tmp_path / "noise"))
    assert report.error is None, report.error
    board = json.loads((artifact(report, "leaderboard") / "leaderboard.json").read_text())
    found = {entry["name"]: entry for entry in board["candidates"]}
    student, small = found[DISTILLED], found["lightgbm-small"]
    assert student["loss"] < small["loss"]
    assert student["bytes"] <= 40_000 and student["microseconds"] > 0 and student["score"] > 0.5
    page = (report.folder / "report.html").read_text()
    assert DISTILLED in page
    again = run(tmp_path / "noise" / "spec.yaml")
    assert {step["status"] for step in again.result["steps"] if DISTILLED in step["id"]} <= {
        "cached",
        "skipped",
    }


@pytest.mark.slow
def test_a_student_that_fails_is_left_out_and_the_run_goes_on(
    flowers: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise DataError("the teacher is ill")

    monkeypatch.setattr(train, "taught", failing)
    report = run_spec(load_spec(flowers(model=CAPPED)), RunOptions(until="ensemble"))
    assert report.error is None, report.error
    members = json.loads((artifact(report, "ensemble") / "ensemble.json").read_text())["members"]
    reasons = {entry["name"]: entry["reason"] for entry in members}
    assert reasons[DISTILLED] == "failed: the teacher is ill"
    assert None in reasons.values()
