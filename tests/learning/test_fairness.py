import numpy as np
import pytest

from declarative_ml.learning.fairness import gap, measured_rows
from declarative_ml.learning.fairness_names import FAIRNESS
from declarative_ml.learning.task import Task

CHURN = Task(target="churn", type="binary", classes=("no", "yes"))
KIND = Task(target="kind", type="multiclass", classes=("a", "b", "c"))
PRICE = Task(target="price", type="number")


def group_value(name: str, task: Task, truth: list[float], prediction: object, wanted: int | None) -> float:
    values, counted = measured_rows(name, task, np.array(truth), np.array(prediction), 0.5, wanted)
    return float(values[counted].mean())


@pytest.mark.parametrize(
    ("name", "wanted", "value"),
    [
        ("selection_rate", 1, 3 / 5),
        ("tpr", 1, 2 / 3),
        ("fpr", 1, 1 / 2),
        ("selection_rate", 0, 2 / 5),
        ("tpr", 0, 1 / 2),
        ("fpr", 0, 1 / 3),
    ],
)
def test_two_classes(name: str, wanted: int, value: float) -> None:
    yes = np.array([0.9, 0.5, 0.2, 0.7, 0.1])
    prediction = np.stack([1 - yes, yes], axis=1)
    assert group_value(name, CHURN, [1, 1, 1, 0, 0], prediction, wanted) == pytest.approx(value)


@pytest.mark.parametrize(("name", "value"), [("selection_rate", 0.5), ("tpr", 1.0), ("fpr", 1 / 3)])
def test_one_of_several_classes(name: str, value: float) -> None:
    prediction = [[0.1, 0.8, 0.1], [0.2, 0.5, 0.3], [0.6, 0.2, 0.2], [0.1, 0.2, 0.7]]
    assert group_value(name, KIND, [1, 0, 0, 2], prediction, 1) == pytest.approx(value)


@pytest.mark.parametrize(("name", "value"), [("mean_prediction", 4.0), ("mae", 2.0)])
def test_numbers(name: str, value: float) -> None:
    assert group_value(name, PRICE, [1.0, 8.0], [2.0, 6.0], None) == pytest.approx(
        value + (name == "mae") * -0.5
    )


def test_every_measure_of_a_task_can_be_computed() -> None:
    for name, measure in FAIRNESS.items():
        number = "number" in measure.tasks
        task, wanted = (PRICE, None) if number else (CHURN, 1)
        prediction = [1.0, 2.0] if number else [[0.2, 0.8], [0.4, 0.6]]
        assert np.isfinite(group_value(name, task, [0, 1], prediction, wanted))


def test_the_gap_is_between_the_highest_and_the_lowest_group() -> None:
    groups = [np.array([1.0] * 30 + [0.0] * 70), np.array([1.0] * 40 + [0.0] * 60), np.array([0.0, 1.0] * 50)]
    found = gap(groups)
    assert found.difference == pytest.approx(0.2)
    assert found.ratio == pytest.approx(0.6)
    low, high = found.difference_interval
    assert 0.05 < low < 0.2 < high < 0.36
    low, high = found.ratio_interval
    assert 0.4 < low < 0.6 < high < 0.9


@pytest.mark.parametrize("count", [400, 30_000])
def test_the_interval_of_a_difference_of_means_is_the_known_one(count: int) -> None:
    """Two groups of numbers far apart: a normal interval with the sum of both variances."""
    random = np.random.default_rng(0)
    one, other = random.normal(10.0, 2.0, count), random.normal(20.0, 3.0, count)
    found = gap([one, other], resamples=4000)
    spread = 1.96 * np.sqrt((one.var() + other.var()) / count)
    assert found.difference_interval == pytest.approx(
        (found.difference - spread, found.difference + spread), abs=0.15 * spread
    )


def test_ratios_that_say_nothing() -> None:
    none = np.zeros(50)
    found = gap([none, none])
    assert (found.difference, found.ratio) == (0.0, 1.0), "nobody is selected: all are treated alike"
    found = gap([np.full(50, -1.0), np.full(50, 3.0)])
    assert found.difference == 4.0
    assert np.isnan(found.ratio) and np.isnan(found.ratio_interval).all()
