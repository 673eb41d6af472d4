from __future__ import annotations

import time

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from declarative_ml.core.errors import DataError
from declarative_ml.learning import intervals
from declarative_ml.learning.intervals import interval, mean_interval, paired_difference
from declarative_ml.learning.metrics import default_metrics, score
from declarative_ml.learning.task import Task

BINARY = Task(target="y", type="binary", classes=("no", "yes"))
MULTI = Task(target="y", type="multiclass", classes=("a", "b", "c"))
NUMBER = Task(target="y", type="number")


def rows_of(task: Task, rows: int, seed: int = 0, noise: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    if task.type == "number":
        truth = random.normal(size=rows)
        return truth, truth + noise * random.normal(size=rows)
    truth = random.integers(0, len(task.classes), rows)
    logits = np.eye(len(task.classes))[truth] + noise * random.normal(size=(rows, len(task.classes)))
    return truth, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)


@pytest.mark.parametrize("task", [BINARY, MULTI, NUMBER])
def test_every_metric_lies_in_its_interval(task: Task) -> None:
    truth, prediction = rows_of(task, 600)
    for name in default_metrics(task):
        value = score(name, task, truth, prediction)
        low, high = interval(name, task, truth, prediction)
        slack = 0.05 if name == "ece" else 0.0  # biased upwards on resamples
        assert low < value + slack and value < high, name
        assert interval(name, task, truth, prediction) == (low, high)


@pytest.mark.parametrize("name", ["roc_auc", "accuracy", "log_loss"])
def test_equal_to_resampling_rows_one_by_one(name: str) -> None:
    truth, prediction = rows_of(BINARY, 80)
    random = np.random.default_rng(5)
    draws = [random.integers(0, 80, 80) for _ in range(50)]
    values = [score(name, BINARY, truth[draw], prediction[draw]) for draw in draws]
    expected = np.quantile(values, [0.05, 0.95])
    found = interval(name, BINARY, truth, prediction, resamples=50, seed=5, level=0.9)
    assert found == pytest.approx(tuple(expected), abs=1e-12)


def test_coverage_of_the_mean_error() -> None:
    hits = 0
    for seed in range(100):
        truth, prediction = rows_of(NUMBER, 200, seed)
        low, high = interval("mae", NUMBER, truth, prediction, seed=seed)
        hits += low <= np.sqrt(2 / np.pi) <= high
    assert 88 <= hits <= 99


def test_the_cap_keeps_the_width(monkeypatch: pytest.MonkeyPatch) -> None:
    truth, prediction = rows_of(BINARY, 12_000)
    whole = interval("roc_auc", BINARY, truth, prediction)
    monkeypatch.setattr(intervals, "ROW_CAP", 3_000)
    capped = interval("roc_auc", BINARY, truth, prediction)
    value = roc_auc_score(truth, prediction[:, 1])
    assert capped[0] < value < capped[1]
    assert capped[1] - capped[0] == pytest.approx(whole[1] - whole[0], rel=0.25)


def test_paired_differences() -> None:
    truth, worse = rows_of(BINARY, 2_000, noise=2.0)
    better = 0.5 * worse + 0.5 * np.eye(2)[truth] * 0.4 + 0.15
    better = better / better.sum(axis=1, keepdims=True)
    difference, low, high = paired_difference("log_loss", BINARY, truth, better, worse)
    assert low < difference < high < 0
    expected = score("log_loss", BINARY, truth, better) - score("log_loss", BINARY, truth, worse)
    assert difference == pytest.approx(expected, abs=1e-12)
    assert paired_difference("roc_auc", BINARY, truth, worse, worse) == (0.0, 0.0, 0.0)
    same = paired_difference("accuracy", BINARY, truth, worse, worse, threshold_a=0.9)
    assert same[0] < 0


def test_weights_count() -> None:
    truth, prediction = rows_of(NUMBER, 300)
    weight = np.where(np.abs(truth - prediction) > 1, 1e-9, 1.0)
    assert interval("mae", NUMBER, truth, prediction, weight=weight)[1] < 1.0


@pytest.mark.parametrize("truth", [np.array([1, 1, 1]), np.zeros(0, dtype=np.int64)])
def test_undefined_is_nan(truth: np.ndarray) -> None:
    prediction = np.full((len(truth), 2), 0.5)
    assert np.isnan(interval("roc_auc", BINARY, truth, prediction)).all()


def test_a_rarely_defined_metric_still_has_an_interval() -> None:
    truth = np.array([1] + [0] * 30)
    _, prediction = rows_of(BINARY, 31)
    low, high = interval("roc_auc", BINARY, truth, prediction)
    assert 0 <= low <= high <= 1


def test_wrong_metric() -> None:
    with pytest.raises(DataError, match="the metric 'rmse' does not apply"):
        interval("rmse", BINARY, np.array([0]), np.array([[1.0, 0.0]]))


def test_the_budget() -> None:
    truth, prediction = rows_of(BINARY, 10_000)
    start = time.process_time()
    interval("roc_auc", BINARY, truth, prediction)
    assert time.process_time() - start < 1.0  # about 0.2 on a quiet machine


def test_the_interval_of_a_mean_is_as_wide_as_its_standard_error() -> None:
    values = np.random.default_rng(1).normal(5.0, 2.0, 800)
    mean, low, high = mean_interval(values, resamples=400)
    assert mean == pytest.approx(values.mean())
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(800), rel=0.2)
    assert np.isnan(mean_interval(np.zeros(0))).all()
