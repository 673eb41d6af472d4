from __future__ import annotations

import numpy as np
import pytest

from declarative_ml.core.task import Task
from declarative_ml.learning.answer_reference import answer_reference
from declarative_ml.learning.drift_counts import WindowCounts
from declarative_ml.learning.drift_windows import judge

BINARY = Task(target="y", type="binary", classes=("no", "yes"))
SEVERAL = Task(target="y", type="multiclass", classes=("a", "b", "c"))
NUMBER = Task(target="y", type="number")


def probabilities(task: Task, rows: int, seed: int) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.dirichlet(np.ones(len(task.classes)), rows).astype(np.float32)


def test_classes_are_counted_as_the_threshold_tells_them_apart() -> None:
    wide = np.array([[0.9, 0.1], [0.65, 0.35], [0.2, 0.8], [0.7, 0.3]], np.float32)
    for threshold, counts in ((None, [3, 1]), (0.5, [3, 1]), (0.3, [1, 3])):
        found = answer_reference(BINARY, wide, threshold)
        assert (found["prediction"]["levels"], found["prediction"]["counts"]) == (["no", "yes"], counts)
        assert (found["probability"]["edges"][0], found["probability"]["rows"]) == (pytest.approx(0.1), 4)
    several = answer_reference(SEVERAL, np.array([[0.2, 0.5, 0.3], [0.6, 0.2, 0.2]], np.float32), None)
    assert several["prediction"]["counts"] == [1, 1, 0]
    assert several["probability"]["edges"][-1] == pytest.approx(0.6)


def test_numbers_have_bins_alone() -> None:
    found = answer_reference(NUMBER, np.arange(100.0), None)
    assert list(found) == ["prediction"]
    assert sum(found["prediction"]["counts"]) == 100


@pytest.mark.parametrize("task", [BINARY, SEVERAL], ids=["binary", "multiclass"])
def test_answers_like_those_of_the_reference_have_not_moved(task: Task) -> None:
    reference = {"predictions": answer_reference(task, probabilities(task, 2_000, 0), None)}
    wide = probabilities(task, 800, 1)
    labels = np.array(task.classes, dtype=object)[wide.argmax(axis=1)]
    shown = wide[:, 1] if task.type == "binary" else wide.max(axis=1)
    for values, moved in ((shown, []), (shown**6, ["probability"])):
        counts = WindowCounts(reference)
        counts.update({"x": shown}, {"prediction": labels, "probability": values})
        verdict = judge(reference, counts.as_dict(), least=500)
        assert [item.column for item in verdict.moved] == moved
        assert all(item.is_answer for item in verdict.watched)


def test_the_reference_is_the_same_each_time() -> None:
    wide = probabilities(BINARY, 3_000, 0)
    assert answer_reference(BINARY, wide, 0.4) == answer_reference(BINARY, wide.copy(), 0.4)
