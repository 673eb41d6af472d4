from __future__ import annotations

import numpy as np

from declarative_ml.steps.train import oversampled


def test_oversampling_keeps_every_row_and_makes_classes_equally_frequent() -> None:
    rows, classes = np.arange(100, 120), np.array([0] * 14 + [1] * 5 + [3])
    found = oversampled(rows, classes, seed=7)
    assert found[:20].tolist() == rows.tolist()
    assert np.bincount(classes[found - 100]).tolist() == [14, 14, 0, 14]
    assert oversampled(rows, classes, seed=7).tolist() == found.tolist()
    assert oversampled(rows, classes, seed=8).tolist() != found.tolist()


def test_oversampling_of_equal_classes_changes_nothing() -> None:
    rows = np.arange(6)
    assert oversampled(rows, np.array([0, 1, 0, 1, 0, 1]), seed=0).tolist() == rows.tolist()
