"""Every metric against scikit-learn, on random, tied, weighted and degenerate data."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from declarative_ml.core.errors import DataError
from declarative_ml.learning.metrics import (
    METRICS,
    calibration_curve,
    confusion_matrix,
    default_metric,
    default_metrics,
    labels,
    precision_recall_curve,
    roc_curve,
    score,
)
from declarative_ml.learning.task import Task

BINARY = Task(target="y", type="binary", classes=("no", "yes"))
MULTI = Task(target="y", type="multiclass", classes=("a", "b", "c", "d"))
NUMBER = Task(target="y", type="number")


def classes_case(task: Task, kind: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    random = np.random.default_rng(seed)
    rows, count = (3 if kind == "tiny" else 400), len(task.classes)
    truth = random.integers(0, count, rows)
    truth[:count] = np.arange(count)[:rows]
    logits = random.normal(size=(rows, count)) + np.eye(count)[truth]
    if kind == "imbalanced":
        truth[truth == count - 1] = 0
        truth[5] = count - 1
    prediction = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    if kind == "tied":
        prediction = np.floor(prediction * 4) / 4
        prediction[:, -1] = 1.0 - prediction[:, :-1].sum(axis=1)
    if kind == "constant":
        prediction = np.full((rows, count), 1.0 / count)
    if kind == "certain":
        prediction = np.eye(count)[random.integers(0, count, rows)]
    if kind == "float32":
        prediction = prediction.astype(np.float32)
    weight = random.exponential(size=rows) if kind in ("weighted", "tied") else None
    return truth, prediction, weight


def sklearn_classes(name: str, truth: np.ndarray, p: np.ndarray, weight: np.ndarray | None) -> float:
    count = p.shape[1]
    binary, every = count == 2, list(range(count))
    scores: Any = p[:, 1] if binary else p
    y = labels(p)
    average = "binary" if binary else "macro"
    onehot = np.eye(count)[truth]
    calls: dict[str, Callable[[], float]] = {
        "accuracy": lambda: reference.accuracy_score(truth, y, sample_weight=weight),
        "balanced_accuracy": lambda: reference.balanced_accuracy_score(truth, y, sample_weight=weight),
        "f1": lambda: reference.f1_score(truth, y, sample_weight=weight),
        "f1_macro": lambda: reference.f1_score(truth, y, average="macro", sample_weight=weight),
        "precision": lambda: reference.precision_score(truth, y, average=average, sample_weight=weight),
        "recall": lambda: reference.recall_score(truth, y, average=average, sample_weight=weight),
        "roc_auc": lambda: reference.roc_auc_score(truth, scores, multi_class="ovr", sample_weight=weight),
        "average_precision": lambda: reference.average_precision_score(
            truth if binary else onehot, scores, average="macro", sample_weight=weight
        ),
        "log_loss": lambda: reference.log_loss(truth, p, labels=every, sample_weight=weight),
        "brier": lambda: reference.brier_score_loss(truth, p, labels=every, sample_weight=weight),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return float(calls[name]())


CLASS_METRICS = [name for name in METRICS if "binary" in METRICS[name].tasks and name != "ece"]
KINDS = ["random", "tied", "weighted", "imbalanced", "constant", "certain", "float32"]


@pytest.mark.parametrize("kind", [*KINDS, "tiny"])
@pytest.mark.parametrize("name", CLASS_METRICS)
def test_binary_equals_scikit_learn(name: str, kind: str) -> None:
    for seed in range(3):
        truth, prediction, weight = classes_case(BINARY, kind, seed)
        expected = sklearn_classes(name, truth, prediction, weight)
        # scikit-learn itself computes in float32 there
        tolerance = 1e-6 if kind == "float32" else 1e-12
        assert score(name, BINARY, truth, prediction, weight=weight) == pytest.approx(expected, abs=tolerance)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [name for name in CLASS_METRICS if "multiclass" in METRICS[name].tasks])
def test_multiclass_equals_scikit_learn(name: str, kind: str) -> None:
    for seed in range(3):
        truth, prediction, weight = classes_case(MULTI, kind, seed)
        expected = sklearn_classes(name, truth, prediction, weight)
        tolerance = 1e-6 if kind == "float32" else 1e-12
        assert score(name, MULTI, truth, prediction, weight=weight) == pytest.approx(expected, abs=tolerance)


NUMBER_REFERENCE: dict[str, Callable[..., float]] = {
    "rmse": reference.root_mean_squared_error,
    "mae": reference.mean_absolute_error,
    "r2": reference.r2_score,
    "mape": reference.mean_absolute_percentage_error,
    "median_absolute_error": reference.median_absolute_error,
}


@pytest.mark.parametrize("kind", ["odd", "even", "weighted", "offset", "flat", "flat-exact", "whole", "two"])
@pytest.mark.parametrize("name", NUMBER_REFERENCE)
def test_numbers_equal_scikit_learn(name: str, kind: str) -> None:
    for seed in range(3):
        random = np.random.default_rng(seed)
        rows = {"odd": 301, "two": 2}.get(kind, 300)
        truth = random.normal(size=rows)
        if kind == "offset":
            truth += 1e6
        if kind.startswith("flat"):
            truth[:] = 0.5  # exact, so that scikit-learn sees no spread either
        prediction = truth + (0.0 if kind == "flat-exact" else random.normal(size=rows))
        weight = None
        if kind == "whole":
            truth, prediction = np.round(truth), np.round(prediction)
            weight = random.integers(0, 3, rows).astype(float)
        if kind == "weighted":
            weight = random.exponential(size=rows)
        expected = NUMBER_REFERENCE[name](truth, prediction, sample_weight=weight)
        found = score(name, NUMBER, truth, prediction, weight=weight)
        assert found == pytest.approx(expected, rel=1e-10 if kind == "offset" else 1e-12, abs=1e-12)


def test_the_reference_covers_every_metric() -> None:
    assert {*CLASS_METRICS, *NUMBER_REFERENCE, "ece"} == set(METRICS)


@pytest.mark.parametrize(
    ("name", "truth", "expected"),
    [
        ("roc_auc", [1, 1, 1], np.nan),
        ("roc_auc", [0, 0, 0], np.nan),
        ("average_precision", [0, 0, 0], np.nan),
        ("average_precision", [1, 1, 1], 1.0),
        ("recall", [0, 0, 0], np.nan),
        ("precision", [0, 0, 0], 0.0),
        ("f1", [0, 0, 0], 0.0),
        ("accuracy", [1, 1, 1], 1 / 3),
        ("balanced_accuracy", [1, 1, 1], 1 / 3),
        ("log_loss", [0, 0, 0], -np.log([0.8, 0.6, 0.1]).mean()),
    ],
)
def test_one_class_only(name: str, truth: list[int], expected: float) -> None:
    prediction = np.array([[0.8, 0.2], [0.6, 0.4], [0.1, 0.9]])
    assert score(name, BINARY, np.array(truth), prediction) == pytest.approx(expected, nan_ok=True)


def test_f1_without_any_positive_is_undefined() -> None:
    assert np.isnan(score("f1", BINARY, np.array([0, 0]), np.array([[0.8, 0.2], [0.6, 0.4]])))


@pytest.mark.parametrize("name", [name for name in METRICS if "multiclass" in METRICS[name].tasks])
def test_a_class_missing_in_a_slice(name: str) -> None:
    truth, prediction, _ = classes_case(MULTI, "random", 0)
    keep = truth != 2
    found = score(name, MULTI, truth[keep], prediction[keep])
    assert np.isnan(found) == (name in ("roc_auc", "average_precision"))


@pytest.mark.parametrize("name", METRICS)
def test_no_rows_give_nan(name: str) -> None:
    task = NUMBER if "number" in METRICS[name].tasks else BINARY
    empty = np.zeros((0, 2)) if task is BINARY else np.zeros(0)
    assert np.isnan(score(name, task, np.zeros(0, dtype=np.int64), empty))


@pytest.mark.parametrize("name", METRICS)
def test_no_weight_gives_nan_and_whole_weights_repeat_rows(name: str) -> None:
    random = np.random.default_rng(1)
    if "number" in METRICS[name].tasks:
        task, truth, prediction = NUMBER, random.normal(size=50), random.normal(size=50)
    else:
        task = BINARY
        truth, prediction, _ = classes_case(BINARY, "random", 1)
    counts = random.integers(0, 4, len(truth))
    repeated = score(name, task, np.repeat(truth, counts), np.repeat(prediction, counts, axis=0))
    assert score(name, task, truth, prediction, weight=counts) == pytest.approx(repeated, abs=1e-12)
    nothing = score(name, task, truth, prediction, weight=np.zeros(len(truth)))
    assert np.isnan(nothing) or name in ("precision", "r2")


def test_threshold_acts_from_its_value_on() -> None:
    truth, prediction = np.array([0, 1]), np.array([[0.7, 0.3], [0.7, 0.3]])
    assert score("recall", BINARY, truth, prediction, threshold=0.3) == 1.0
    assert score("recall", BINARY, truth, prediction, threshold=0.31) == 0.0


def test_ece_by_hand() -> None:
    positive = np.array([0.05, 0.05, 0.95, 0.95])
    prediction = np.stack([1 - positive, positive], axis=1)
    # two filled bins: |0.05 - 0.5| and |0.95 - 1|, half the rows each
    assert score("ece", BINARY, np.array([0, 1, 1, 1]), prediction) == pytest.approx(0.25)
    sure = np.eye(4)[[0, 1, 2, 3]]
    assert score("ece", MULTI, np.array([0, 1, 2, 0]), sure) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("name", "task", "truth", "prediction", "message"),
    [
        ("rmse", BINARY, [0], [[1.0, 0.0]], "the metric 'rmse' does not apply to the binary target 'y'"),
        ("f1", MULTI, [0], [[1.0, 0, 0, 0]], "the metric 'f1' does not apply to the multiclass target"),
        ("nonsense", NUMBER, [0.0], [0.0], "the metric 'nonsense' does not apply"),
        ("accuracy", BINARY, [0, 1], [0.2, 0.8], "predictions of shape (2,), expected (2, 2)"),
        ("mae", NUMBER, [0.0, 1.0], [0.0], "predictions of shape (1,), expected (2,)"),
        ("mae", NUMBER, [0.0, 1.0], [0.0, np.nan], "1 prediction(s) are not finite, the first in row 1"),
        ("mae", NUMBER, [np.inf, 1.0], [0.0, 1.0], "1 target value(s) are not finite, the first in row 0"),
    ],
)
def test_bad_input_is_named(name: str, task: Task, truth: Any, prediction: Any, message: str) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        score(name, task, np.array(truth), np.array(prediction))


def test_numbers_may_come_as_a_column() -> None:
    assert score("mae", NUMBER, np.array([1.0, 2.0]), np.array([[1.0], [4.0]])) == 1.0


@pytest.mark.parametrize("task", [BINARY, MULTI, NUMBER])
def test_defaults(task: Task) -> None:
    names = default_metrics(task)
    assert names[0] == default_metric(task) and len(set(names)) == len(names)
    assert set(names) == {name for name, metric in METRICS.items() if task.type in metric.tasks}


@pytest.mark.parametrize("kind", KINDS)
def test_curves_equal_scikit_learn(kind: str) -> None:
    truth, prediction, weight = classes_case(BINARY, kind, 7)
    scores = prediction[:, 1]
    expected = reference.precision_recall_curve(truth, scores, sample_weight=weight)
    for ours, theirs in zip(precision_recall_curve(truth, scores, weight), expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    x, y, thresholds = roc_curve(truth, scores, weight)
    assert (x[0], y[0], thresholds[0]) == (0.0, 0.0, np.inf) and x[-1] == pytest.approx(1.0)
    theirs_x, theirs_y, theirs_thresholds = reference.roc_curve(
        truth, scores, sample_weight=weight, drop_intermediate=False
    )
    known = np.searchsorted(-theirs_thresholds, -thresholds)
    np.testing.assert_allclose(theirs_x[known], x, atol=1e-12)
    np.testing.assert_allclose(theirs_y[known], y, atol=1e-12)
    area = score("roc_auc", BINARY, truth, prediction, weight=weight)
    assert np.trapezoid(y, x) == pytest.approx(area, abs=1e-12)


def test_calibration_curve_and_confusion_matrix() -> None:
    predicted, observed, rows = calibration_curve(np.array([0, 1, 1]), np.array([0.12, 0.18, 1.0]))
    np.testing.assert_allclose(predicted, [0.15, 1.0])
    np.testing.assert_allclose(observed, [0.5, 1.0])
    np.testing.assert_allclose(rows, [2, 1])
    weighted = calibration_curve(np.array([0, 1]), np.array([0.1, 0.15]), weight=np.array([1.0, 3.0]))
    np.testing.assert_allclose(np.ravel(weighted), [0.1375, 0.75, 4.0])
    matrix = confusion_matrix(np.array([0, 1, 1, 2]), np.array([0, 1, 0, 2]), 3)
    assert matrix.tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 1]]


def test_importing_the_metrics_loads_numpy_alone() -> None:
    import subprocess
    import sys

    code = (
        "import sys, declarative_ml.learning.metrics;"
        "print([m for m in ('sklearn', 'scipy', 'pandas', 'onnx', 'torch') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
