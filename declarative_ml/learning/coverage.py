"""What prediction intervals are worth on rows of known truth: how many they cover, how wide they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from declarative_ml.learning.intervals import mean_interval

if TYPE_CHECKING:
    import numpy as np

GROUPS = 5


def interval_quality(
    truth: np.ndarray, lower: np.ndarray, upper: np.ndarray, level: float, *, seed: int = 0
) -> dict[str, Any]:
    """Coverage and mean width of the intervals [lower, upper] of N >= 1 rows, all [N].

    `coverage` and `width` are [value, low, high] with a 95 % bootstrap interval; `below` and `above` the
    shares of rows outside on either side; `groups` the same by fifths of the rows from narrow to wide, which
    shows whether wide intervals are wide for a reason.
    """
    import numpy as np

    width, inside = upper - lower, (truth >= lower) & (truth <= upper)
    return {
        "level": level,
        "rows": len(truth),
        "coverage": list(mean_interval(inside.astype(np.float64), seed=seed)),
        "width": list(mean_interval(width, seed=seed)),
        "below": float((truth < lower).mean()),
        "above": float((truth > upper).mean()),
        "groups": [
            {
                "rows": len(rows),
                "width": float(width[rows].mean()),
                "coverage": float(inside[rows].mean()),
            }
            for rows in np.array_split(np.argsort(width, kind="stable"), GROUPS)
            if len(rows)
        ],
    }
