"""The probability from which on a binary answer is yes, chosen on validation rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from declarative_ml.core.errors import DataError

if TYPE_CHECKING:
    import numpy as np

OBJECTIVES = ("accuracy", "balanced_accuracy", "f1")


def best_threshold(
    metric: str, truth: np.ndarray, probability: np.ndarray, weight: np.ndarray | None = None
) -> float:
    """The threshold in [0, 1] that maximises `metric`, one of `OBJECTIVES`, exactly.

    `truth` is 0 and 1 [N], `probability` [N] of the positive class; a row counts as positive from the
    threshold on. Candidates lie halfway between neighbouring probabilities, 0 and 1 included, so equal
    probabilities are never divided. Where several neighbouring candidates are best, the middle of the
    longest such stretch is taken: the choice that small changes hurt least. Without rows of both classes
    the answer is 0.5. Raises DataError for another metric.
    """
    import numpy as np

    if metric not in OBJECTIVES:
        raise DataError(f"no threshold for {metric!r}", hint=f"use one of {', '.join(OBJECTIVES)}")
    weights = np.ones(len(truth)) if weight is None else np.asarray(weight, dtype=np.float64)
    positives, negatives = float(weights[truth == 1].sum()), float(weights[truth == 0].sum())
    if positives == 0 or negatives == 0:
        return 0.5
    values, place = np.unique(np.asarray(probability, dtype=np.float64), return_inverse=True)
    hits = positives - _before(np.bincount(place, weights * (truth == 1), len(values)))
    false = negatives - _before(np.bincount(place, weights * (truth == 0), len(values)))
    gains = _gains(metric, hits, false, positives, negatives)
    # Candidate i answers yes to the values from i on; its threshold may lie anywhere in (low, high].
    low = np.concatenate([[0.0], values])
    high = np.concatenate([values, [1.0]])
    return _middle_of_best(gains, low, high)


def _before(sums: np.ndarray) -> np.ndarray:
    """Sums [G] -> the sum over all groups before each of G + 1 cuts."""
    import numpy as np

    return np.concatenate([[0.0], np.cumsum(sums)])


def _gains(
    metric: str, hits: np.ndarray, false: np.ndarray, positives: float, negatives: float
) -> np.ndarray:
    """The metric at each cut, from the weight of the true and the false positives there."""
    import numpy as np

    if metric == "f1":
        gains: np.ndarray = 2.0 * hits / (hits + false + positives)
    elif metric == "accuracy":
        gains = (hits + negatives - false) / (positives + negatives)
    else:
        gains = 0.5 * (hits / positives + (negatives - false) / negatives)
    return np.round(gains, 12)  # sums of weights in another order must not break ties


def _middle_of_best(gains: np.ndarray, low: np.ndarray, high: np.ndarray) -> float:
    import numpy as np

    # An empty stretch (a probability of exactly 0 or 1 at an end) has no room for a threshold of its own,
    # except at 0, where the answer is yes to all.
    possible = (high > low) | ((low == 0.0) & (high == 0.0))
    gains, low, high = gains[possible], low[possible], high[possible]
    best = gains == gains.max()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], best, [False]]).astype(np.int8)))
    starts, ends = edges[::2], edges[1::2] - 1
    widest = int(np.argmax(high[ends] - low[starts]))
    bottom, top = float(low[starts[widest]]), float(high[ends[widest]])
    middle = 0.5 * (bottom + top)
    return middle if middle > bottom else top  # neighbours in floating point have no middle
