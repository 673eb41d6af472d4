from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from declarative_ml.core.errors import DataError
from declarative_ml.learning.threshold import OBJECTIVES, best_threshold

SCORES = {"accuracy": accuracy_score, "balanced_accuracy": balanced_accuracy_score, "f1": f1_score}


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("digits", [1, 2, 8])
@pytest.mark.parametrize("metric", OBJECTIVES)
def test_no_other_threshold_is_better(metric: str, digits: int, weighted: bool) -> None:
    for seed in range(4):
        random = np.random.default_rng(seed)
        truth = (random.random(25) < 0.3).astype(int)
        truth[:2] = [0, 1]
        probability = np.round(np.clip(random.normal(0.3 + 0.2 * truth, 0.2), 0, 1), digits)
        weight = random.exponential(size=25) if weighted else None

        def value(limit: float) -> float:
            yes = (probability >= limit).astype(int)  # noqa: B023
            return SCORES[metric](truth, yes, sample_weight=weight)  # noqa: B023

        best = max(value(limit) for limit in [*np.unique(probability), 1.1])
        found = best_threshold(metric, truth, probability, weight)
        assert 0 <= found <= 1
        if 1.0 not in probability:
            assert value(found) == pytest.approx(best, abs=1e-12)
        else:
            assert value(found) >= max(value(limit) for limit in np.unique(probability)) - 1e-12


@pytest.mark.parametrize(
    ("truth", "probability", "expected"),
    [
        ([0, 0, 1, 1], [0.1, 0.2, 0.6, 0.8], 0.4),  # halfway between 0.2 and 0.6
        ([0, 1], [0.5, 0.5], 0.5),  # equal rows are never divided: all or none are as good
        ([0, 1, 1], [0.4, 0.4, 0.4], 0.2),  # yes to all
        ([1, 0, 1], [0.0, 0.0, 1.0], 0.5),
        ([0, 1], [0.0, 1.0], 0.5),
        ([1, 0], [0.0, 1.0], 0.0),  # yes to all, even to a probability of 0
        ([1, 1], [0.2, 0.3], 0.5),  # one class only
        ([0, 0], [0.2, 0.3], 0.5),
        ([], [], 0.5),
    ],
)
def test_by_hand(truth: list[int], probability: list[float], expected: float) -> None:
    found = best_threshold("accuracy", np.array(truth, dtype=int), np.array(probability))
    assert found == pytest.approx(expected)


def test_the_middle_of_the_longest_plateau() -> None:
    truth = np.array([0, 1, 0, 1])
    # accuracy 3/4 from 0.1 to 0.2 and from 0.3 to 0.9: the second stretch is longer
    assert best_threshold("accuracy", truth, np.array([0.1, 0.2, 0.3, 0.9])) == pytest.approx(0.6)


def test_neighbours_in_floating_point() -> None:
    low = 0.3
    high = float(np.nextafter(low, 1))
    found = best_threshold("accuracy", np.array([0, 0, 1, 1]), np.array([low, low, high, high]))
    assert low < found <= high


def test_another_metric_is_refused() -> None:
    with pytest.raises(DataError, match="no threshold for 'roc_auc'") as caught:
        best_threshold("roc_auc", np.array([0, 1]), np.array([0.1, 0.9]))
    assert caught.value.hint == "use one of accuracy, balanced_accuracy, f1"
