"""The debiased calibration error: about 0 for the calibrated, the true error for the others."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.automl.calibration import debiased_ece, paired_ece_difference
from declarative_ml.core.task import Task
from declarative_ml.learning.metrics import score

TASK = Task(target="y", type="binary", classes=("no", "yes"))


def draw(seed: int, rows: int, shift: float = 0.0) -> tuple[np.ndarray, np.ndarray]:
    """Truth of rows whose probability is known, and probabilities that are `shift` too high."""
    random = np.random.default_rng(seed)
    known = random.uniform(0.1, 0.7, rows)
    truth = (random.uniform(size=rows) < known).astype(np.int64)
    return truth, np.column_stack([1 - known - shift, known + shift])


def test_a_calibrated_model_gets_less_than_the_plain_error_says() -> None:
    plain, debiased = [], []
    for seed in range(30):
        truth, probabilities = draw(seed, 200)
        plain.append(score("ece", TASK, truth, probabilities))
        debiased.append(debiased_ece(truth, probabilities))
    assert np.mean(plain) > 0.06
    assert abs(np.mean(debiased)) < 0.6 * np.mean(plain)


@pytest.mark.parametrize("shift", [0.1, 0.2])
def test_a_shifted_model_gets_its_shift(shift: float) -> None:
    errors = [debiased_ece(*draw(seed, 1500, shift)) for seed in range(5)]
    assert np.mean(errors) == pytest.approx(shift, abs=0.015)


def test_without_noise_it_is_the_plain_error() -> None:
    truth = np.asarray([1, 1, 0, 0])
    probabilities = np.asarray([[0.1, 0.9], [0.1, 0.9], [0.8, 0.2], [0.8, 0.2]])
    plain = score("ece", TASK, truth, probabilities)
    assert debiased_ece(truth, probabilities) == pytest.approx(plain)


def test_more_classes_are_judged_by_the_predicted_one() -> None:
    truth = np.asarray([0, 1, 2, 2])
    sure = np.eye(3)[truth]
    assert debiased_ece(truth, sure) == pytest.approx(0.0)
    assert debiased_ece(truth, np.roll(sure, 1, axis=1)) == pytest.approx(1.0)


def test_the_difference_covers_0_for_models_alike_and_finds_the_worse_one() -> None:
    truth, good = draw(1, 800)
    _, bad = draw(1, 800, shift=0.15)
    noise = np.random.default_rng(5).normal(0, 0.005, 800)
    alike = good + np.column_stack([-noise, noise])
    difference, low, high = paired_ece_difference(truth, alike, good, resamples=200)
    assert low <= 0.0 <= high
    assert difference == debiased_ece(truth, alike) - debiased_ece(truth, good)
    difference, low, high = paired_ece_difference(truth, bad, good, resamples=200)
    assert low <= difference <= high
    assert low > 0.03


def test_the_interval_depends_on_the_seed_alone() -> None:
    truth, good = draw(2, 300)
    _, bad = draw(2, 300, shift=0.05)
    first = paired_ece_difference(truth, bad, good, seed=3, resamples=50)
    assert first == paired_ece_difference(truth, bad, good, seed=3, resamples=50)
