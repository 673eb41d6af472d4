from __future__ import annotations

import numpy as np
import pytest

from declarative_ml.learning.saddlepoint import Draws


@pytest.mark.parametrize(("count", "mean"), [(10, 0.8), (30, 0.62), (200, 0.47)])
def test_the_chance_of_a_high_mean_of_skewed_values(count: int, mean: float) -> None:
    random = np.random.default_rng(0)
    values = np.minimum(random.exponential(0.4, 2000), 4.6)
    means = np.array([random.choice(values, count).mean() for _ in range(20_000)])
    simulated = float((means >= mean).mean())
    assert 0.0005 < simulated < 0.05
    assert 0.9 * simulated < Draws(values).chance(count, mean) < 1.6 * simulated


def test_what_is_not_high_has_all_the_chance() -> None:
    values = np.array([0.0, 1.0, 2.0])
    assert Draws(values).chance(5, 0.9) == 1.0
    assert Draws(values).chance(5, 1.0) == 1.0
    assert Draws(values).chance(50, 2.0) < 1e-20
