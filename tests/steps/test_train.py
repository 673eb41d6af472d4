from __future__ import annotations

from dataclasses import replace

import numpy as np

from declarative_ml.learning.dataset import Dataset, Layout
from declarative_ml.steps.train import drawn_again, oversampled


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


def test_copies_of_a_row_are_of_one_unit_unless_it_has_one() -> None:
    classes, empty = np.array([0, 0, 0, 1]), np.zeros((4, 0), np.float32)
    data = Dataset(Layout(), empty, empty, np.zeros((4, 0), np.int32), classes)
    rows = np.arange(4)
    assert drawn_again(data, rows, seed=7).unit.tolist() == [0, 1, 2, 3, 3, 3]
    grouped = replace(data, unit=np.array([5, 6, 5, 9]))
    assert drawn_again(grouped, rows, seed=7).unit.tolist() == [5, 6, 5, 9, 9, 9]
