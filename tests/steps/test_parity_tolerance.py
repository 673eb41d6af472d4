"""How far the float32 graph may be from what was trained."""

from __future__ import annotations

import numpy as np

from declarative_ml.core.task import Task
from declarative_ml.steps.assemble import PROBABILITY_TOLERANCE, tolerances

CLASSES = Task(type="multiclass", target="y", classes=("a", "b", "c"))


def softmax(margins: np.ndarray) -> np.ndarray:
    powers = np.exp(margins - margins.max(axis=1, keepdims=True))
    found: np.ndarray = powers / powers.sum(axis=1, keepdims=True)
    return found


def test_ordinary_margins_have_one_tolerance() -> None:
    assert (tolerances(CLASSES, np.array([0.0, 5.0, 40.0])) == PROBABILITY_TOLERANCE).all()
    number = Task(type="number", target="y", classes=())
    assert (tolerances(number, np.array([0.0, 1e6])) == 1e-5).all()


def test_rounding_of_margins_in_float32_is_allowed_and_an_error_is_not() -> None:
    """Three classes as close as they come, far from zero: what a separable target leads to."""
    source = np.random.default_rng(4)
    for size in (1.0, 40.0, 400.0, 4000.0):
        side = source.choice([-size, size], (2000, 1))
        close = source.normal(size=(2000, 3)) + side
        parts = source.random((2000, 1, 6)) * side[:, :, None]
        summed = close.astype(np.float32)
        for part in np.moveaxis(parts, 2, 0):
            summed = summed + part.astype(np.float32)
        margins = close + parts.sum(axis=2)
        difference = np.abs(softmax(summed.astype(np.float64)) - softmax(margins)).max(axis=1)
        allowed = tolerances(CLASSES, np.abs(margins).max(axis=1))
        assert (difference <= allowed).mean() > 0.999
        wrong = np.abs(softmax(margins * 1.01) - softmax(margins)).max(axis=1)
        assert (wrong > allowed).any()
