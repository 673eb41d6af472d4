import math

import numpy as np
import pytest

from declarative_ml.learning.gate_rules import Demand, resamples_for, shared_confidence, stands_up
from declarative_ml.learning.intervals import paired_difference
from declarative_ml.learning.task import Task

CHURN = Task(target="churn", type="binary", classes=("no", "yes"))


@pytest.mark.parametrize(
    ("low", "high", "by", "usual", "sure"),
    [
        (-0.02, 0.01, 0.0, True, False),  # nothing is shown
        (-0.02, -0.01, 0.0, False, False),  # shown to be worse
        (0.01, 0.02, 0.0, True, True),  # shown to be better
        (0.0, 0.0, 0.0, True, False),  # the same model
        (-1e-17, -1e-17, 0.0, True, False),  # the same model, rounded
        (0.0, 0.0, 0.01, False, False),  # the same model where a gain is asked
        (-0.02, 0.01, -0.03, True, True),  # may be 0.03 worse
        (-0.04, -0.02, -0.03, True, False),
        (-0.05, -0.04, -0.03, False, False),
    ],
)
def test_a_comparison_fails_by_its_whole_interval(
    low: float, high: float, by: float, usual: bool, sure: bool
) -> None:
    assert stands_up(low, high, by, sure=False) is usual
    assert stands_up(low, high, by, sure=True) is sure


def test_rounding_is_seen_beside_the_size_of_the_scores() -> None:
    assert stands_up(-2e-5, -1e-5, 0.0, sure=False, scale=50_000.0)
    assert not stands_up(-2e-5, -1e-5, 0.0, sure=False, scale=1.0)


@pytest.mark.parametrize(
    ("demand", "value", "interval", "passes", "limit"),
    [
        (Demand(low=0.8), 0.8, (0.7, 0.9), True, (0.8, "min")),
        (Demand(low=0.8), 0.79, None, False, (0.8, "min")),
        (Demand(high=0.5), 0.5, None, True, (0.5, "max")),
        (Demand(high=0.5), 0.51, (0.4, 0.6), False, (0.5, "max")),
        (Demand(low=0.8, sure=True), 0.85, (0.79, 0.9), False, (0.8, "min")),
        (Demand(low=0.8, sure=True), 0.85, (0.81, 0.9), True, (0.8, "min")),
        (Demand(low=0.8, sure=True), 0.85, None, False, (0.8, "min")),
        (Demand(low=0.8, sure=True), 0.85, (math.nan, math.nan), False, (0.8, "min")),
        (Demand(low=0.2, high=0.4), 0.25, None, True, (0.2, "min")),
        (Demand(low=0.2, high=0.4), 0.35, None, True, (0.4, "max")),
        (Demand(low=0.2, high=0.4), 0.45, None, False, (0.4, "max")),
    ],
)
def test_a_limit(
    demand: Demand,
    value: float,
    interval: tuple[float, float] | None,
    passes: bool,
    limit: tuple[float, str],
) -> None:
    assert demand.passes(value, interval) is passes
    assert demand.nearest(value) == limit
    inside = (demand.low is None or value >= demand.low) and (demand.high is None or value <= demand.high)
    assert (demand.margin(value) >= 0) is inside


def test_many_slices_share_the_chance_of_a_mistake() -> None:
    assert shared_confidence(0.95, 1, sure=False) == pytest.approx(0.95)
    assert shared_confidence(0.95, 5, sure=False) == pytest.approx(0.99)
    assert shared_confidence(0.95, 5, sure=True) == 0.95
    assert shared_confidence(0.95, 0, sure=False) == pytest.approx(0.95)


def test_ends_that_are_further_out_take_more_resamples() -> None:
    assert resamples_for(0.95) == 1000
    assert resamples_for(0.99) == 5000
    assert resamples_for(0.9999) == 5000


def test_equal_models_are_refused_about_as_often_as_the_confidence_says() -> None:
    """Two noisy copies of the same score: at 90 %, one in twenty is refused by chance."""
    random = np.random.default_rng(1)
    refused = 0
    for trial in range(80):
        truth = random.integers(0, 2, 200)
        scores = [truth + random.normal(0.0, 1.5, 200) for _ in range(2)]
        one, other = (np.stack([-each, each], axis=1) for each in scores)
        _, low, high = paired_difference(
            "roc_auc", CHURN, truth, one, other, level=0.9, resamples=200, seed=trial
        )
        refused += not stands_up(low, high, 0.0, sure=False)
    assert refused <= 11  # 4 expected; more than 11 by chance once in a thousand times
