"""Monotone predictions: the two directions, the values to try them with, and how far they are missed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np

Direction = Literal["increasing", "decreasing"]
"""`increasing`: the prediction never falls when only the column grows; `decreasing`: it never rises."""

MONOTONE = (
    "increasing: the prediction (of two classes: the probability of the positive one) never falls when only "
    "this column grows; decreasing: never rises. lightgbm and xgboost can keep this, and the run proves it"
)
"""What the option of feature types says in a spec's reference."""

SIGNS: dict[Direction, int] = {"increasing": 1, "decreasing": -1}


def sweep_values(observed: np.ndarray, points: int) -> np.ndarray:
    """At most `points` different values over the range of `observed` [n], ascending float32; n >= 1.

    Half of them are quantiles, so that every stretch with many rows is tried closely, and half evenly spaced,
    so that no wide stretch with few rows is passed over. Both ends of the range are among them.
    """
    import numpy as np

    half = max(2, points // 2)
    dense = np.quantile(observed, np.linspace(0.0, 1.0, half), method="closest_observation")
    even = np.linspace(observed.min(), observed.max(), max(2, points - half))
    return np.unique(np.concatenate([dense, even]).astype(np.float32))


def reversal(predictions: np.ndarray, direction: Direction) -> np.ndarray:
    """How far each row of `predictions` [rows, points] goes the wrong way, at most: [rows], 0 for nowhere.

    The points of a row are in ascending order of the column. A value counts against the best of all points
    before it, so that many small steps are not smaller than a large one.
    """
    import numpy as np

    signed = np.asarray(predictions, dtype=np.float64) * SIGNS[direction]
    wrong: np.ndarray = (np.maximum.accumulate(signed, axis=1) - signed).max(axis=1)
    return wrong
