import numpy as np
import pytest

from declarative_ml.learning.monotone import reversal, sweep_values


@pytest.mark.parametrize(
    ("observed", "points"),
    [
        (np.arange(1000.0), 50),
        (np.concatenate([np.zeros(990), np.linspace(5, 900, 10)]), 50),
        (np.array([3.0]), 50),
        (np.array([-1.0, 1.0]), 2),
    ],
)
def test_the_whole_range_is_tried_and_where_most_rows_are(observed: np.ndarray, points: int) -> None:
    values = sweep_values(observed, points)
    assert values.dtype == np.float32
    assert 1 <= len(values) <= max(points, 4)
    assert (np.diff(values) > 0).all()
    assert values[0] == observed.min() and values[-1] == observed.max()
    middle = np.quantile(observed, 0.5)
    assert np.abs(values - middle).min() <= np.ptp(observed) / points


@pytest.mark.parametrize(
    ("row", "direction", "wrong"),
    [
        ([1.0, 1.0, 2.0, 5.0], "increasing", 0.0),
        ([1.0, 1.0, 2.0, 5.0], "decreasing", 4.0),
        ([5.0, 2.0, 2.0, -1.0], "decreasing", 0.0),
        ([1.0, 3.0, 2.5, 4.0], "increasing", 0.5),
        ([3.0, 2.9, 2.8, 2.7], "increasing", 0.3),
        ([7.0], "increasing", 0.0),
    ],
)
def test_small_steps_the_wrong_way_add_up(row: list[float], direction: str, wrong: float) -> None:
    found = reversal(np.array([row, sorted(row, reverse=direction == "decreasing")]), direction)
    assert found == pytest.approx([wrong, 0.0])
