from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from declarative_ml.core.errors import DataError
from declarative_ml.learning import scores as module
from declarative_ml.learning import value_groups
from declarative_ml.learning.disk_rows import DiskRows
from declarative_ml.learning.intervals import intervals
from declarative_ml.learning.metrics import default_metrics, score
from declarative_ml.learning.scores import scores
from declarative_ml.learning.task import Task
from declarative_ml.learning.value_groups import ValueGroups

BINARY = Task(target="y", type="binary", classes=("no", "yes"))
MULTI = Task(target="y", type="multiclass", classes=tuple("abcdefghij"))
NUMBER = Task(target="y", type="number")


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AT_ONCE", 100)
    monkeypatch.setattr(module, "_PART", 1_000)
    monkeypatch.setattr(value_groups, "_STRETCH", 37)


def _drawn(task: Task, rows: int, kind: str, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    if task.type == "number":
        truth = random.normal(1e6, 3.0, rows)
        prediction = truth + random.laplace(0.0, 1.0, rows)
        return truth, np.round(prediction) if kind == "ties" else prediction
    classes = len(task.classes)
    truth = random.integers(0, classes, rows)
    if kind == "one class":
        truth[:] = 1
    margins = random.normal(0.0, 1.0, (rows, classes)) + 0.7 * (truth[:, None] == np.arange(classes))
    if kind == "ties":
        margins = np.round(margins)
    if kind == "constant":
        margins[:] = 0.0
    shares = np.exp(margins)
    return truth, (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("task", [BINARY, MULTI, NUMBER], ids=lambda task: str(task.type))
@pytest.mark.parametrize("kind", ["plain", "ties", "one class", "constant"])
def test_scores_of_many_rows_are_those_of_all_at_once(task: Task, kind: str, tmp_path: Path) -> None:
    truth, prediction = _drawn(task, 6_001, kind)
    np.save(tmp_path / "truth.npy", truth)
    np.save(tmp_path / "prediction.npy", prediction)
    on_disk = DiskRows(tmp_path / "truth.npy"), DiskRows(tmp_path / "prediction.npy")
    names = default_metrics(task)
    found = scores(names, task, *on_disk, threshold=0.4, scratch=tmp_path)
    expected = {name: score(name, task, truth, prediction, threshold=0.4) for name in names}
    assert list(found) == list(names)
    for name in names:
        assert found[name] == pytest.approx(expected[name], rel=1e-12, abs=1e-13, nan_ok=True), name
    assert sorted(path.name for path in tmp_path.iterdir()) == ["prediction.npy", "truth.npy"]


def test_areas_under_the_curve_are_exact(tmp_path: Path) -> None:
    truth, prediction = _drawn(BINARY, 5_000, "ties")
    found = scores(["roc_auc"], BINARY, truth, prediction, scratch=tmp_path)["roc_auc"]
    assert found == score("roc_auc", BINARY, truth, prediction)


@pytest.mark.parametrize("rows", [101, 102, 4_000])
def test_the_median_of_an_even_number_lies_between_two(rows: int) -> None:
    truth, prediction = _drawn(NUMBER, rows, "plain", rows)
    found = scores(["median_absolute_error"], NUMBER, truth, prediction)["median_absolute_error"]
    assert found == score("median_absolute_error", NUMBER, truth, prediction)


@pytest.mark.parametrize("known", [False, True])
def test_intervals_read_only_the_rows_they_draw(known: bool, tmp_path: Path) -> None:
    truth, prediction = _drawn(BINARY, 25_000, "plain")
    np.save(tmp_path / "truth.npy", truth)
    np.save(tmp_path / "prediction.npy", prediction)
    on_disk = DiskRows(tmp_path / "truth.npy"), DiskRows(tmp_path / "prediction.npy")
    names = ["roc_auc", "log_loss"]
    given = scores(names, BINARY, *on_disk) if known else None
    found = intervals(names, BINARY, *on_disk, resamples=20, known=given)
    expected = intervals(names, BINARY, truth, prediction, resamples=20)
    for name in names:
        assert found[name] == pytest.approx(expected[name], rel=1e-12)


def test_a_value_that_is_not_finite_is_told_with_its_row(tmp_path: Path) -> None:
    truth, prediction = _drawn(NUMBER, 4_000, "plain")
    prediction[3_210] = np.nan
    with pytest.raises(DataError, match="the first in row 3210"):
        scores(default_metrics(NUMBER), NUMBER, truth, prediction, scratch=tmp_path)


def test_a_metric_of_another_task_is_refused() -> None:
    truth, prediction = _drawn(NUMBER, 4_000, "plain")
    with pytest.raises(DataError, match="'roc_auc' does not apply"):
        scores(["rmse", "roc_auc"], NUMBER, truth, prediction)


@pytest.mark.parametrize("rows", [0, 1, 300])
def test_groups_are_the_distinct_values_with_their_counts(rows: int, tmp_path: Path) -> None:
    random = np.random.default_rng(rows)
    values, marked = np.round(random.normal(size=rows), 1), random.random(rows) < 0.5
    with ValueGroups(tmp_path / "groups", 4) as groups:
        for part in np.array_split(np.arange(rows), 4):
            groups.add(values[part], marked[part])
        found = list(groups.ascending())
    distinct, counts = np.unique(values, return_counts=True)
    joined = [np.concatenate(arrays) if found else np.zeros(0) for arrays in zip(*found)] or [np.zeros(0)] * 3
    assert np.array_equal(joined[0], distinct)
    assert np.array_equal(joined[1] + joined[2], counts)
    assert [int(marked[values == value].sum()) for value in distinct] == joined[1].tolist()
    assert not (tmp_path / "groups").exists()
