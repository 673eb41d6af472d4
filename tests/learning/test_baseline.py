from __future__ import annotations

import numpy as np
import pytest

from declarative_ml.learning.baseline import baseline_prediction
from declarative_ml.learning.metrics import score
from declarative_ml.learning.task import Task

BINARY = Task(target="y", type="binary", classes=("no", "yes"))
MULTI = Task(target="y", type="multiclass", classes=("a", "b", "c"))
NUMBER = Task(target="y", type="number")


def test_class_shares() -> None:
    found = baseline_prediction(BINARY, np.array([0, 0, 0, 1]), 3)
    np.testing.assert_allclose(found, [[0.75, 0.25]] * 3)
    truth = np.array([0, 1, 0])
    assert score("roc_auc", BINARY, truth, found) == 0.5
    assert score("accuracy", BINARY, truth, found) == pytest.approx(2 / 3)
    unseen = baseline_prediction(MULTI, np.array([0, 1, 1]), 2, weight=np.array([3.0, 1.0, 0.0]))
    np.testing.assert_allclose(unseen, [[0.75, 0.25, 0.0]] * 2)


@pytest.mark.parametrize(
    ("metric", "weight", "expected"),
    [
        ("rmse", None, 4.0),
        ("mae", None, 2.0),
        ("median_absolute_error", None, 2.0),
        ("rmse", [1.0, 1.0, 0.0], 1.5),
        ("mae", [1.0, 1.0, 0.0], 1.5),
        ("mae", [1.0, 1.0, 5.0], 9.0),
    ],
)
def test_numbers(metric: str, weight: list[float] | None, expected: float) -> None:
    weights = None if weight is None else np.array(weight)
    found = baseline_prediction(NUMBER, np.array([1.0, 2.0, 9.0]), 2, weight=weights, metric=metric)
    np.testing.assert_allclose(found, [expected, expected])


def test_the_mean_has_an_r2_of_zero() -> None:
    truth = np.array([1.0, 5.0, 7.0])
    assert score("r2", NUMBER, truth, baseline_prediction(NUMBER, truth, 3)) == pytest.approx(0.0)
