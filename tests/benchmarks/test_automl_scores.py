"""What a contender hands back is read once, with every check; nothing odd is scored."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.automl.scores import METRICS, cell_scores, primary, read_prediction
from declarative_ml.core.errors import DataError
from declarative_ml.core.task import Task
from declarative_ml.learning.metrics import METRICS as KNOWN

PETS = Task(target="kind", type="multiclass", classes=("cat", "cow", "dog"))
PRICE = Task(target="price", type="number")


def save(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "predictions.npz", **arrays)
    return folder / "predictions.npz"


def test_classes_come_in_the_order_of_the_task_and_unknown_ones_get_nothing(tmp_path: Path) -> None:
    path = save(tmp_path, classes=["dog", "cat"], probabilities=[[0.25, 0.75], [1.0, 0.0]])
    assert read_prediction(path, PETS, 2).tolist() == [[0.75, 0.0, 0.25], [0.0, 0.0, 1.0]]


def test_rounding_of_the_sum_is_taken_off(tmp_path: Path) -> None:
    path = save(tmp_path, classes=["dog", "cat"], probabilities=[[0.5004, 0.5]])
    assert read_prediction(path, PETS, 1).sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(
    ("task", "arrays", "message"),
    [
        (PETS, {"values": [1.0]}, "probabilities: absent, expected (1, 0)"),
        (PETS, {"classes": ["cat"], "probabilities": [[0.5, 0.5]]}, "probabilities: (1, 2), expected (1, 1)"),
        (PETS, {"classes": ["cat"], "probabilities": [[1.0], [1.0]]}, "(2, 1), expected (1, 1)"),
        (PETS, {"classes": ["ox"], "probabilities": [[1.0]]}, "'ox', not a class of 'kind'"),
        (PETS, {"classes": ["cat"], "probabilities": [[0.8]]}, "the probabilities of a row sum to 0.8"),
        (PETS, {"classes": ["cat"], "probabilities": [[np.nan]]}, "3 prediction(s) are not finite"),
        (PRICE, {"values": [np.inf]}, "1 prediction(s) are not finite"),
        (PRICE, {"values": [[1.0]]}, "values: (1, 1), expected (1,)"),
    ],
)
def test_what_is_not_as_agreed_is_refused(
    tmp_path: Path, task: Task, arrays: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        read_prediction(save(tmp_path, **arrays), task, 1)


def test_a_damaged_file_and_one_with_objects_are_refused(tmp_path: Path) -> None:
    (tmp_path / "predictions.npz").write_bytes(b"PK\x03\x04 not a zip")
    with pytest.raises(DataError, match=r"predictions\.npz cannot be read"):
        read_prediction(tmp_path / "predictions.npz", PRICE, 1)
    path = save(tmp_path, values=np.asarray([{"a": 1}], dtype=object))
    with pytest.raises(DataError, match=r"predictions\.npz cannot be read"):
        read_prediction(path, PRICE, 1)


def test_scores_are_those_of_the_product() -> None:
    scores = cell_scores(PRICE, np.asarray([1.0, 3.0]), np.asarray([1.0, 1.0]))
    assert list(scores) == ["rmse", "mae", "r2"]
    assert scores["rmse"] == pytest.approx(np.sqrt(2.0))
    assert primary(PRICE) == "rmse"
    assert {name for names in METRICS.values() for name in names} <= set(KNOWN)
